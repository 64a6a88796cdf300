"""`risf check-split`: a split against its source, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import number_list, typed_options
from risf_cli.options import Json, Quiet
from risf_cli.split_options import Coco, PreviewImages, PreviewShots, Voc, Yolo
from risf_core.errors import ConfigError, DataError, counted

if TYPE_CHECKING:
    from risf_cli.render import Column
    from risf_core.splits.check import CheckReport, ClassCount

MOST_FAULTS = 20  # that are printed
LONGEST_NAME = 20  # of a class in a table


def check_split(
    context: typer.Context,
    split: Annotated[
        Path | None,
        typer.Argument(metavar="SPLIT", help="Folder of a split: of risf prepare-splits, or in TFA's layout."),
    ] = None,
    *,
    coco: Coco = None,
    voc: Voc = None,
    yolo: Yolo = None,
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel="Data",
            help="Test images: a COCO JSON, or a list of ids or file names. (default: those that the split names)",
        ),
    ] = None,
    novel: Annotated[
        str | None,
        typer.Option(metavar="SET", rich_help_panel="Data", help="Novel classes, for a folder in TFA's layout."),
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="S[,S-S..]", help="Seeds to check, a list with ranges. (default: all)")
    ] = None,
    preview: PreviewShots = None,
    images: PreviewImages = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Compare a split with the data it was drawn from, and print boxes and images per class.

    The split names its source; pass --coco, --voc or --yolo if that has moved, or for a folder in TFA's layout. Exit
    code 1 if the split is not sound.

    Examples:

      risf check-split pets

      risf check-split pets --preview 5 --images photos

      risf check-split vocsplit --novel voc1 --voc datasets
    """
    from risf_cli.render import console, phases_of, print_json, print_table, print_warnings, say
    from risf_core.splits.data_files import DataChoice
    from risf_core.splits.preview import Preview
    from risf_core.splits.run import check_split_folder

    print_warnings(quiet=quiet)
    if split is None:
        raise ConfigError("risf check-split needs SPLIT, a folder: risf check-split datasets/risfsplit/own")
    with phases_of(quiet=quiet) as progress:
        report = check_split_folder(
            split,
            DataChoice(tuple(coco or ()), voc, yolo),
            held_out=held_out,
            novel=novel if "novel" in typed_options(context) else None,  # that of risf.yaml may be of another split
            seeds=None if seeds is None else number_list(seeds, option="seeds", least=0),
            preview=None if preview is None else Preview(preview, tuple(images or ())),
            progress=progress,
        )
    if json_:
        print_json(report.to_json())
    else:
        for title, columns, rows in _shots_tables(report, width=console().width):
            print_table(columns, [rows], title=title)
    for line in () if quiet else report.lines():
        say(line)
    if report.faults:
        for fault in report.faults[:MOST_FAULTS]:
            say(f"fault: {fault}")
        raise DataError(f"{split}: the split is not sound, {counted(len(report.faults), 'fault')} (named above)")
    if not quiet:
        say(f"{split}: sound")


def _shots_tables(report: CheckReport, *, width: int) -> Iterator[tuple[str, list[Column], list[list[str]]]]:
    """Title, columns and rows of a table for the novel and of one for the base classes.

    The classes are in as many blocks side by side as `width` characters hold.
    """
    from risf_cli.render import Column

    seeds = f"seed {report.seeds[0]}" if len(report.seeds) == 1 else counted(len(report.seeds), "seed")
    block = [
        Column("class", text=True, most=LONGEST_NAME),
        *(Column(f"{count}") for count in report.shots),
        Column("images"),
        Column("per image"),
    ]
    for novel, group in ((True, "novel"), (False, "base")):
        classes = [row for row in report.classes if row.novel == novel]
        if not classes:
            continue
        longest = min(max(len(row.name) for row in classes), LONGEST_NAME)
        span = longest + 2 + sum(max(len(column.head), 3) + 2 for column in block[1:])
        count = max(1, min(3, (width - 1) // span, len(classes) // 4))
        rows = [_row(row, report) for row in classes]
        height = -(-len(rows) // count)
        rows += [[""] * len(block)] * (height * count - len(rows))
        title = (
            f"{counted(len(classes), f'{group} class')}: boxes at each shot count; "
            f"at {report.shots[-1]}, images and boxes per image ({seeds})"
        )
        yield title, block * count, [list(chain.from_iterable(rows[i::height])) for i in range(height)]


def _row(row: ClassCount, report: CheckReport) -> list[str]:
    boxes = [row.boxes.get(count, (0, 0)) for count in report.shots]
    cells = [str(low) if low == high else f"{low}-{high}" for low, high in boxes]
    return [row.name, *cells, f"{row.images:.1f}", f"{row.boxes_per_image:.2f}"]
