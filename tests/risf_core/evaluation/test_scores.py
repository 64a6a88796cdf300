"""oLRP and LaECE0 against loops over their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risf_core.evaluation.scores import calibration_error, optimal_lrp
from tests.risf_core.evaluation.test_errors import iou, world


def taken(rows, boxes, least: float):
    """Each row (image, box, score) with the overlap of the box it takes, best score first, or None."""
    used, found = set(), []
    for image, box, score in sorted(rows, key=lambda row: -row[2]):
        fits = [
            (iou(box, other), number)
            for number, (own, other) in enumerate(boxes)
            if own == image and number not in used and iou(box, other) >= least and iou(box, other) > 0
        ]
        if fits:
            used.add(max(fits)[1])
        found.append((score, max(fits)[0] if fits else None))
    return found


def of_class(detections, truth, label: int):
    rows = [
        (image, box, score)
        for image, box, score, own in zip(
            detections.image_ids.tolist(), detections.boxes_xywh.tolist(), detections.scores.tolist(),
            detections.labels.tolist(), strict=True,
        )
        if own == label
    ]  # fmt: skip
    columns = zip(truth.image_ids.tolist(), truth.boxes_xywh.tolist(), truth.labels.tolist(), strict=True)
    return rows, [(image, box) for image, box, own in columns if own == label]


@pytest.mark.parametrize("seed", range(40))
def test_olrp_is_the_least_lrp_over_all_thresholds(seed: int) -> None:
    detections, truth = world(seed)
    ours = optimal_lrp(detections, truth)
    for label in range(3):
        rows, boxes = of_class(detections, truth, label)
        if not boxes:
            assert math.isnan(ours["oLRP"][label])
            continue
        found = taken(rows, boxes, 0.5)
        values = []
        for threshold in [2.0, *(score for score, _ in found)]:
            kept = [overlap for score, overlap in found if score >= threshold]
            right = [overlap for overlap in kept if overlap is not None]
            false, misses = len(kept) - len(right), len(boxes) - len(right)
            error = sum((1 - overlap) / 0.5 for overlap in right)
            values.append((error + false + misses) / (len(right) + false + misses))
        assert ours["oLRP"][label] == pytest.approx(min(values), abs=1e-12)


def test_the_parts_of_olrp_by_hand() -> None:
    detections, truth = world(3)
    ours = optimal_lrp(detections, truth)
    for label in range(3):
        _, boxes = of_class(detections, truth, label)
        if not boxes or math.isnan(ours["oLRP box"][label]):
            continue
        misses = ours["oLRP misses"][label] * len(boxes)
        right = len(boxes) - misses
        false = ours["oLRP false positives"][label] * right / (1 - ours["oLRP false positives"][label])
        whole = (ours["oLRP box"][label] * right / 0.5 + false + misses) / (right + false + misses)
        assert ours["oLRP"][label] == pytest.approx(whole, abs=1e-12)  # the parts make up the whole


@pytest.mark.parametrize("seed", range(40))
def test_laece0_is_the_gap_between_scores_and_overlaps(seed: int) -> None:
    detections, truth = world(seed)
    ours = calibration_error(detections, truth)
    for label in range(3):
        rows, boxes = of_class(detections, truth, label)
        if not rows:
            assert math.isnan(ours[label])
            continue
        found = [(score, overlap or 0.0) for score, overlap in taken(rows, boxes, 0.0)]
        error = 0.0
        for low in np.arange(25) / 25:
            own = [(s, o) for s, o in found if low <= s < low + 1 / 25 - 1e-15 or (low == 0.96 and s >= 0.96)]
            if own:
                scores, overlaps = np.mean(own, axis=0)
                error += len(own) / len(found) * abs(scores - overlaps)
        assert ours[label] == pytest.approx(error, abs=1e-9)
