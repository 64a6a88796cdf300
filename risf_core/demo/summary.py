"""The demo's one table: novel and base AP of every way, over one seed or several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from risf_core.evaluation.aggregate import Spread

Figures = Mapping[str, Any]  # what `risf evaluate --out` writes; Any: JSON

# The files of one seed's evaluation in their order, and of each the one that it is compared with
WAYS: Mapping[str, str | None] = {
    "cross-entropy": None,
    "cross-entropy + CM-CLIP": "cross-entropy",
    "BNRL": "cross-entropy",
    "BNRL + CM-CLIP": "BNRL",
}


@dataclass(frozen=True)
class Measured:
    """A figure in 0..1 and the half width of its 95 % interval; None where there is none."""

    value: float
    reach: float | None


@dataclass(frozen=True)
class WayRow:
    """One row of the table."""

    way: str
    novel: Measured  # AP of the novel classes
    base: Measured
    against: str | None  # the way that `change` is the difference to
    change: Measured | None  # of novel AP


def summary(seeds: Sequence[tuple[Figures, Figures]]) -> list[WayRow]:
    """The table's rows from each seed's two evaluations: of all four files, and of BNRL's two.

    One seed: its figures with the intervals of the bootstrap over images. Several: means over the seeds with
    1.96 s / sqrt(n), the changes paired by seed.
    """
    rows = []
    for place, (way, against) in enumerate(WAYS.items()):
        of_seeds = [_of_seed(whole, own, place, against) for whole, own in seeds]
        novel, base, change = (_joined([one[part] for one in of_seeds]) for part in range(3))
        assert novel is not None
        assert base is not None
        rows.append(WayRow(way, novel, base, against, change))
    return rows


def _of_seed(whole: Figures, own: Figures, place: int, against: str | None) -> list[Measured | None]:
    """Novel AP, base AP and the change of one way for one seed."""
    result = whole["results"][place]
    compared = own["results"][1] if against == "BNRL" else result  # differences are to the first of the files
    values: list[Measured | None] = [
        _measured(result["metrics"], result.get("intervals"), name) for name in ("nAP", "bAP")
    ]
    if against is None:
        return [*values, None]
    return [*values, _measured(compared["difference"], compared.get("difference_intervals"), "nAP")]


def _measured(figures: Figures, intervals: Figures | None, name: str) -> Measured:
    interval = intervals["metrics"][name] if intervals is not None else None
    return Measured(figures[name], None if interval is None else (interval[1] - interval[0]) / 2)


def _joined(values: Sequence[Measured | None]) -> Measured | None:
    known = [value for value in values if value is not None]
    if not known or len(known) == 1:
        return known[0] if known else None
    spread = Spread.of([value.value for value in known])
    return Measured(spread.mean, spread.interval)
