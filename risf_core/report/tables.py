"""The page's tables and verdicts as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from risf_core.evaluation import UNDEFINED, differences
from risf_core.evaluation.compare import Interval
from risf_core.evaluation.metrics import GROUP_PREFIXES
from risf_core.report.comparison import Comparison
from risf_core.report.moved import Kind, Moved
from risf_core.report.verdicts import Kept

NOTHING = "–"  # where there is no ground truth to measure against
_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Change:
    """A difference in percent, with the reach of its interval; `tone` says whether it is beyond chance."""

    text: str
    tone: str = ""  # up-text | down-text | nothing, where the interval holds 0 or there is none


@dataclass(frozen=True)
class FigureRow:
    """A figure before and after, in percent."""

    name: str
    before: str
    after: str
    change: Change
    novel: bool = False
    boxes: int = 0


@dataclass(frozen=True)
class FigureGroup:
    """The figures over a group of classes."""

    title: str
    rows: Sequence[FigureRow]


@dataclass(frozen=True)
class Verdict:
    """The comparison in a sentence or two."""

    text: str
    tone: str  # up | down | nothing


def summary_of(comparison: Comparison) -> list[FigureGroup]:
    """All figures over all classes, and over base and novel ones where there are such."""
    before, after = (file.evaluated.metrics for file in comparison.files)
    flat = before.flat(), after.flat()
    intervals = _figure_intervals(comparison)
    sides = {"": "all classes", **{GROUP_PREFIXES[group]: f"{group} classes" for group in before.groups}}
    return [
        FigureGroup(
            title,
            [
                _row(name, flat[0][f"{prefix}{name}"], flat[1][f"{prefix}{name}"], intervals.get(f"{prefix}{name}"))
                for name in before.overall
                if name != "AR"  # AR at the largest cap has a row under its number
            ],
        )
        for prefix, title in sides.items()
    ]


@dataclass(frozen=True)
class Confused:
    """Rows that were detected as another class than the box they are on."""

    detected: str
    box: str
    rows: str


@dataclass(frozen=True)
class Errors:
    """What costs AP: tables of groups of classes, a sentence for each file, and the worst confusions of each."""

    groups: Sequence[FigureGroup]
    sentences: Sequence[tuple[str, str]]  # before or after, what re-scoring can mend
    confusions: Sequence[tuple[str, Sequence[Confused]]]


def errors_of(comparison: Comparison) -> Errors:
    """The errors of both files, in the words of `risf evaluate --errors`."""
    first, second = (file.evaluated.errors for file in comparison.files)
    assert first is not None
    assert second is not None
    titles = {"": "all classes", **{prefix: f"{group} classes" for group, prefix in GROUP_PREFIXES.items()}}
    pairs = [pair for own in zip(first.sections(), second.sections(), strict=True) for pair in zip(*own, strict=True)]
    main = "n" if "n" in first.costs else ""
    sides = (("before", first), ("after", second))
    groups = []
    for group in first.costs:
        rows = [_row(old.title, old.values[group], new.values[group], None) for old, new in pairs]
        groups.append(FigureGroup(titles[group], rows))
    return Errors(
        groups,
        [(side, own.sentence(main)) for side, own in sides],
        [
            (side, [Confused(detected, box, f"{rows:,}") for detected, box, rows in own.confusions])
            for side, own in sides
        ],
    )


def class_rows(comparison: Comparison) -> list[FigureRow]:
    """AP of each class that has boxes, the largest change first."""
    truth = comparison.truth
    names, boxes = truth.vocabulary.names, truth.boxes_per_class()
    before, after = (file.evaluated.metrics.per_class for file in comparison.files)
    bootstrapped = comparison.after.evaluated.bootstrapped
    difference = bootstrapped.difference.per_class if bootstrapped and bootstrapped.difference else {}
    rows = [
        _row(
            name,
            before[name]["AP"],
            after[name]["AP"],
            difference[name]["AP"] if difference else None,
            novel=own in truth.vocabulary.novel,
            boxes=int(count),
        )
        for name, own, count in zip(names, truth.vocabulary.names, boxes, strict=True)
        if before[name]["AP"] != UNDEFINED
    ]
    moves = {row.name: abs(after[row.name]["AP"] - before[row.name]["AP"]) for row in rows}
    return sorted(rows, key=lambda row: -moves[row.name])


def verdict_of(comparison: Comparison, *, flattered: bool = False) -> Verdict:
    """Whether AFTER is better, in words; `flattered`: its scores were fitted to these very images."""
    before, after = (file.evaluated.metrics.flat() for file in comparison.files)
    intervals = _figure_intervals(comparison)
    shown = ["AP", *(["nAP"] if "nAP" in before else [])]
    titles = {"AP": "AP over all classes", "nAP": "AP over the novel classes (nAP)"}
    sentences, tones = [], []
    for name in shown:
        if UNDEFINED in (before[name], after[name]):
            sentences.append(f"{titles[name]} is undefined: there are no boxes to measure against.")
            continue
        own = (before[name], after[name], intervals.get(name))
        sentence, tone = _verdict(titles[name], *own, bootstrapped=bool(intervals), flattered=flattered)
        sentences.append(sentence)
        tones.append(tone)
    tone = tones[0] if tones and len(set(tones)) == 1 else ""
    return Verdict(" ".join(sentences), tone)


@dataclass(frozen=True)
class KeptColumn:
    """What a threshold keeps of a file."""

    title: str
    cells: Mapping[str, str]


def kept_columns(comparison: Comparison) -> list[KeptColumn]:
    """What the threshold keeps of both files, and of AFTER at as many detections."""
    columns = [("before", comparison.before.kept), ("after", comparison.after.kept)]
    if comparison.kept_as_many is not None:
        columns.append(("after, as many", comparison.kept_as_many))
    return [KeptColumn(title, _cells(kept)) for title, kept in columns]


@dataclass(frozen=True)
class Flow:
    """How many detections cross the threshold in one direction."""

    name: str
    true: str
    false: str


def flows_of(moved: Mapping[Kind, Moved]) -> list[Flow]:
    """Detections that AFTER drops below the threshold and lifts to it."""
    return [
        Flow("dropped by AFTER", f"{moved['true lost'].count:,} lost", f"{moved['false removed'].count:,} removed"),
        Flow("lifted by AFTER", f"{moved['true gained'].count:,} gained", f"{moved['false added'].count:,} added"),
    ]


def percent(value: float | None, digits: int = 2) -> str:
    """A value of 0..1 in percent.

    >>> percent(0.358172), percent(-1.0)
    ('35.82', '–')
    """
    return NOTHING if value is None or value == UNDEFINED else f"{100 * value:.{digits}f}"


def signed(value: float) -> str:
    """A difference in percent with its sign.

    >>> signed(-0.0123)
    '−1.23'
    """
    text = f"{100 * value:+.2f}"
    return text.strip("+-") if text.strip("+-0.") == "" else text.replace("-", _MINUS)


def _row(
    name: str, before: float, after: float, interval: Interval | None, *, novel: bool = False, boxes: int = 0
) -> FigureRow:
    change = differences({name: after}, {name: before})[name]
    return FigureRow(name, percent(before), percent(after), _change(change, interval), novel, boxes)


def _change(change: float | None, interval: Interval | None) -> Change:
    if change is None:
        return Change(NOTHING)
    if interval is None:
        return Change(signed(change))
    reach = max(interval[1] - change, change - interval[0])
    tone = "up-text" if interval[0] > 0 else "down-text" if interval[1] < 0 else ""
    return Change(f"{signed(change)} ± {100 * reach:.2f}", tone)


def _verdict(
    title: str, before: float, after: float, interval: Interval | None, *, bootstrapped: bool, flattered: bool
) -> tuple[str, str]:
    change = after - before
    figures = f"{title}: {percent(before)} before, {percent(after)} after ({signed(change)}"
    if interval is None:
        why = "too few images for an interval" if bootstrapped else "no intervals were computed"
        return f"{figures}; {why}, so it may be chance).", ""
    bounds = f"{figures}; 95 % interval {signed(interval[0])} to {signed(interval[1])})"
    if interval[0] > 0:
        if flattered:
            return (
                f"{bounds}: AFTER is better on the images that it was fitted to, which does not show that it is better "
                "on others.",
                "",
            )
        return f"{bounds}: AFTER is better, beyond chance.", "up"
    if interval[1] < 0:
        return f"{bounds}: AFTER is worse, beyond chance; keep the scores of BEFORE.", "down"
    if change == interval[0] == interval[1] == 0:
        return f"{bounds}: both are the same.", ""
    return f"{bounds}: no difference that these images can show.", ""


def _figure_intervals(comparison: Comparison) -> Mapping[str, Interval | None]:
    bootstrapped = comparison.after.evaluated.bootstrapped
    return bootstrapped.difference.figures if bootstrapped and bootstrapped.difference else {}


def _cells(kept: Kept) -> dict[str, str]:
    return {
        "score from": f"{kept.threshold:.3g}",
        "detections": f"{kept.true + kept.false:,}",
        "true": f"{kept.true:,}",
        "false": f"{kept.false:,}",
        "boxes missed": f"{kept.missed:,}",
        "precision": percent(kept.precision, 1),
        "recall": percent(kept.recall, 1),
        "F1": percent(kept.f1, 1),
    }
