"""`risf base-train`: the first stage, all boxes of the base classes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.option_values import photo_folders
from risf_cli.options import AllowOutside, Json, Quiet
from risf_cli.training_run import (
    CocoFiles,
    ConfigFile,
    Force,
    HeldOut,
    ImageFolders,
    Resume,
    SetValues,
    SplitPath,
    TrainingDevice,
    TrainingEngine,
    TrainingPrecision,
    TrainingSeed,
    TrainingWorkers,
    run_training,
)


def base_train(
    *,
    split: SplitPath = None,
    coco: CocoFiles = None,
    images: ImageFolders = None,
    allow_outside: AllowOutside = False,
    held_out: HeldOut = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE|none",
            rich_help_panel="Data",
            help="Weights to start from: MSRA's R-101.pkl, any detector, or none for random weights. "
            "(default: ImageNetPretrained/MSRA/R-101.pkl in the data folder)",
        ),
    ] = None,
    config: ConfigFile = None,
    set_: SetValues = None,
    seed: TrainingSeed = None,
    out: Annotated[Path, typer.Option(metavar="DIR", rich_help_panel="Run", help="Run folder.")] = Path("runs/base"),
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

    The published batch of 16 is kept on any hardware by accumulating gradients; solver.images_per_step sets how many
    images a process holds at once. A smaller solver.batch scales learning rate and iterations; the values used are
    printed, and `risf config` shows them beforehand. --resume continues a stopped run and ends with the same weights.
    On several GPUs: torchrun --nproc-per-node 8 -m risf_cli base-train

    Examples:

      risf base-train

      risf base-train --split risfsplit/coco20 --weights R-101.pkl

      risf base-train --coco train.json --images photos --weights none
    """
    from risf_core.training.plan import TrainingChoice, plan_base_training

    choice = TrainingChoice(
        config=config,
        overrides=tuple(set_ or ()),
        split=split,
        coco=tuple(coco or ()),
        images=photo_folders(images, allow_outside),
        held_out=held_out,
        weights=weights,
        seed=seed,
        engine=engine,
        device=device,
        precision=precision,
        workers=workers,
    )
    run_training(plan_base_training(choice, out), resume=resume, force=force, json_=json_, quiet=quiet)
