"""What `risf base-train` and `risf finetune` have in common: options, the run, and what it prints."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import print_written
from risf_core.choices import Engine, PrecisionChoice
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.training.meter import RunStatus
    from risf_core.training.plan import TrainingPlan

_DATA, _RUN = "Data", "Run"
_SHORT = {"loss_rpn_cls": "rpn", "loss_rpn_loc": "rpn box", "loss_cls": "class", "loss_box_reg": "box"}
_FIRST = ("AP", "AP50", "AP75", "bAP", "nAP")

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        rich_help_panel=_RUN,
        help="Config file, or the name of a published one. (default: that of coco or voc, by the split)",
    ),
]
SetValues = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", rich_help_panel=_RUN, help="Override a value of the config; repeatable."
    ),
]
SplitPath = Annotated[
    Path | None,
    typer.Option(metavar="DIR", rich_help_panel=_DATA, help="Split of risf prepare-splits, or in TFA's layout."),
]
CocoFiles = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE", rich_help_panel=_DATA, help="COCO JSON instead of a split; all its boxes are trained on."
    ),
]
ImageFolders = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", rich_help_panel=_DATA, help="Folder of photos; repeatable."),
]
HeldOut = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_DATA,
        help="COCO JSON to evaluate on, every solver.evaluate_every iterations. (default: that of the split)",
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
        help="torchvision, or detectron2 with its trainer if installed. (default: torchvision)",
    ),
]
TrainingWorkers = Annotated[
    int | None,
    typer.Option(metavar="N", min=0, rich_help_panel=_RUN, help="Processes that decode images. (default: 4)"),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", rich_help_panel=_RUN, help="Continue the run in the folder, if there is one."),
]
Force = Annotated[
    bool,
    typer.Option(
        "--force", rich_help_panel=_RUN, help="Replace the run in the folder, once this one has a checkpoint."
    ),
]


def run_training(plan: TrainingPlan, *, resume: bool, force: bool, json_: bool, quiet: bool) -> None:
    """Train, with talk on stderr and the run's folder on stdout."""
    from risf_cli.render import print_warnings, say, training_lines
    from risf_core.engines import require_engine
    from risf_core.processes import started_processes
    from risf_core.training.plan import read_plan

    print_warnings(quiet=quiet)
    if resume and force:
        raise ConfigError("--resume continues a run and --force replaces it; give one of them")
    processes = started_processes()
    quiet = quiet or not processes.is_first
    require_engine(plan.config.values.solver.engine)
    data = read_plan(plan)
    # torch takes seconds to import: faults of the options and the data are shown without it
    from risf_core.engines.train import train
    from risf_core.training.loop import Hooks

    with training_lines(quiet=quiet) as show:
        run = train(
            plan.config,
            plan.folder,
            data=data,
            resume=resume,
            force=force,
            processes=processes,
            hooks=Hooks(
                on_progress=lambda status: show(_progress_line(status), status.iteration, status.iterations),
                on_evaluation=lambda iteration, figures: None if quiet else say(_evaluation_line(iteration, figures)),
            ),
            on_note=(lambda line: None) if quiet else say,
        )
    if not processes.is_first:
        return
    summary = {"run": str(run.folder), "weights": str(run.weights), "config": plan.config.values.to_json()}
    print_written(run.folder, summary, json_=json_)


def _progress_line(status: RunStatus) -> str:
    """Losses, rate, speed, time left and memory, in one line."""
    parts = ", ".join(f"{_SHORT[name]} {value:.3f}" for name, value in status.losses.items())
    left = timedelta(seconds=round((status.iterations - status.iteration) * status.seconds_per_iteration))
    words = [
        f"{status.iteration}/{status.iterations}",
        f"loss {status.loss:.3f} ({parts})",
        f"rate {status.learning_rate:.2g}",
        f"{1 / status.seconds_per_iteration:.2f} it/s",
        f"{status.loading_share:.0%} loading",
        f"{left} left",
    ]
    if status.memory_bytes is not None:
        words.append(f"{status.memory_bytes / 2**30:.1f} GiB")
    return "  ".join(words)


def _evaluation_line(iteration: int, figures: Mapping[str, float]) -> str:
    """The first figures of an evaluation, in percent."""
    from risf_cli.metrics_tables import percent

    shown = [f"{name} {percent(figures[name])}" for name in _FIRST if name in figures]
    return f"iteration {iteration}, held-out images: {', '.join(shown)}"
