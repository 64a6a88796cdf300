"""What `risf base-train` and `risf finetune` have in common: from their options to a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risf_core.choices import Engine, PrecisionChoice
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.config import ConfigInForce

_DATA, _RUN = "Data", "Run"

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=_RUN,
        help="A config, or a published one by name. (default: coco's or voc's, as the split says)",
    ),
]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", rich_help_panel=_RUN, help="Another value of the config; repeatable."
    ),
]
SplitFolder = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=_DATA, help="A split of risf prepare-splits, or in TFA's layout."),
]
CocoFiles = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_DATA, help="COCO JSON instead of a split: all its boxes are trained on."
    ),
]
ImageFolders = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", rich_help_panel=_DATA, help="A folder of photos; repeatable."),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_DATA,
        help="COCO JSON to evaluate on every solver.evaluate_every iterations. (default: the split's)",
    ),
]
TrainingDevice = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel=_RUN, help="auto, cpu, cuda, cuda:N or mps.")
]
TrainingPrecision = Annotated[
    PrecisionChoice | None,
    typer.Option(
        metavar="NAME", rich_help_panel=_RUN, help="auto (the hardware's best), fp32, bf16 or fp16. (default: fp32)"
    ),
]
TrainingSeed = Annotated[
    int | None, typer.Option("--seed", metavar="N", min=0, rich_help_panel=_RUN, help="Random seed. (default: 0)")
]
TrainingEngine = Annotated[
    Engine | None,
    typer.Option(
        "--engine",
        metavar="NAME",
        rich_help_panel=_RUN,
        help="torchvision, or detectron2 and its trainer where that is installed. (default: torchvision)",
    ),
]
TrainingWorkers = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, rich_help_panel=_RUN, help="Processes that decode images. (default: 4)"),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_RUN, help="Go on with the run in the folder, if there is one."),
]
Force = Annotated[bool, typer.Option("--force", rich_help_panel=_RUN, help="Replace the run in the folder.")]


def published_name(split: Path | None, novel: str | None, stage: str) -> str:
    """The published config of a stage for a split: voc's for Pascal VOC, else coco's.

    A split that risf wrote says what it is; of one in TFA's layout the form of its files tells.
    """
    from risf_core.splits.classes import VOC_SETS

    known = _is_voc(split) if split is not None else None
    return f"{'voc' if (novel in VOC_SETS if known is None else known) else 'coco'}/{stage}"


def _is_voc(split: Path) -> bool | None:
    """Whether a split is one of Pascal VOC; None where there is none."""
    from risf_core.splits.folder import MANIFEST_NAME, read_manifest
    from risf_core.splits.seed_files import read_seed_file
    from risf_core.splits.tfa_reading import tfa_files, tfa_seeds
    from risf_core.vocabulary import VOC_CLASSES

    if split.is_file():
        return read_seed_file(split).benchmark == "voc"
    if (split / MANIFEST_NAME).is_file():
        manifest = read_manifest(split)  # with custom novel classes Pascal VOC is no benchmark, but itself still
        return manifest.kind == "voc" and set(manifest.vocabulary.names) == set(VOC_CLASSES)
    seeds = tfa_seeds(split)
    return tfa_files(split, seeds[0])[0] == "voc" if seeds else None


def config_in_force(
    name: str, overrides: Sequence[str], options: Mapping[str, tuple[str, Any]]
) -> ConfigInForce:  # Any: of any option's type
    """The config with the options that a person states; a stated COCO file beats the folder's split."""
    from risf_core.config import find_config, read_config

    stated = {
        key: (option, [str(part) for part in value] if isinstance(value, list) else value)
        for key, (option, value) in options.items()
        if value is not None and value != []
    }
    return read_config(find_config(name), overrides=overrides, options=stated)


def run_training(config: ConfigInForce, out: Path, *, resume: bool, force: bool, json_: bool, quiet: bool) -> None:
    """Train, with talk on stderr and the run's folder on stdout."""
    from risf_cli.render import print_warnings, say, training_lines
    from risf_cli.training_output import evaluation_line, progress_line
    from risf_core.processes import started_processes

    print_warnings(quiet=quiet)
    if resume and force:
        raise ConfigError("--resume continues a run and --force replaces it; give one of them")
    processes = started_processes()
    quiet = quiet or not processes.is_first
    # torch takes seconds to import: faults of the options are told without it
    from risf_core.engines.train import train
    from risf_core.training.loop import Hooks
    from risf_core.training.meter import Progress

    with training_lines(quiet=quiet) as show:

        def on_progress(progress: Progress) -> None:
            show(progress_line(progress), progress.iteration, progress.iterations)

        def on_evaluation(iteration: int, figures: dict[str, float]) -> None:
            if not quiet:
                say(evaluation_line(iteration, figures))

        run = train(
            config,
            out,
            resume=resume,
            force=force,
            processes=processes,
            hooks=Hooks(on_progress=on_progress, on_evaluation=on_evaluation),
            on_note=(lambda line: None) if quiet else say,
        )
    if not processes.is_first:
        return
    if json_:
        summary = {"run": str(run.folder), "weights": str(run.weights), "config": config.values.to_json()}
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False))
    else:
        typer.echo(run.folder)
