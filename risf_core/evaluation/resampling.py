"""AP and recall of each class over multisets of the images, accumulated from matches that were found once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.evaluation.matches import Matches


@dataclass(frozen=True, eq=False)
class ClassFigures:
    """AP and recall for B multisets of images; NaN where a class has no box (of that area) among the images."""

    average_precision: NDArray[np.float64]  # (B, A, T, C) by area, IoU threshold, class
    recall: NDArray[np.float64]  # (B, A, T, C) of all detections that have a verdict
    capped_recall: NDArray[np.float64]  # (B, K, T, C) in the first area, at each of the K caps


class Resampler:
    """Matches laid out so that another multiset of images costs a few sums over the true positives."""

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._parts = [
            _Part.of(matches, area, label)
            for area in range(len(matches.true_positive))
            for label in range(matches.class_count)
        ]

    def figures(self, counts: NDArray[np.int32]) -> ClassFigures:
        """The figures where image i occurs counts[b, i] times; counts (B, images).

        An image that occurs twice counts as two images: its boxes and its detections twice, the copies of a detection
        one after the other. All ones give the figures of the data themselves.
        """
        matches = self._matches
        areas, thresholds, _ = matches.true_positive.shape
        shape = (len(counts), areas, thresholds, matches.class_count)
        precision, recall = np.full(shape, np.nan), np.full(shape, np.nan)
        capped = np.full((len(counts), len(matches.caps), thresholds, matches.class_count), np.nan)
        for part in self._parts:
            every_box = counts.take(part.truth_images, axis=1).sum(axis=1)  # (B,)
            some = np.flatnonzero(every_box)
            if not len(some):
                continue
            drawn, boxes = counts[some], every_box[some].astype(np.float64)
            at = (some, part.area, slice(None), part.label)
            precision[at], recall[at] = part.accumulate(drawn, boxes, matches.recall_thresholds)
            if part.area == 0:
                for cap, found in enumerate(part.found_within(drawn, matches.caps)):
                    capped[some, cap, :, part.label] = found / boxes[:, None]
        return ClassFigures(precision, recall, capped)


@dataclass(frozen=True, eq=False)
class _Part:
    """One class in one area range.

    Precision is needed at true positives only: between two of them it falls, and AP takes the best to the right. There
    it is (true positives so far) / (detections that count so far). Which detections count hardly depends on the IoU
    threshold, so they are summed once, for the strictest one, and corrected by the few rows that differ.
    """

    area: int
    label: int
    truth_images: NDArray[np.int64]  # of the boxes that count
    counted_images: NDArray[np.int64]  # of the detections that count at the strictest threshold, in order
    found_images: NDArray[np.int64]  # of the true positives, of one threshold after the other (F,)
    found_places: NDArray[np.int64]  # their places among the detections of their image (F,)
    found_bounds: NDArray[np.int64]  # where those of each threshold begin and end (T + 1,)
    counted_until: NDArray[np.int64]  # how many of counted_images there are up to each true positive (F,)
    differing_images: NDArray[np.int64]  # of the rows that count at one threshold only, or not at one (D,)
    differing_signs: NDArray[np.int32]  # +1 or -1 (D,)
    differing_from: NDArray[np.int64]  # for each true positive, where the differing rows of its threshold begin (F,)
    differing_until: NDArray[np.int64]  # and where they end before it (F,)

    @classmethod
    def of(cls, matches: Matches, area: int, label: int) -> _Part:
        rows = slice(matches.order.bounds[label], matches.order.bounds[label + 1])
        boxes = slice(matches.truth_bounds[label], matches.truth_bounds[label + 1])
        images, places = matches.order.images[rows], matches.order.places[rows]
        hits = matches.true_positive[area, :, rows]  # (T, n)
        counts = ~matches.ignored[area, :, rows]
        base = np.flatnonzero(counts[-1])
        thresholds, found = np.nonzero(hits)  # by threshold, then in order
        differing_thresholds, differing = np.nonzero(counts != counts[-1])
        starts = np.searchsorted(differing_thresholds, np.arange(len(hits) + 1))
        span = len(images) + 1
        return cls(
            area=area,
            label=label,
            truth_images=matches.truth_images[boxes][matches.truth_counted[area, boxes]],
            counted_images=images[base],
            found_images=images[found],
            found_places=places[found],
            found_bounds=np.searchsorted(thresholds, np.arange(len(hits) + 1)),
            counted_until=np.searchsorted(base, found, side="right"),
            differing_images=images[differing],
            differing_signs=np.where(counts[differing_thresholds, differing], 1, -1).astype(np.int32),
            differing_from=starts[thresholds],
            differing_until=np.searchsorted(
                differing_thresholds * span + differing, thresholds * span + found, side="right"
            ),
        )

    def accumulate(
        self, counts: NDArray[np.int32], boxes: NDArray[np.float64], recall_thresholds: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """AP (B, T) and recall (B, T) where image i occurs counts[b, i] times and boxes[b] (at least 1) boxes count."""
        thresholds = len(self.found_bounds) - 1
        precision, recall = np.zeros((2, len(counts), thresholds))
        if not len(self.found_images):
            return precision, recall
        counted = _running_sum(counts, self.counted_images).take(self.counted_until, axis=1)  # (B, F)
        if len(self.differing_images):
            changes = _running_sum(counts, self.differing_images, self.differing_signs)
            counted += changes.take(self.differing_until, axis=1) - changes.take(self.differing_from, axis=1)
        found = _running_sum(counts, self.found_images)  # (B, F + 1) over all thresholds
        for threshold in range(thresholds):
            begin, end = self.found_bounds[threshold : threshold + 2]
            if begin == end:
                continue
            hits = found[:, begin + 1 : end + 1] - found[:, begin, None]
            at_hits = hits / np.maximum(counted[:, begin:end], 1)
            best_right = np.maximum.accumulate(at_hits[:, ::-1], axis=1)[:, ::-1]
            recalls = hits / boxes[:, None]
            reached = _thresholds_reached(recalls, recall_thresholds)
            steps = reached.copy()
            steps[:, 1:] -= reached[:, :-1]
            precision[:, threshold] = np.einsum("bn,bn->b", best_right, steps) / len(recall_thresholds)
            recall[:, threshold] = recalls[:, -1]
        return precision, recall

    def found_within(self, counts: NDArray[np.int32], caps: Sequence[int]) -> list[NDArray[np.float64]]:
        """How many true positives there are among the first `cap` detections of each image: (B, T) for each cap."""
        totals = []
        for cap in caps:
            kept = self.found_places < cap
            sums = _running_sum(counts, self.found_images[kept])
            at = np.concatenate([[0], np.cumsum(kept)])[self.found_bounds]
            totals.append(np.diff(sums.take(at, axis=1), axis=1).astype(np.float64))
        return totals


def _running_sum(
    counts: NDArray[np.int32], images: NDArray[np.int64], signs: NDArray[np.int32] | None = None
) -> NDArray[np.int32]:
    """How often the first k of the images occur, (B, n + 1) for k = 0 .. n."""
    sums = np.zeros((len(counts), len(images) + 1), dtype=np.int32)
    occurring = counts.take(images, axis=1)
    if signs is not None:
        occurring *= signs
    np.cumsum(occurring, axis=1, out=sums[:, 1:], dtype=np.int32)
    return sums


def _thresholds_reached(recalls: NDArray[np.float64], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of the evenly spaced thresholds (R,) each recall is at least as large as."""
    nearest = np.rint(recalls * (len(thresholds) - 1)).astype(np.int64)  # the only one in doubt
    return nearest + (thresholds.take(nearest) <= recalls)
