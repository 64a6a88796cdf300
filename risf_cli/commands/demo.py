"""`risf demo`: the whole pipeline on scenes that it draws itself, by the public commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import number_list
from risf_core.errors import ConfigError, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from risf_cli.commands.demo_steps import DemoFolder
    from risf_core.demo.settings import DemoSettings
    from risf_core.demo.summary import Measured, WayRow


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for everything the demo writes.")] = Path("demo"),
    seeds: Annotated[
        str,
        typer.Option(
            metavar="S[,S-S..]", help="Seeds of the shots, a list with ranges; several seeds give means with intervals."
        ),
    ] = "0",
    full: Annotated[bool, typer.Option("--full", help="More photos and longer training.")] = False,
    shots: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="Boxes per class to finetune on. (default: 5)")
    ] = None,
    photos: Annotated[
        int | None, typer.Option(metavar="N", min=8, help="Training photos. (default: 400; with --full 500)")
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Iterations of base training. (default: 300; with --full 450)"),
    ] = None,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
) -> None:
    """Run few-shot detection and re-scoring on synthetic scenes; nothing is downloaded.

    First, detections that come with the package are re-scored and evaluated, in seconds. Then the whole pipeline:
    splits, base training, finetuning on 5 shots with cross-entropy and with BNRL, prediction, CM-CLIP and evaluation,
    each by the command that is printed. Photos, the backbone's first weights and the image-text encoder are synthetic:
    the figures are measured, but say nothing about CLIP or COCO. The same seeds give the same figures on one machine.

    Examples:

      risf demo

      risf demo --seeds 0-4 --full --out runs/demo
    """
    from dataclasses import replace

    from risf_cli.commands.demo_steps import (
        DemoFolder,
        evaluation_steps,
        report_step,
        run_step,
        seed_steps,
        training_steps,
    )
    from risf_cli.render import print_line, say
    from risf_core.demo.settings import FULL, QUICK
    from risf_core.demo.summary import summary
    from risf_core.files import read_json

    chosen = number_list(seeds, option="seeds", least=0)
    settings = (FULL if full else QUICK).smaller(photos=photos, iterations=iterations, shots=shots)
    if len(chosen) > 1:
        settings = replace(settings, resamples=0)  # the intervals are over the seeds
    folder = DemoFolder(out)
    if out.is_dir() and any(out.iterdir()) and not folder.clip_config.is_file():
        raise ConfigError(f"--out {out} holds files that no demo made; name a new folder, or that of an earlier demo")
    _first_result(folder, settings, seeds=len(chosen), device=device)
    _draw(folder.root, train_photos=settings.train_photos, test_photos=settings.test_photos)
    for step in training_steps(folder, settings, seeds=chosen, device=device):
        run_step(step)
    figures = []
    for seed in chosen:
        for step in seed_steps(folder, settings, seed=seed, device=device):
            run_step(step)
        of_seed = []
        for step, written in evaluation_steps(folder, settings, seed=seed):
            run_step(step)
            of_seed.append(read_json(written, what="evaluation"))
        figures.append((of_seed[0], of_seed[1]))
    step, page = report_step(folder, seed=chosen[0])
    run_step(step)
    say("")
    _print_table(summary(figures), seeds=len(chosen), settings=settings)
    print_line(f"what CM-CLIP moved: {page}")


def _first_result(folder: DemoFolder, settings: DemoSettings, *, seeds: int, device: str) -> None:
    """Say what will be done and how long it takes, and re-score the detections that come with the package."""
    import shutil

    from risf_cli.commands.demo_steps import first_steps, run_step
    from risf_cli.render import say
    from risf_core.demo.dataset import seconds_per_scene
    from risf_core.demo.settings import FIRST_PHOTOS
    from risf_core.demo.things import NOVEL
    from risf_core.demo.weights import first_detections, packaged_files
    from risf_core.files import read_json, write_text

    minutes = settings.seconds(seeds=seeds, per_scene=seconds_per_scene()) / 60
    say(f"1. re-score and evaluate detections of {FIRST_PHOTOS} synthetic scenes: a few seconds")
    say(
        f"2. draw {settings.train_photos + settings.test_photos} scenes, train a small detector, finetune it on "
        f"{counted(settings.shots, 'shot')} with two losses, predict, re-score, evaluate"
    )
    say(f"about {max(1, round(minutes))} min on this machine; everything is written to {folder.root}")
    write_text(folder.novel, "".join(f"{name}\n" for name in NOVEL))
    for file in packaged_files():
        shutil.copyfile(file, folder.root / file.name)
    _draw(folder.first, train_photos=0, test_photos=FIRST_PHOTOS)
    write_text(folder.first / "detections.json", first_detections())
    for step in first_steps(folder, settings, device=device):
        run_step(step)
    before, after = (
        100 * result["metrics"]["nAP"]
        for result in read_json(folder.first / "figures.json", what="evaluation")["results"]
    )
    say(f"first result: re-scoring moved novel AP from {before:.2f} to {after:.2f}\n")


def _draw(folder: Path, *, train_photos: int, test_photos: int) -> None:
    """The photos with their labels."""
    from risf_cli.render import progress_of, say
    from risf_core.demo.dataset import make_dataset
    from risf_core.demo.settings import SCENE_SEED

    say(f"drawing {train_photos + test_photos} scenes in {folder}")
    with progress_of("drawing", "photos") as progress:
        make_dataset(folder, train_photos=train_photos, test_photos=test_photos, seed=SCENE_SEED, progress=progress)


def _print_table(rows: Sequence[WayRow], *, seeds: int, settings: DemoSettings) -> None:
    from risf_cli.metrics_tables import percent
    from risf_cli.render import Column, print_line, print_table

    def shown(figure: Measured | None, *, signed: bool = False) -> str:
        if figure is None:
            return ""
        value = f"{100 * figure.value:+.2f}" if signed else percent(figure.value)
        star = "* " if signed and figure.reach is not None and abs(figure.value) > figure.reach else ""
        return f"{star}{value}" + ("" if figure.reach is None else f" ± {100 * figure.reach:>4.2f}")

    columns = [
        Column("finetuned with", text=True),
        Column("novel AP"),
        Column("base AP"),
        Column("novel AP change", change=True),
    ]
    cells = [[row.way, shown(row.novel), shown(row.base), shown(row.change, signed=True)] for row in rows]
    print_table(columns, [cells[:2], cells[2:]], title=f"{settings.shots}-shot, {settings.test_photos} test photos")
    print_line("change: of BNRL against cross-entropy, of CM-CLIP against the row above it")
    if seeds > 1:
        print_line(
            f"± 95 % interval of the mean over {seeds} seeds of shots (1.96 s / sqrt(n)), changes paired by seed"
        )
    else:
        print_line(f"± 95 % interval: paired bootstrap over the test photos, {settings.resamples} resamples")
    print_line("* the interval of the change does not contain 0")
