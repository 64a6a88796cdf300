"""The AP that perfect scores, or perfect scores and classes, would give the rows that a detector found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.coco_matching import Pairs, match_coco
from risf_core.evaluation.metrics import class_means, labels_by_group
from risf_core.evaluation.resampling import Resampler

LEAST_OVERLAP = 0.5  # IoU of a row with the box that is its own


def ceilings_of(
    table: Detections, ground_truth: AnnotatedDataset, rows: NDArray[np.int64], near: Pairs, *, cap: int
) -> Mapping[str, Mapping[str, float]]:
    """AP and AP50 by group where each row's score is its overlap with the box that is its own, and 0 where none is.

    Args:
        rows: (P,) positions in the table of the pairs `near`: the boxes of any class that each row overlaps, no crowds.
    """
    enough = near.overlaps >= LEAST_OVERLAP
    rows, near = rows[enough], near[enough]
    descending = np.argsort(-near.overlaps, kind="stable")
    rows, near = rows[descending], near[descending]
    same = table.labels[rows] == ground_truth.labels[near.boxes]
    result: dict[str, dict[str, float]] = {group: {} for group in labels_by_group(ground_truth.vocabulary)}
    for prefix, kept in (("", same), ("relabelled ", np.ones_like(same))):
        scores, labels = _judged(table, ground_truth, rows[kept], near[kept])
        right = scores > 0
        judged = replace(table[right].with_scores(scores[right]), labels=labels[right])
        matches = match_coco(judged, ground_truth, caps=[cap])
        matches = replace(  # boxes of all sizes alone
            matches,
            true_positive=matches.true_positive[:1],
            ignored=matches.ignored[:1],
            truth_counted=matches.truth_counted[:1],
            caps=(),
        )
        once = np.ones((1, matches.image_count), dtype=np.int32)
        precision = Resampler(matches).figures(once).average_precision[0, 0]  # (T, C)
        for group, classes in labels_by_group(ground_truth.vocabulary).items():
            result[group] |= {
                f"{prefix}AP": float(class_means(precision[:, classes].reshape(1, -1))[0]),
                f"{prefix}AP50": float(class_means(precision[:1, classes])[0]),
            }
    return result


def _judged(
    table: Detections, ground_truth: AnnotatedDataset, rows: NDArray[np.int64], near: Pairs
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The overlap (N,) of each row with the box that is its own, 0 where none is, and that box's class (N,).

    Boxes go to rows by overlap, the largest first as the pairs are, each once.
    """
    scores, labels = np.zeros(len(table)), table.labels.copy()
    free_row, free_box = np.ones(len(table), dtype=bool), np.ones(len(ground_truth), dtype=bool)
    given = []
    for pair, (row, box) in enumerate(zip(rows.tolist(), near.boxes.tolist(), strict=True)):
        if free_row[row] and free_box[box]:
            free_row[row] = free_box[box] = False
            given.append(pair)
    scores[rows[given]] = np.minimum(near.overlaps[given], 1.0)
    labels[rows[given]] = ground_truth.labels[near.boxes[given]]
    return scores, labels
