"""What `risf prepare-splits` says: lines, tables and JSON, as plain words."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from risf_cli.render import Column
from risf_core.splits.check import CheckReport, ClassCount
from risf_core.splits.prepare import PreparedSplits
from risf_core.splits.split import marks_in_words, number_ranges

LONGEST_NAME = 20


def shots_tables(checked: CheckReport, *, width: int) -> Iterator[tuple[str, list[Column], list[list[str]]]]:
    """Title, columns and rows for the novel and for the base classes: boxes at each shot count, images, boxes an image.

    The classes are in as many blocks side by side as `width` characters hold.
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


def summary_lines(prepared: PreparedSplits) -> list[str]:
    """What was drawn and what there is to know about it, a line each."""
    manifest, base = prepared.manifest, prepared.base
    novel = len(manifest.vocabulary.novel)
    lines = [
        f"{len(manifest.vocabulary)} classes, {novel} novel ({manifest.novel_set}); "
        f"shots {','.join(map(str, manifest.shots))}; seeds {number_ranges(manifest.seeds)}",
        "no base set: all classes are novel"
        if base is None
        else f"base set: {len(base):,} boxes in {len(base.images):,} images",
    ]
    return lines + [f"note: {note}" for note in (*manifest.notes, *marks_in_words(prepared.seeds.values()))]


def prepared_json(prepared: PreparedSplits, sheet: Path | None) -> dict[str, Any]:  # Any: JSON
    """What `--json` says of a split that was written."""
    manifest, base = prepared.manifest, prepared.base
    return {
        "folder": str(prepared.folder),
        "benchmark": manifest.benchmark,
        "novel_set": manifest.novel_set,
        "classes": len(manifest.vocabulary),
        "novel": [name for name in manifest.vocabulary.names if name in manifest.vocabulary.novel],
        "shots": list(manifest.shots),
        "seeds": list(manifest.seeds),
        "layouts": list(manifest.layouts),
        "base": None if base is None else {"boxes": len(base), "images": len(base.images)},
        "notes": list(manifest.notes),
        "marks": [
            {"seed": seed, "shots": mark.shots, "kind": mark.kind, "classes": list(mark.classes), "text": mark.text}
            for seed, shots in prepared.seeds.items()
            for mark in shots.marks
        ],
        "preview": None if sheet is None else str(sheet),
    }


def check_json(checked: CheckReport, sheet: Path | None) -> dict[str, Any]:  # Any: JSON
    """What `--check --json` says of a split."""
    return {
        "folder": str(checked.folder),
        "sound": not checked.faults,
        "faults": list(checked.faults),
        "notes": list(checked.notes),
        "seeds": list(checked.seeds),
        "shots": list(checked.shots),
        "classes": [
            {
                "name": count.name,
                "novel": count.novel,
                "boxes": {str(k): list(ends) for k, ends in count.boxes.items()},  # fewest and most of any seed
                "images": count.images,
                "boxes_per_image": count.boxes_per_image,
            }
            for count in checked.classes
        ],
        "preview": None if sheet is None else str(sheet),
    }


def _row(row: ClassCount, checked: CheckReport) -> list[str]:
    boxes = [row.boxes.get(count, (0, 0)) for count in checked.shots]
    cells = [str(low) if low == high else f"{low}-{high}" for low, high in boxes]
    return [row.name, *cells, f"{row.images:.1f}", f"{row.boxes_per_image:.2f}"]
