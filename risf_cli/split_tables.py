"""The tables that `risf prepare-splits --check` prints, as plain words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from risf_cli.render import Column
from risf_core.splits.check import CheckReport, ClassCount

LONGEST_NAME = 20


def shots_tables(checked: CheckReport, *, width: int) -> Iterator[tuple[str, list[Column], list[list[str]]]]:
    """Title, columns and rows for the novel and for the base classes: boxes at each shot count, images, boxes an image.

    The classes stand in as many blocks beside each other as `width` characters hold.
    """
    seeds = f"seed {checked.seeds[0]}" if len(checked.seeds) == 1 else f"{len(checked.seeds)} seeds"
    block = [
        Column("class", text=True, most=LONGEST_NAME),
        *(Column(f"{count}") for count in checked.shots),
        Column("images"),
        Column("per image"),
    ]
    for novel, group in ((True, "novel"), (False, "base")):
        classes = [row for row in checked.classes if row.novel == novel]
        if not classes:
            continue
        longest = min(max(len(row.name) for row in classes), LONGEST_NAME)
        span = longest + 2 + sum(max(len(column.head), 3) + 2 for column in block[1:])
        count = max(1, min(3, (width - 1) // span, len(classes) // 4))
        rows = [_row(row, checked) for row in classes]
        height = -(-len(rows) // count)
        rows += [[""] * len(block)] * (height * count - len(rows))
        title = (
            f"{len(classes)} {group} {'class' if len(classes) == 1 else 'classes'}: boxes at each shot count; "
            f"at {checked.shots[-1]}, images and boxes per image ({seeds})"
        )
        yield title, block * count, [list(chain.from_iterable(rows[i::height])) for i in range(height)]


def _row(row: ClassCount, checked: CheckReport) -> list[str]:
    boxes = [row.boxes.get(count, (0, 0)) for count in checked.shots]
    cells = [str(low) if low == high else f"{low}-{high}" for low, high in boxes]
    return [row.name, *cells, f"{row.images:.1f}", f"{row.boxes_per_image:.2f}"]
