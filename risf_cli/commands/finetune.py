"""`risf finetune`: the few-shot stage, a few boxes of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.options import Json, Novel, Quiet, typed_options
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
from risf_core.project import load_project


def finetune(
    context: typer.Context,
    *,
    shots: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            min=1,
            rich_help_panel="Data",
            help="Boxes of each class, one of the split's counts; picks the published schedule. "
            "(of --coco: as many as its rarest class has)",
        ),
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(metavar="S", min=0, rich_help_panel="Data", help="Which shots of the split. (default: 0)"),
    ] = None,
    seed: TrainingSeed = None,
    generalised: Annotated[
        bool,
        typer.Option(
            "--generalised",
            rich_help_panel="Data",
            help="Train base and novel classes, and keep what the weights know of the base ones.",
        ),
    ] = False,
    split: SplitFolder = None,
    coco: CocoFiles = None,
    images: ImageFolders = None,
    held_out: HeldOut = None,
    novel: Novel = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            rich_help_panel="Data",
            help="What training starts from: a run of base-train, a DeFRCN base, a COCO C4 detector, ImageNet. "
            "(default: runs/base)",
        ),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", rich_help_panel="Run", help="paper (BNRL), released or cross-entropy. (default: paper)"
        ),
    ] = None,
    config: ConfigFile = None,
    set_: SetValues = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel="Run",
            help="The run's folder. (default: runs/fsod; with --generalised runs/gfsod)",
        ),
    ] = None,
    resume: Resume = False,
    force: Force = False,
    engine: TrainingEngine = None,
    device: TrainingDevice = None,
    precision: TrainingPrecision = None,
    workers: TrainingWorkers = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Teach a detector new classes from a few boxes of each (DeFRCN's second stage, with RISF's loss BNRL).

    The head is changed by itself: novel classes alone get a fresh one; with
    --generalised the rows of the classes that the weights know are kept by
    name. Iterations follow from the shots, between two published counts on
    the line through them; a smaller solver.batch scales learning rate and
    iterations. --split-seed chooses the shots.

    Examples:

      risf finetune --shots 10

      risf finetune --shots 5 --split-seed 3 --generalised --weights base.pth

      risf finetune --coco mine.json --images photos --weights coco_c4.pkl
    """
    split = None if coco else _split_in_force(context, split, novel)
    found = config_in_force(
        config or published_name(split, novel, "gfsod" if generalised else "fsod"),
        set_ or [],
        {
            "data.setting": ("--generalised", "generalised" if generalised else None),
            "data.shots": ("--shots", shots),
            "data.seed": ("--split-seed", split_seed),
            "data.split": ("--split", split),
            "data.coco": ("--coco", coco),
            "data.images": ("--images", images),
            "data.held_out": ("--held-out", held_out),
            "data.novel": ("--novel", novel),
            "model.weights": ("--weights", weights),
            "loss.preset": ("--loss", loss),
            "solver.seed": ("--seed", seed),
            "solver.engine": ("--engine", engine),
            "solver.device": ("--device", device),
            "solver.precision": ("--precision", precision),
            "data.workers": ("--workers", workers),
        },
    )
    values = found.values
    if values.data.setting == "base":
        raise ConfigError("the config is of the base setting; risf base-train runs that")
    if values.data.shots is None and not values.data.coco:
        held = _shots_of(values.data.split)
        raise ConfigError(f"risf finetune needs --shots K, one of the counts that the split holds{held}")
    if values.model.weights is None:
        raise ConfigError(
            "risf finetune needs --weights RUN|FILE, what to start from; run risf base-train first (its run in "
            "runs/base is found by itself), or name a checkpoint"
        )
    folder = out or Path("runs", "gfsod" if values.data.setting == "generalised" else "fsod")
    run_training(found, folder, resume=resume, force=force, json_=json_, quiet=quiet)


def _split_in_force(context: typer.Context, split: Path | None, novel: str | None) -> Path | None:
    """The split; where it is the published layout's and --novel is typed, that of the typed set."""
    typed = typed_options(context)
    project = load_project()
    if "split" in typed or "novel" not in typed or split != project.default_split("finetune"):
        return split
    return project.default_split("finetune", novel=novel)


def _shots_of(split: Path | None) -> str:
    """The counts of shots of a split that says them, for a message."""
    from risf_core.splits.folder import MANIFEST_NAME, read_manifest

    if split is None or not (split / MANIFEST_NAME).is_file():
        return ""
    return f": {', '.join(map(str, read_manifest(split).shots))}"
