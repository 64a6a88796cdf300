"""The tables that `risf evaluate` prints: which figures stand where, as plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import PurePath

from risf_cli.render import Column
from risf_core.evaluation import UNDEFINED, EvaluatedFile, GroundTruth, differences
from risf_core.evaluation.metrics import GROUP_PREFIXES, distinct_names

NOTHING = "-"  # where there is no ground truth to measure against
LONGEST_NAME = 20

Rows = list[list[str]]


def overall_table(files: Sequence[EvaluatedFile]) -> tuple[list[Column], list[Rows]]:
    """All figures in percent: one file's with its groups beside, or several files' with differences to the first."""
    first, *others = (file.metrics for file in files)
    if not others:
        sides = {"all classes": first.overall, **first.groups}
        names = _shown(first.overall)
        rows = [[name, *(percent(side[name]) for side in sides.values())] for name in names]
        split = next(i for i, name in enumerate(names) if name.startswith("AR"))
        return [Column("", text=True), *map(Column, sides)], [rows[:split], rows[split:]]
    flat = first.flat()
    rest = [other.flat() for other in others]
    prefixes = ["", *(GROUP_PREFIXES[group] for group in first.groups)]
    sections = [[f"{prefix}{name}" for name in _shown(first.overall)] for prefix in prefixes]
    columns = [Column("", text=True), *_file_columns([file.name for file in files])]
    return columns, [[[name, *_compared(name, flat, rest)] for name in section] for section in sections]


def class_table(
    files: Sequence[EvaluatedFile], ground_truth: GroundTruth, labels: Sequence[int], *, width: int
) -> tuple[list[Column], list[Rows]]:
    """AP in percent of the classes of `labels`, in as many blocks beside each other as `width` characters hold."""
    names, boxes = distinct_names(ground_truth.vocabulary), ground_truth.boxes_per_class()
    first, *others = (file.metrics.per_class for file in files)
    rows = []
    for label in labels:
        name = names[label]
        figures = _compared("AP", first[name], [other[name] for other in others])
        rows.append([name, str(boxes[label]), *figures, *([] if others else [percent(first[name]["AP50"])])])
    figure_columns = _file_columns([file.name for file in files]) if others else [Column("AP"), Column("AP50")]
    block = [Column("class", text=True, most=LONGEST_NAME), Column("boxes"), *figure_columns]
    longest = max((len(row[0]) for row in rows), default=0)
    span = min(longest, LONGEST_NAME) + sum(max(len(column.head), 6) + 2 for column in block[1:]) + 2
    count = max(1, min(3, (width - 1) // span, len(rows) // 4))
    height = -(-len(rows) // count)
    padded = rows + [[""] * len(block)] * (height * count - len(rows))
    return block * count, [[list(chain.from_iterable(padded[i::height])) for i in range(height)]]


def short_names(paths: Sequence[str]) -> list[str]:
    """The shortest ends of the paths that tell the files apart, `.json` left out.

    >>> short_names(["runs/a/detections.json", "runs/b/detections.json"])
    ['a/detections', 'b/detections']
    """
    parts = [PurePath(path.removesuffix(".json")).parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        ends = ["/".join(part[-depth:]) for part in parts]
        if len(set(ends)) == len(ends):
            return ends
    return [f"{'/'.join(part[-1:])} ({number})" for number, part in enumerate(parts, 1)]


def percent(value: float) -> str:
    """A figure of 0..1 in percent.

    >>> percent(0.358172)
    '35.82'
    """
    return NOTHING if value == UNDEFINED else f"{100 * value:.2f}"


def _shown(figures: Mapping[str, float]) -> list[str]:
    """The figures worth a row: AR alone is AR at the largest cap, which stands there by its number."""
    return [name for name in figures if name != "AR"]


def _file_columns(paths: Sequence[str]) -> list[Column]:
    first, *others = short_names(paths)
    columns = [Column(first)]
    for other in others:
        columns += [Column(other), Column("diff", change=True)]
    return columns


def _compared(name: str, first: Mapping[str, float], others: Sequence[Mapping[str, float]]) -> list[str]:
    row = [percent(first[name])]
    for figures in others:
        change = differences(figures, first)[name]
        row += [percent(figures[name]), NOTHING if change is None else f"{100 * change:+.2f}"]
    return row
