"""How good a detector's scores are beside their order: oLRP with its parts, and the calibration error LaECE0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.coco_matching import Pairs, match_coco, overlapping_pairs, overlaps_of_pairs, turns
from risf_core.evaluation.matches import Matches, Order

LEAST_OVERLAP = 0.5  # of a detection that is right, for LRP
BINS = 25  # of LaECE0's scores
PARTS = ("oLRP", "oLRP box", "oLRP false positives", "oLRP misses")


@dataclass(frozen=True, eq=False)
class RankedRows:
    """The N rows of a class that count, best score first, and the boxes that they are to find."""

    scores: NDArray[np.float64]  # (N,)
    images: NDArray[np.int64]  # (N,) image ranks
    right: NDArray[np.bool_]  # (N,) whether it found a box at IoU 0.5
    errors: NDArray[np.float64]  # (N,) 1 - IoU with that box, 0 where it found none
    box_images: NDArray[np.int64]  # (M,) image ranks of the boxes

    def curves(self) -> tuple[NDArray[np.float64], ...]:
        """By threshold (E,), highest first: the threshold, right rows, false positives, and the sum of the errors.

        A threshold keeps all rows of one score; the first is above all and keeps none.
        """
        ends = np.flatnonzero(np.diff(self.scores, append=-1.0))
        true, error = np.cumsum(self.right)[ends], np.cumsum(self.errors)[ends]
        columns = (self.scores[ends], true, ends + 1 - true, error)
        return tuple(
            np.concatenate([[first], column]) for first, column in zip((np.inf, 0, 0, 0), columns, strict=True)
        )


def lrp_of(
    true: NDArray[np.float64],
    false: NDArray[np.float64],
    error: NDArray[np.float64],
    boxes: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    """LRP from right rows, false positives, the sum of 1 - IoU, and boxes, of one shape; 0 where there is nothing."""
    misses = boxes - true
    total = true + false + misses
    return np.asarray((error / (1 - LEAST_OVERLAP) + false + misses) / np.maximum(total, 1))


def ranked_rows(known: Detections, ground_truth: AnnotatedDataset, matches: Matches) -> list[RankedRows]:
    """The rows of each class (C) as COCO's matching at IoU 0.5 has them; those on crowds do not count."""
    assert matches.found_boxes is not None
    found = matches.found_boxes
    right = found >= 0
    errors = np.zeros(len(found))
    overlaps = overlaps_of_pairs(
        known.boxes_xywh[matches.order.rows[right]],
        ground_truth.boxes_xywh[found[right]],
        np.zeros(int(right.sum()), dtype=bool),
    )
    errors[right] = 1 - np.minimum(overlaps, 1.0)
    scores, counted = known.scores[matches.order.rows], ~matches.ignored[0, 0]
    result = []
    for label in range(matches.class_count):
        rows = np.arange(matches.order.bounds[label], matches.order.bounds[label + 1])
        rows = rows[counted[rows]]
        boxes = slice(matches.truth_bounds[label], matches.truth_bounds[label + 1])
        box_images = matches.truth_images[boxes][matches.truth_counted[0, boxes]]
        result.append(RankedRows(scores[rows], matches.order.images[rows], right[rows], errors[rows], box_images))
    return result


def optimal_lrp(
    detections: Detections, ground_truth: AnnotatedDataset, *, matches: Matches | None = None
) -> Mapping[str, NDArray[np.float64]]:
    """oLRP of each class and its parts at the best threshold, (C,) by name; NaN where a class has no box.

    LRP(s) = (sum over right detections of (1 - IoU) / 0.5 + false positives + misses) / their number, over detections
    that score s or more; oLRP is its minimum over s. The parts: the mean 1 - IoU of right detections, the share of
    false positives among detections, of misses among boxes (Oksuz et al., TPAMI 2021, section 4). Lower is better.

    Args:
        matches: those of the detections whose class is known, where they have been made.
    """
    known = detections[detections.labels >= 0]
    classes = ranked_rows(known, ground_truth, matches or match_coco(known, ground_truth, caps=[100], only_half=True))
    result = {name: np.full(len(classes), np.nan) for name in PARTS}
    for label, rows in enumerate(classes):
        boxes = len(rows.box_images)
        if not boxes:
            continue
        _, true, false, error = rows.curves()
        lrp = lrp_of(true, false, error, boxes)
        best = int(np.argmin(lrp))
        values = (
            lrp[best],
            error[best] / true[best] if true[best] else np.nan,
            false[best] / (true[best] + false[best]) if true[best] + false[best] else np.nan,
            (boxes - true[best]) / boxes,
        )
        for name, value in zip(PARTS, values, strict=True):
            result[name][label] = value
    return result


def calibration_error(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    bins: int = BINS,
    overlapping: tuple[Order, Pairs] | None = None,
) -> NDArray[np.float64]:
    """LaECE0 of each class, (C,): how far scores are from the overlap they should state; NaN where a class has no row.

    The sum over 25 bins of scores of share of rows x |mean score - mean overlap|, where a row's overlap is that with
    the box of its class that it takes (best score first, each box once), 0 where it takes none (Kuzucu et al., On
    Calibration of Object Detectors, ECCV 2024).

    Args:
        overlapping: the rows of known classes in order, and which boxes of their class they overlap, where it is known.
    """
    known = detections[detections.labels >= 0]
    if overlapping is None:
        order = Order.of(known, ground_truth, ties="image")
        overlapping = order, overlapping_pairs(known, ground_truth, order, least=0.0)
    overlaps = _taken_overlaps(*overlapping, ground_truth)
    classes = len(ground_truth.vocabulary)
    places = np.minimum((known.scores * bins).astype(np.int64), bins - 1)
    keys = known.labels * bins + places
    sums = [np.bincount(keys, weights=column, minlength=classes * bins) for column in (known.scores, overlaps)]
    gaps = np.abs(sums[0] - sums[1]).reshape(classes, bins).sum(axis=1)  # of rows x means
    rows = np.bincount(known.labels, minlength=classes)
    return np.asarray(np.divide(gaps, rows, out=np.full(classes, np.nan), where=rows > 0))


def _taken_overlaps(order: Order, pairs: Pairs, ground_truth: AnnotatedDataset) -> NDArray[np.float64]:
    """The overlap (N,) of each row with the box that it takes."""
    taken = ground_truth.crowd.copy()
    result = np.zeros(len(order.rows))
    for turn in turns(pairs, order):
        free = np.where(taken[turn.boxes], 0.0, turn.overlaps)
        best = np.maximum.reduceat(free, turn.starts)  # (D,)
        sizes = np.diff(turn.starts, append=len(turn.rows))
        place = np.where((free == np.repeat(best, sizes)) & (free > 0), np.arange(len(free)), len(free))
        first = np.minimum.reduceat(place, turn.starts)[best > 0]
        taken[turn.boxes[first]] = True
        result[order.rows[turn.rows[first]]] = turn.overlaps[first]
    return result
