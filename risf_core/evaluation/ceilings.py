"""The AP that perfect scores, or perfect scores and classes, would give the rows that a detector found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.coco_matching import match_coco, overlaps_of_pairs
from risf_core.evaluation.matches import Order, candidate_pairs
from risf_core.evaluation.metrics import class_means, labels_by_group
from risf_core.evaluation.resampling import Resampler

LEAST_OVERLAP = 0.5  # IoU of a row with the box that is its own


def ceilings_of(table: Detections, ground_truth: AnnotatedDataset, *, cap: int) -> Mapping[str, Mapping[str, float]]:
    """AP and AP50 by group where each row's score is its overlap with the box that is its own, and 0 where none is."""
    result: dict[str, dict[str, float]] = {group: {} for group in labels_by_group(ground_truth.vocabulary)}
    for prefix, any_class in (("", False), ("relabelled ", True)):
        scores, labels = _judged(table, ground_truth, any_class=any_class)
        right = scores > 0
        judged = replace(table[right].with_scores(scores[right]), labels=labels[right])
        matches = match_coco(judged, ground_truth, caps=[cap])
        once = np.ones((1, matches.image_count), dtype=np.int32)
        precision = Resampler(matches).figures(once).average_precision[0, 0]  # (T, C)
        for group, classes in labels_by_group(ground_truth.vocabulary).items():
            result[group] |= {
                f"{prefix}AP": float(class_means(precision[:, classes].reshape(1, -1))[0]),
                f"{prefix}AP50": float(class_means(precision[:1, classes])[0]),
            }
    return result


def _judged(
    table: Detections, ground_truth: AnnotatedDataset, *, any_class: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The overlap (N,) of each row with the box that is its own, 0 where none is, and that box's class (N,).

    Boxes go to rows by overlap, the largest first, each once.
    """
    order = Order.of(table, ground_truth, cap=None, ties="image")
    scores, labels = np.zeros(len(table)), table.labels.copy()
    pieces = [(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), np.empty(0))]
    for places, boxes in candidate_pairs(table, ground_truth, order, any_class=any_class):
        overlaps = overlaps_of_pairs(
            table.boxes_xywh[order.rows[places]], ground_truth.boxes_xywh[boxes], np.zeros(len(boxes), dtype=bool)
        )
        kept = (overlaps >= LEAST_OVERLAP) & ~ground_truth.crowd[boxes]
        pieces.append((order.rows[places[kept]], boxes[kept], overlaps[kept]))
    rows, boxes, overlaps = (np.concatenate(column) for column in zip(*pieces, strict=True))
    taken = np.zeros(len(ground_truth), dtype=bool)
    for pair in np.argsort(-overlaps, kind="stable").tolist():
        row, box = rows[pair], boxes[pair]
        if scores[row] == 0 and not taken[box]:
            scores[row], labels[row], taken[box] = min(overlaps[pair], 1.0), ground_truth.labels[box], True
    return scores, labels
