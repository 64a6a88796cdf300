"""The tables that `risf evaluate` prints: which figures are where, as plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import PurePath

from risf_cli.render import GAP, Column
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.evaluation import (
    UNDEFINED,
    Aggregate,
    Bootstrapped,
    EvaluatedFile,
    Intervals,
    Spread,
    differences,
)
from risf_core.evaluation.compare import PER_CLASS_FIGURES, Interval
from risf_core.evaluation.data_sets import SeveralSets
from risf_core.evaluation.error_analysis import ErrorAnalysis
from risf_core.evaluation.metrics import GROUP_PREFIXES

NOTHING = "-"  # where there is no ground truth to measure against
LONGEST_NAME = 20
LONGEST_HEAD, SHORTEST_HEAD = 24, 8
LONGEST_CHANGE = {False: len("+17.67"), True: len("* +17.67 ± 10.19")}  # without intervals and with them

Cells = list[list[str]]
Table = tuple[list[Column], list[Cells]]


def overall_tables(files: Sequence[EvaluatedFile], *, width: int, all_metrics: bool = False) -> Iterator[Table]:
    """AP in percent: one file's with its groups, or several files' with differences to the first.

    As many files are side by side as `width` characters hold; with `all_metrics` AP by size and AR, too.
    """
    for some in _beside_each_other(files, width):
        yield _overall_table(some, _shown(some[0].metrics.overall, all_metrics), width)


def _overall_table(files: Sequence[EvaluatedFile], names: Sequence[str], width: int) -> Table:
    first, *others = files
    if not others:
        sides = {"": "all classes", **{GROUP_PREFIXES[group]: str(group) for group in first.metrics.groups}}
        flat = first.metrics.flat()
        own = first.bootstrapped.own.figures if first.bootstrapped else {}
        rows = [
            [
                name,
                *(percent(flat[key]) + _reach(flat[key], own, key) for key in (f"{side}{name}" for side in sides)),
            ]
            for name in names
        ]
        return [Column("", text=True), *(Column(side) for side in sides.values())], _split_recall(rows)
    prefixes = ["", *(GROUP_PREFIXES[group] for group in first.metrics.groups)]
    columns = [Column("", text=True), *_file_columns(files, width, [len("nAP100")])]
    figures = [file.metrics.flat() for file in files]
    intervals = [_difference_figures(file.bootstrapped) for file in files]
    return columns, [
        [[key, *_compared(key, figures, intervals)] for key in (f"{prefix}{name}" for name in names)]
        for prefix in prefixes
    ]


def class_tables(
    files: Sequence[EvaluatedFile], ground_truth: AnnotatedDataset, labels: Sequence[int], *, width: int
) -> Iterator[Table]:
    """The main figure of the classes of `labels` in percent, in blocks next to each other within `width` characters.

    As many files are side by side as `width` characters hold.
    """
    for some in _beside_each_other(files, width):
        yield _class_table(some, ground_truth, labels, width)


def _class_table(
    files: Sequence[EvaluatedFile], ground_truth: AnnotatedDataset, labels: Sequence[int], width: int
) -> Table:
    names = ground_truth.vocabulary.names
    main, second = list(files[0].metrics.overall)[:2]

    def figures(name: str) -> list[str]:
        own = [file.metrics.per_class[name] for file in files]
        if len(files) > 1:
            intervals = [_difference_classes(file.bootstrapped, name) for file in files]
            return _compared(main, own, intervals)
        reaches = files[0].bootstrapped.own.per_class[name] if files[0].bootstrapped else {}
        return [percent(own[0][figure]) + _reach(own[0][figure], reaches, figure) for figure in (main, second)]

    columns = _file_columns(files, width) if len(files) > 1 else [Column(main), Column(second)]
    return _blocks(columns, [names[label] for label in labels], figures, ground_truth, labels, width=width)


def aggregate_table(runs: Aggregate, *, all_metrics: bool = False) -> Table:
    """Mean and 95 % interval of figures over the runs, in percent, the groups next to each other."""
    sides = {"all classes": runs.overall, **runs.groups}
    rows = [[name, *(spread(side[name]) for side in sides.values())] for name in _shown(runs.overall, all_metrics)]
    return [Column("", text=True), *map(Column, sides)], _split_recall(rows)


def aggregate_class_table(
    runs: Aggregate, ground_truth: AnnotatedDataset, labels: Sequence[int], *, width: int
) -> Table:
    """Mean and 95 % interval of the main figures of the classes of `labels`, in blocks next to each other."""
    names = ground_truth.vocabulary.names
    shown = list(runs.overall)[:2]

    def figures(name: str) -> list[str]:
        return [spread(runs.per_class[name][figure]) for figure in shown]

    columns = [Column(figure) for figure in shown]
    return _blocks(columns, [names[label] for label in labels], figures, ground_truth, labels, width=width)


def data_set_table(several: SeveralSets, *, all_metrics: bool = False) -> Table:
    """In percent, the figures of each data set, and their mean over the data sets."""
    names = _shown(several.means, all_metrics)
    names += [f"{prefix}AP" for prefix in GROUP_PREFIXES.values() if f"{prefix}AP" in several.means]
    rows = [
        [
            own.name,
            str(len(own.evaluation.truth.images)),
            str(len(own.evaluation.files)),
            *(spread(own.figures[name]) if name in own.figures else NOTHING for name in names),
        ]
        for own in several.sets
    ]
    means = ["mean", "", "", *(percent(several.means[name]) for name in names)]
    return [Column("", text=True), Column("images"), Column("files"), *map(Column, names)], [rows, [means]]


def error_table(errors: ErrorAnalysis) -> Table:
    """In percent by group: what each kind of error costs, the AP that other scores could reach, oLRP and LaECE0."""
    sides = {group: _GROUP_NAMES[group] for group in errors.costs}
    sections = [
        [
            [
                line.title,
                *(percent(line.values[group]) + _reach(line.values[group], line.intervals, group) for group in sides),
            ]
            for line in lines
        ]
        for lines in errors.sections()
    ]
    return [Column("", text=True), *(Column(side) for side in sides.values())], sections


_GROUP_NAMES = {"": "all classes", **{prefix: str(group) for group, prefix in GROUP_PREFIXES.items()}}


def short_names(paths: Sequence[str]) -> list[str]:
    """The shortest parts of the paths that tell the files apart, `.json` left out.

    >>> short_names(["runs/seed0/detections.json", "runs/seed1/detections.json"])
    ['seed0', 'seed1']
    >>> short_names(["a/before.json", "b/before.json", "b/after.json"])
    ['a/before', 'b/before', 'b/after']
    """
    parts = [PurePath(path.removesuffix(".json")).parts for path in paths]
    for depth in range(1, max(map(len, parts)) + 1):
        for chosen in ([part[-depth:][:1] for part in parts], [part[-depth:] for part in parts]):
            names = ["/".join(part) for part in chosen]
            if len(set(names)) == len(names):
                return names
    return [f"{'/'.join(part[-1:])} ({number})" for number, part in enumerate(parts, 1)]


def percent(value: float) -> str:
    """A figure of 0..1 in percent.

    >>> percent(0.358172)
    '35.82'
    """
    return NOTHING if value == UNDEFINED else f"{100 * value:.2f}"


def spread(figure: Spread) -> str:
    """Mean and interval in percent.

    >>> spread(Spread(0.358172, 0.02, 0.0124))
    '35.82 ±  1.24'
    """
    return percent(figure.mean) + (f" ± {100 * figure.interval:>5.2f}" if figure.interval is not None else "")


def _blocks(
    columns: Sequence[Column],
    names: Sequence[str],
    figures: Callable[[str], list[str]],
    ground_truth: AnnotatedDataset,
    labels: Sequence[int],
    *,
    width: int,
) -> Table:
    """One row per class with its number of boxes, in as many blocks side by side as the width holds."""
    boxes = ground_truth.boxes_per_class()
    rows = [[name, str(boxes[label]), *figures(name)] for name, label in zip(names, labels, strict=True)]
    block = [Column("class", text=True, most=LONGEST_NAME), Column("boxes"), *columns]
    widths = [
        min(max(map(len, texts)), column.most or len(column.head) + width)
        for column, *texts in zip(block, [column.head for column in block], *rows, strict=True)
    ]
    span = sum(widths) + GAP * len(block)
    count = max(1, min(3, (width - 1) // span, len(rows) // 4))
    height = -(-len(rows) // count)
    padded = rows + [[""] * len(block)] * (height * count - len(rows))
    return block * count, [[list(chain.from_iterable(padded[i::height])) for i in range(height)]]


def _shown(figures: Mapping[str, object], all_metrics: bool) -> list[str]:
    """The figures worth a row: AR alone is AR at the largest cap, which has a row under its number."""
    return [name for name in figures if (name != "AR" if all_metrics else name in PER_CLASS_FIGURES)]


def _split_recall(rows: Cells) -> list[Cells]:
    """The rows in two sections, precision and recall."""
    recall = [row for row in rows if row[0].startswith("AR")]
    return [[row for row in rows if row not in recall], *([recall] if recall else [])]


def _beside_each_other(files: Sequence[EvaluatedFile], width: int) -> Iterator[Sequence[EvaluatedFile]]:
    """The first file with as many of the others at a time as the width holds, at least one."""
    names = short_names([file.name for file in files])
    first, *others = (replace(file, name=name) for file, name in zip(files, names, strict=True))
    least = max(len("100.00"), min(SHORTEST_HEAD, max(map(len, names))))
    count = 0
    while count < len(others) and _room_for_heads(count + 2, first, width) >= least:
        count += 1
    step = max(1, count)
    for start in range(0, max(1, len(others)), step):
        yield [first, *others[start : start + step]]


def _room_for_heads(count: int, first: EvaluatedFile, width: int, others: Sequence[int] | None = None) -> int:
    """How wide the names of N files may be, next to the differences to the first and columns as wide as `others`.

    Without `others`: next to a class and its boxes.
    """
    if others is None:
        others = (min(LONGEST_NAME, max(map(len, first.metrics.per_class), default=0)), len("boxes"))
    others = (*others, *[LONGEST_CHANGE[first.bootstrapped is not None]] * (count - 1))
    return (width - 1 - sum(others) - GAP * (len(others) + count)) // count


def _file_columns(files: Sequence[EvaluatedFile], width: int, others: Sequence[int] | None = None) -> list[Column]:
    most = max(SHORTEST_HEAD, min(LONGEST_HEAD, _room_for_heads(len(files), files[0], width, others)))
    first, *rest = (Column(file.name, most=most) for file in files)
    difference = Column("diff ± 95 %" if files[0].bootstrapped else "diff", change=True)
    return [first, *chain.from_iterable((other, difference) for other in rest)]


def _compared(
    name: str, figures: Sequence[Mapping[str, float]], intervals: Sequence[Mapping[str, Interval | None]]
) -> list[str]:
    """The first file's figure, then each other's with its difference, starred where its interval does not contain 0."""
    row = [percent(figures[0][name])]
    for own, reaches in zip(figures[1:], intervals[1:], strict=True):
        change, reach = differences(own, figures[0])[name], reaches.get(name)
        text = NOTHING if change is None else f"{100 * change:+.2f}"
        star = "* " if reach is not None and (reach[0] > 0 or reach[1] < 0) else ""
        row += [percent(own[name]), f"{star}{text}{_reach(change, reaches, name)}" if change is not None else text]
    return row


def _reach(value: float, intervals: Mapping[str, Interval | None], name: str) -> str:
    """The interval around a value as one number, as wide as all others so that figures are aligned."""
    if not intervals:
        return ""
    interval = intervals.get(name)
    reach = NOTHING if interval is None else f"{100 * max(interval[1] - value, value - interval[0]):.2f}"
    return f" ± {reach:>5}"


def _difference(bootstrapped: Bootstrapped | None) -> Intervals | None:
    return bootstrapped.difference if bootstrapped else None


def _difference_figures(bootstrapped: Bootstrapped | None) -> Mapping[str, Interval | None]:
    difference = _difference(bootstrapped)
    return difference.figures if difference else {}


def _difference_classes(bootstrapped: Bootstrapped | None, name: str) -> Mapping[str, Interval | None]:
    difference = _difference(bootstrapped)
    return difference.per_class[name] if difference else {}
