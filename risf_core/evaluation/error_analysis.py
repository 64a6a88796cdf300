"""What an analysis of a detector's errors found: figures, and the words for them in every table and sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from risf_core.evaluation.compare import Interval

KINDS: tuple[str, ...] = ("class", "box", "both", "duplicate", "background", "missed")
MENDABLE: tuple[str, ...] = ("class", "background")  # by other scores

Figures = Mapping[str, float]  # name -> AP in 0..1


@dataclass(frozen=True, eq=False)
class ErrorLine:
    """A figure of an analysis with the words for it."""

    title: str
    values: Figures  # group -> in 0..1
    intervals: Mapping[str, Interval | None]  # 95 %, by group; empty where there are none


@dataclass(frozen=True, eq=False)
class ErrorAnalysis:
    """The costs of the errors of one detections file, AP50 in 0..1; group "" is all classes, "b" base, "n" novel."""

    ap50: Figures  # group -> as it is
    costs: Mapping[str, Figures]  # group -> kind -> AP50 that mending all errors of the kind would add
    intervals: Mapping[str, Mapping[str, Interval | None]]  # of the costs; empty without resamples
    counts: Mapping[str, int]  # kind -> errors
    ceilings: Mapping[str, Figures]  # group -> "AP", "AP50" of a perfect judge of the rows; "relabelled AP" ... too
    scores: Mapping[str, Figures]  # group -> oLRP and its parts, LaECE0: lower is better
    confusions: Sequence[tuple[str, str, int]]  # class of the row, class of the box, rows; the most frequent first

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Plain JSON values."""
        return {
            **{
                name: dict(getattr(self, name))
                for name in ("ap50", "costs", "intervals", "counts", "ceilings", "scores")
            },
            "confusions": [list(pair) for pair in self.confusions],
        }

    def sections(self) -> list[list[ErrorLine]]:
        """The lines of a table: what each kind of error costs, the AP that other scores could reach, oLRP, LaECE0."""
        kinds = [
            ErrorLine(
                _TITLES[kind],
                {group: own[kind] for group, own in self.costs.items()},
                {group: own[kind] for group, own in self.intervals.items()},
            )
            for kind in KINDS
        ]
        ceilings = [
            ErrorLine(title, {group: own[name] for group, own in self.ceilings.items()}, {})
            for title, name in (("perfect scores: AP", "AP"), ("and classes: AP", "relabelled AP"))
        ]
        scores = [
            ErrorLine(name, {group: own[name] for group, own in self.scores.items()}, {}) for name in self.scores[""]
        ]
        return [kinds, ceilings, scores]

    def sentence(self, group: str = "") -> str:
        """In words, what re-scoring can mend here and what it cannot."""
        costs = self.costs[group]
        can = " and ".join(f"{100 * costs[kind]:.1f} lost to {_WORDS[kind]}" for kind in MENDABLE)
        worst = max((kind for kind in KINDS if kind not in MENDABLE), key=lambda kind: costs[kind])
        return (
            f"other scores can give back the AP50 {can}, not the {100 * costs[worst]:.1f} lost to {_WORDS[worst]}; "
            f"perfect scores for these rows would reach {100 * self.ceilings[group]['AP']:.1f} AP"
        )


_WORDS: Mapping[str, str] = {
    "class": "wrong classes",
    "box": "boxes that fit badly",
    "both": "rows of a wrong class and box",
    "duplicate": "duplicates",
    "background": "background",
    "missed": "missed objects",
}
_TITLES: Mapping[str, str] = {
    "class": "wrong class",
    "box": "box fits badly",
    "both": "wrong class and box",
    "duplicate": "duplicate",
    "background": "background",
    "missed": "missed objects",
}
