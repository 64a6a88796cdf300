"""Matching by COCO's rule, vectorised: the verdict on every detection in all area ranges and at all IoU thresholds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.coco_evaluators import AREAS, IOU_THRESHOLDS, RECALL_THRESHOLDS
from risf_core.evaluation.matches import Matches, Order, candidate_pairs, ranges, truth_by_class

_DETECTIONS_AT_ONCE = 1 << 14  # bounds the memory of a turn


def match_coco(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    caps: Sequence[int],
    order: Order | None = None,
    only_half: bool = False,
) -> Matches:
    """The matches of detections whose image ids and labels are the ground truth's; `caps` ascending.

    In each image and class the detections take turns, best score first. Each takes the box it overlaps most, of those
    that count in the area range, overlap it by at least the threshold and are not taken; of equals the later one. Where
    there is none, it may take a box that does not count (crowd, or of another size) and is then ignored; a crowd can be
    taken by many. Detections that take nothing are ignored where they are themselves of another size (Lin et al.,
    Microsoft COCO, 2014; the rule is that of pycocotools' evaluateImg).

    Args:
        order: of all detections, by ties of images, where it is known.
        only_half: the verdicts at IoU 0.5 over boxes of all sizes alone.
    """
    areas, thresholds = (1, 1) if only_half else (len(AREAS), len(IOU_THRESHOLDS))
    order = Order.of(detections, ground_truth, ties="image") if order is None else order
    order = order.capped(caps[-1])
    positions, images, bounds = truth_by_class(ground_truth)
    counted = ~ground_truth.crowd & _of_size(ground_truth.areas)[:areas]  # (A, M)
    sides = detections.boxes_xywh[order.rows, 2:]
    shape = (areas, thresholds, len(order.rows))
    true_positive = np.zeros(shape, dtype=bool)
    ignored = np.broadcast_to(~_of_size(sides[:, 0] * sides[:, 1])[:areas, None], shape).copy()
    taken = np.zeros((*shape[:2], len(ground_truth)), dtype=bool)
    found_boxes = np.full(len(order.rows), -1, dtype=np.int64)
    for turn in turns(overlapping_pairs(detections, ground_truth, order), order):
        chosen, counts = turn.choices(counted, taken, ground_truth.crowd)  # (A, T, D) boxes or -1; whether they count
        area, threshold, place = np.nonzero(chosen >= 0)
        taken[area, threshold, chosen[area, threshold, place]] = True
        found = counts[area, threshold, place]
        true_positive[area, threshold, turn.detections[place]] = found
        ignored[area, threshold, turn.detections[place]] = ~found
        found_boxes[turn.detections] = np.where(counts[0, 0], chosen[0, 0], -1)
    return Matches(
        order=order,
        true_positive=true_positive,
        ignored=ignored,
        truth_images=images,
        truth_counted=counted[:, positions],
        truth_bounds=bounds,
        image_count=len(ground_truth.images),
        recall_thresholds=RECALL_THRESHOLDS,
        caps=caps,
        found_boxes=found_boxes,
    )


@dataclass(frozen=True, eq=False)
class Pairs:
    """Detections with boxes of their class and image that they overlap."""

    rows: NDArray[np.int64]  # (P,) places of the detections in the order, ascending
    boxes: NDArray[np.int64]  # (P,) positions in the ground truth, ascending within a detection
    overlaps: NDArray[np.float64]  # (P,)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Pairs:
        """Some of the pairs."""
        return Pairs(self.rows[chosen], self.boxes[chosen], self.overlaps[chosen])


@dataclass(frozen=True, eq=False)
class Turn(Pairs):
    """The pairs of D detections, at most one an image and class, whose turn it is."""

    starts: NDArray[np.int64]  # (D,) where the pairs of each detection begin

    @property
    def detections(self) -> NDArray[np.int64]:
        """The detections, (D,), as places in the order."""
        return self.rows[self.starts]

    def choices(
        self, counted: NDArray[np.bool_], taken: NDArray[np.bool_], crowd: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The box that each detection takes, or -1, and whether that box counts: both (A, T, D)."""
        enough = self.overlaps >= IOU_THRESHOLDS[: taken.shape[1], None]  # (T, P)
        free = enough & (~taken[:, :, self.boxes] | crowd[self.boxes])  # (A, T, P)
        counting = counted[:, None, self.boxes]  # (A, 1, P)
        best_counting = self._largest(free & counting)  # (A, T, D)
        best_other = self._largest(free & ~counting)
        return np.where(best_counting >= 0, best_counting, best_other), best_counting >= 0

    def _largest(self, allowed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Of the allowed pairs (A, T, P) of each detection the box of largest overlap, the last of equals, or -1."""
        overlaps = np.where(allowed, self.overlaps, -1.0)
        best = np.maximum.reduceat(overlaps, self.starts, axis=2)
        sizes = np.diff(self.starts, append=len(self.rows))
        is_best = allowed & (overlaps == np.repeat(best, sizes, axis=2))
        chosen: NDArray[np.int64] = np.maximum.reduceat(np.where(is_best, self.boxes, -1), self.starts, axis=2)
        return chosen


def overlapping_pairs(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    order: Order,
    *,
    least: float = float(IOU_THRESHOLDS[0]),
    any_class: bool = False,
) -> Pairs:
    """The pairs that overlap by at least `least`, or by anything at all where that is 0."""
    found, truth = detections.boxes_xywh[order.rows], ground_truth.boxes_xywh
    pieces = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for rows, boxes in candidate_pairs(detections, ground_truth, order, any_class=any_class):
        overlaps = overlaps_of_pairs(found[rows], truth[boxes], ground_truth.crowd[boxes])
        kept = (overlaps >= least) & (overlaps > 0)
        pieces.append((rows[kept], boxes[kept], overlaps[kept]))
    return Pairs(*(np.concatenate(column) for column in zip(*pieces, strict=True)))


def overlaps_of_pairs(
    found: NDArray[np.float64], truth: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Intersection over union (P,) of pairs of boxes (P, 4); over the detection's own area where the box is a crowd."""
    ends = np.minimum(found[:, :2] + found[:, 2:], truth[:, :2] + truth[:, 2:])
    sides = ends - np.maximum(found[:, :2], truth[:, :2])
    intersections = np.where((sides > 0).all(axis=1), sides[:, 0] * sides[:, 1], 0.0)
    own, other = found[:, 2] * found[:, 3], truth[:, 2] * truth[:, 3]
    unions = np.where(crowd, own, own + other - intersections)
    overlaps: NDArray[np.float64] = np.divide(intersections, unions, out=np.zeros(len(found)), where=intersections > 0)
    return overlaps


def turns(pairs: Pairs, order: Order) -> Iterator[Turn]:
    """The pairs by turn: the best detections of all images and classes, then the second best, and so on."""
    rows, starts, sizes = np.unique(pairs.rows, return_index=True, return_counts=True)
    labels = np.searchsorted(order.bounds, rows, side="right")
    by_place = np.lexsort((rows, order.images[rows], labels))  # within an image and class rows ascend with the score
    changes = np.diff(labels[by_place], prepend=-1).astype(bool) | np.diff(
        order.images[rows][by_place], prepend=-1
    ).astype(bool)
    groups = np.flatnonzero(changes)
    number = np.empty(len(rows), dtype=np.int64)
    number[by_place] = np.arange(len(rows)) - np.repeat(groups, np.diff(groups, append=len(rows)))
    by_turn = np.argsort(number, kind="stable")
    ends = np.searchsorted(number[by_turn], np.arange(number.max(initial=-1) + 2))
    for begin, end in pairwise(ends.tolist()):
        for first in range(begin, end, _DETECTIONS_AT_ONCE):
            chosen = by_turn[first : min(first + _DETECTIONS_AT_ONCE, end)]
            at = ranges(starts[chosen], sizes[chosen])
            own_starts = np.cumsum(sizes[chosen]) - sizes[chosen]
            yield Turn(pairs.rows[at], pairs.boxes[at], pairs.overlaps[at], own_starts)


def _of_size(areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each area (M,) is in each of COCO's ranges, both ends included: (A, M)."""
    return np.stack([(areas >= least) & (areas <= most) for least, most in AREAS.values()])
