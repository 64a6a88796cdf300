"""`risf finetune`: the few-shot stage, a few boxes of each class."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.option_values import photo_folders, typed_options
from risf_cli.options import AllowOutside, Json, Novel, Quiet
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
            help="Boxes per class, one of the split's numbers; sets the published schedule. "
            "(default with --coco: the number of its rarest class)",
        ),
    ] = None,
    split_seed: Annotated[
        int | None,
        typer.Option(metavar="S", min=0, rich_help_panel="Data", help="Which draw of the shots. (default: 0)"),
    ] = None,
    seed: TrainingSeed = None,
    generalised: Annotated[
        bool,
        typer.Option(
            "--generalised",
            rich_help_panel="Data",
            help="Train base and novel classes, starting from what the weights know of the base classes.",
        ),
    ] = False,
    split: SplitPath = None,
    coco: CocoFiles = None,
    images: ImageFolders = None,
    allow_outside: AllowOutside = False,
    held_out: HeldOut = None,
    novel: Novel = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            rich_help_panel="Data",
            help="Weights to start from: a run of base-train, a DeFRCN base, a COCO C4 detector, or ImageNet. "
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
            help="Run folder. (default: runs/fsod; with --generalised runs/gfsod)",
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

    The classification head is resized automatically: a new one for novel classes alone; with --generalised the rows of
    classes that the weights know are kept, by name. Iterations follow the published schedule, interpolated for other
    shot counts; a smaller solver.batch scales learning rate and iterations. --split-seed chooses the shots.

    Examples:

      risf finetune --shots 10

      risf finetune --shots 5 --split-seed 3 --generalised --weights base.pth

      risf finetune --coco mine.json --images photos --weights coco_c4.pkl
    """
    from risf_core.training.plan import TrainingChoice, plan_finetuning

    choice = TrainingChoice(
        config=config,
        overrides=tuple(set_ or ()),
        generalised=generalised,
        split=_split_in_force(context, split, novel),
        coco=tuple(coco or ()),
        images=photo_folders(images, allow_outside),
        held_out=held_out,
        novel=novel,
        shots=shots,
        split_seed=split_seed,
        weights=weights,
        loss=loss,
        seed=seed,
        engine=engine,
        device=device,
        precision=precision,
        workers=workers,
    )
    run_training(plan_finetuning(choice, out), resume=resume, force=force, json_=json_, quiet=quiet)


def _split_in_force(context: typer.Context, split: Path | None, novel: str | None) -> Path | None:
    """The split; where it is the published layout's and --novel is typed, that of the typed set."""
    typed = typed_options(context)
    project = load_project()
    if "split" in typed or "novel" not in typed or split != project.default_split("finetune"):
        return split
    return project.default_split("finetune", novel=novel)
