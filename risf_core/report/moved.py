"""Which detections are worth a picture: the largest rises and falls, and what a threshold newly keeps or drops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Extras, ImageId
from risf_core.report.comparison import Comparison
from risf_core.report.verdicts import FALSE, IGNORED, TRUE

Kind = Literal["rises", "falls", "false removed", "true lost", "true gained", "false added"]


@dataclass(frozen=True)
class MovedRow:
    """One detection whose score moved."""

    image_id: ImageId
    box: tuple[float, float, float, float]  # corners in pixels, as the file states them
    label: int
    score_before: float | None  # None: the row is not in this file
    score_after: float | None
    score_clip: float | None  # what the encoder said of the class by its name, where AFTER keeps it
    score_support: float | None  # and by its shots
    verdict: int  # TRUE, FALSE or IGNORED, in BEFORE where it is there
    clip_names: tuple[tuple[str, float], ...] = ()  # the encoder's top names, where AFTER has them

    def to_json(self, class_names: Sequence[str]) -> dict[str, Any]:  # Any: JSON
        """The row in the words of a detections file."""
        x0, y0, x1, y1 = self.box
        return {
            "image_id": self.image_id,
            "class": class_names[self.label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "score_before": self.score_before,
            "score_after": self.score_after,
            "score_clip": self.score_clip,
            "score_support": self.score_support,
            "clip_names": [list(named) for named in self.clip_names],
            "correct": {TRUE: True, FALSE: False}.get(self.verdict),
        }


@dataclass(frozen=True)
class Moved:
    """How many detections there are of a kind, and those of them that are shown."""

    count: int
    rows: tuple[MovedRow, ...]


def moved_rows(comparison: Comparison, *, most: int) -> dict[Kind, Moved]:
    """Of each kind how many detections there are, and the `most` that matter most, no box twice within a kind.

    Rises and falls are of detections in both files that count (not those of crowd regions). The other kinds are about
    the threshold: what AFTER drops below it or leaves out (false removed, true lost), and what it lifts to it or adds
    (true gained, false added).
    """
    table = _Table.of(comparison)
    change = table.after - table.before  # NaN where a row is in one file only
    threshold = comparison.before.kept.threshold
    was, now = table.before >= threshold, table.after >= threshold  # False for NaN
    counting = (table.verdicts_before != IGNORED) & (table.verdicts_after != IGNORED)
    dropped, lifted = was & ~now, now & ~was
    chosen: dict[Kind, tuple[NDArray[np.bool_], NDArray[np.float64]]] = {
        "rises": ((change > 0) & counting, change),
        "falls": ((change < 0) & counting, -change),
        "false removed": (dropped & (table.verdicts_before == FALSE), table.before),
        "true lost": (dropped & (table.verdicts_before == TRUE), table.before),
        "true gained": (lifted & (table.verdicts_after == TRUE), table.after),
        "false added": (lifted & (table.verdicts_after == FALSE), table.after),
    }
    found = {}
    for kind, (mask, weight) in chosen.items():
        rows = np.flatnonzero(mask)
        ranked = rows[np.argsort(-weight[rows], kind="stable")]
        found[kind] = Moved(len(rows), tuple(_distinct((table.row(place) for place in ranked.tolist()), most)))
    return found


def _distinct(rows: Iterable[MovedRow], most: int) -> Iterator[MovedRow]:
    """The first `most` rows of different boxes."""
    seen: set[tuple[ImageId, tuple[float, ...]]] = set()
    for row in rows:
        if len(seen) == most:
            return
        if (row.image_id, row.box) not in seen:
            seen.add((row.image_id, row.box))
            yield row


@dataclass(frozen=True, eq=False)
class _Table:
    """All detections of both files, those in both once: pairs, then BEFORE's own, then AFTER's own."""

    comparison: Comparison
    rows_before: NDArray[np.int64]  # (K,) -1 where a row is not in the file
    rows_after: NDArray[np.int64]
    before: NDArray[np.float64]  # (K,) scores, NaN there
    after: NDArray[np.float64]
    verdicts_before: NDArray[np.int8]  # (K,) -2 there
    verdicts_after: NDArray[np.int8]

    @classmethod
    def of(cls, comparison: Comparison) -> _Table:
        pairs = comparison.pairs
        rows_before = np.concatenate([pairs.before, pairs.only_before, np.full(len(pairs.only_after), -1)])
        rows_after = np.concatenate([pairs.after, np.full(len(pairs.only_before), -1), pairs.only_after])
        if not len(pairs):  # two files of different detections: nothing moved from one to the other
            rows_before, rows_after = rows_before[:0], rows_after[:0]
        columns = []
        for file, rows in ((comparison.before, rows_before), (comparison.after, rows_after)):
            there = rows >= 0
            scores, verdicts = np.full(len(rows), np.nan), np.full(len(rows), -2, dtype=np.int8)
            scores[there], verdicts[there] = file.table.scores[rows[there]], file.verdicts[rows[there]]
            columns.append((scores, verdicts))
        (before, verdicts_before), (after, verdicts_after) = columns
        return cls(comparison, rows_before, rows_after, before, after, verdicts_before, verdicts_after)

    def row(self, place: int) -> MovedRow:
        in_before = self.rows_before[place] >= 0
        file = self.comparison.before if in_before else self.comparison.after
        position = int(self.rows_before[place] if in_before else self.rows_after[place])
        table = file.table
        x, y, width, height = (float(number) for number in table.boxes_xywh[position])
        extras: Extras = {}
        if self.rows_after[place] >= 0:
            extras = self.comparison.after.table.extras[int(self.rows_after[place])] or {}
        return MovedRow(
            image_id=table.image_ids[position].item() if table.image_ids.dtype != object else table.image_ids[position],
            box=(x, y, x + width, y + height),
            label=int(table.labels[position]),
            score_before=_number(self.before[place]),
            score_after=_number(self.after[place]),
            score_clip=_share(extras.get("score_clip")),
            score_support=_share(extras.get("score_support")),
            verdict=int(self.verdicts_before[place] if in_before else self.verdicts_after[place]),
            clip_names=_clip_names(extras.get("clip_names")),
        )


def _clip_names(value: object) -> tuple[tuple[str, float], ...]:
    """The pairs of a row's key; empty where it is not what `risf rescore` writes."""
    pairs = value if isinstance(value, list) else []
    sound = all(isinstance(pair, list) and list(map(type, pair)) in ([str, float], [str, int]) for pair in pairs)
    return tuple((name, float(share)) for name, share in pairs) if sound else ()


def _share(value: object) -> float | None:
    return float(value) if isinstance(value, float | int) else None


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
