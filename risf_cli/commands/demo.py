"""`risf demo`: the whole of RISF on photos that it makes itself, by the public commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.options import number_list
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from risf_cli.demo_steps import DemoFolder
    from risf_core.demo.settings import DemoSettings
    from risf_core.demo.summary import Measured, WayRow


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where everything is made.")] = Path("demo"),
    seeds: Annotated[
        str,
        typer.Option(
            metavar="S[,S-S..]", help="Seeds of the shots, as a list with ranges; several give means with intervals."
        ),
    ] = "0",
    full: Annotated[bool, typer.Option("--full", help="More photos and longer training.")] = False,
    shots: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="Boxes of each class to finetune on. (default: 5)")
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
    """Few-shot detection and re-scoring from nothing, in minutes: made photos, nothing is downloaded.

    Splits, base training, finetuning on 5 shots with cross-entropy and with
    BNRL, prediction, CM-CLIP and evaluation, each by the command that is
    printed. Photos, the backbone's first weights and the small image-text
    encoder are made; what the table says is measured, but says nothing of
    CLIP or of COCO. The same seeds give the same figures on a machine.

    Examples:

      risf demo

      risf demo --seeds 0-4 --full --out runs/demo
    """
    from dataclasses import replace

    from risf_cli.demo_steps import DemoFolder, evaluation_steps, report_step, run_step, seed_steps, training_steps
    from risf_cli.render import say
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
    _make(folder, settings)
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
    typer.echo(f"what CM-CLIP moved: {page}")


def _make(folder: DemoFolder, settings: DemoSettings) -> None:
    """The photos with their labels, and beside them the weights that come with the package."""
    import shutil

    from risf_cli.render import progress_of, say
    from risf_core.demo.dataset import make_dataset
    from risf_core.demo.settings import SCENE_SEED
    from risf_core.demo.things import NOVEL
    from risf_core.demo.weights import packaged_files
    from risf_core.files import write_text

    say(f"making {settings.train_photos} training and {settings.test_photos} test photos in {folder.root}")
    with progress_of("drawing", "photos") as progress:
        make_dataset(
            folder.root,
            train_photos=settings.train_photos,
            test_photos=settings.test_photos,
            seed=SCENE_SEED,
            progress=progress,
        )
    write_text(folder.novel, "".join(f"{name}\n" for name in NOVEL))
    for file in packaged_files():
        shutil.copyfile(file, folder.root / file.name)


def _print_table(rows: Sequence[WayRow], *, seeds: int, settings: DemoSettings) -> None:
    from risf_cli.metrics_tables import percent
    from risf_cli.render import Column, print_table

    def shown(figure: Measured | None, *, signed: bool = False) -> str:
        if figure is None:
            return ""
        value = f"{100 * figure.value:+.2f}" if signed else percent(figure.value)
        star = "* " if signed and figure.reach is not None and abs(figure.value) > figure.reach else ""
        return f"{star}{value}" + ("" if figure.reach is None else f" ± {100 * figure.reach:>4.2f}")

    columns = [Column("finetuned with", text=True), Column("novel AP"), Column("base AP"),
               Column("novel AP change", change=True)]  # fmt: skip
    cells = [[row.way, shown(row.novel), shown(row.base), shown(row.change, signed=True)] for row in rows]
    print_table(columns, [cells[:2], cells[2:]], title=f"{settings.shots}-shot, {settings.test_photos} test photos")
    typer.echo("change: of BNRL against cross-entropy, of CM-CLIP against the row above it")
    if seeds > 1:
        typer.echo(
            f"± 95 % interval of the mean over {seeds} seeds of shots (1.96 s / sqrt(n)), changes paired by seed"
        )
    else:
        typer.echo(f"± 95 % interval: paired bootstrap over the test photos, {settings.resamples} resamples")
    typer.echo("* the interval of the change is without 0")
