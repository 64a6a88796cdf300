"""`risf base-train`: the first stage, all boxes of the base classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.options import Json, Quiet
from risf_cli.training_run import (
    CocoFiles,
    ConfigFile,
    Force,
    HeldOut,
    ImageFolders,
    Resume,
    SetValues,
    SplitFolder,
    TrainingDevice,
    TrainingEngine,
    TrainingPrecision,
    TrainingSeed,
    TrainingWorkers,
    config_in_force,
    published_name,
    run_training,
)
from risf_core.errors import ConfigError


def base_train(
    *,
    split: SplitFolder = None,
    coco: CocoFiles = None,
    images: ImageFolders = None,
    held_out: HeldOut = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|none",
            rich_help_panel="Data",
            help="What training starts from: MSRA's R-101.pkl, any detector, or none for fresh weights. "
            "(default: ImageNetPretrained/MSRA/R-101.pkl in the data folder)",
        ),
    ] = None,
    config: ConfigFile = None,
    set_: SetValues = None,
    seed: TrainingSeed = None,
    out: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Run", help="The run's folder.")] = Path(
        "runs/base"
    ),
    resume: Resume = False,
    force: Force = False,
    engine: TrainingEngine = None,
    device: TrainingDevice = None,
    precision: TrainingPrecision = None,
    workers: TrainingWorkers = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a detector on the base classes (DeFRCN's first stage), from ImageNet weights.

    The published batch of 16 is kept on any hardware by accumulation:
    solver.images_per_step says how many images a process holds at once.
    A smaller solver.batch scales learning rate and iterations; what is in
    force is printed, and `risf config` shows it beforehand.
    A stopped run continues with --resume, to the same weights.
    On several GPUs: torchrun --nproc-per-node 8 -m risf_cli base-train

    Examples:

      risf base-train

      risf base-train --split risfsplit/coco20 --weights R-101.pkl

      risf base-train --coco train.json --images photos --weights none
    """
    found = config_in_force(
        config or published_name(None if coco else split, None, "base"),
        set_ or [],
        {
            "data.split": ("--split", None if coco else split),
            "data.coco": ("--coco", coco),
            "data.images": ("--images", images),
            "data.held_out": ("--held-out", held_out),
            "model.weights": ("--weights", None if str(weights) == "none" else weights),
            "solver.seed": ("--seed", seed),
            "solver.engine": ("--engine", engine),
            "solver.device": ("--device", device),
            "solver.precision": ("--precision", precision),
            "data.workers": ("--workers", workers),
        },
    )
    values = found.values
    if values.data.setting != "base":
        raise ConfigError(f"the config is of the {values.data.setting} setting; risf finetune runs that")
    if values.model.weights is None and weights is None and values.model.architecture != "small":
        raise ConfigError(
            "risf base-train needs --weights FILE: MSRA's R-101.pkl, in the published layout "
            "datasets/ImageNetPretrained/MSRA/R-101.pkl; pass --weights none to start from fresh weights"
        )
    run_training(found, out, resume=resume, force=force, json_=json_, quiet=quiet)
