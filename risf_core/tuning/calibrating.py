"""Calibrating a detector without an encoder: three curves, the one that cross-validation over the images prefers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.metrics import class_means
from risf_core.evaluation.scores import calibration_error
from risf_core.evaluation.thresholds import Threshold, Wish, choose_thresholds
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.fitted import Line, log_odds_of
from risf_core.tuning.cross_validation import FOLDS, folds_of_images, stream
from risf_core.tuning.fitting import INTERCEPT_PENALTY, LEAST_SLOPE
from risf_core.tuning.labels import image_positions, judge, refuse_too_little
from risf_core.tuning.regression import fit_offset_logistic

# Inverse variances of intercept and slope: of the line of all classes around the detector's score, of a class's around
# that of all
PENALTIES = (INTERCEPT_PENALTY, 1.0)
CLASS_PENALTIES = (10.0, 10.0)
KEPT = "detector"  # the scores as they are
CURVES = ("logistic", "line per class", "isotonic")
_LEAST, _MOST = 1e-6, 1 - 1e-6  # of an isotonic curve, so that it rises everywhere

Scores = NDArray[np.float64]  # (N,)


@dataclass(frozen=True)
class Calibrated:
    """The calibration that was chosen, and what each does to photos that it was not fitted to."""

    calibration: Calibration
    chosen: str  # one of CURVES, or KEPT
    folds: int
    squared_errors: Mapping[str, float]  # curve -> mean of (score - right)^2 over held-out rows: decides
    calibration_errors: Mapping[str, float]  # curve -> LaECE0, the mean over classes, in 0..1
    labels: Mapping[str, int]  # what there was to learn from
    thresholds: Mapping[str, Threshold] | None = None  # by class name, where they were wished for

    @property
    def verdict(self) -> str:
        """In one line: whether calibrating helps."""
        before, after = (100 * self.calibration_errors[name] for name in (KEPT, self.chosen))
        if self.chosen == KEPT:
            return f"no calibration is better on photos it was not fitted to: scores are kept (LaECE0 {before:.1f})"
        return (
            f"calibrated ({self.chosen}): LaECE0 {before:.1f} -> {after:.1f} on photos it was not fitted to; each "
            "class keeps its order, so AP stays"
        )

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Curve, table and verdict as plain JSON values."""
        return {
            "verdict": self.verdict,
            "calibration": asdict(self.calibration),
            "labels": dict(self.labels),
            "cross_validation": {
                "folds": self.folds,
                "chosen": self.chosen,
                "squared_error": dict(self.squared_errors),
                "LaECE0": dict(self.calibration_errors),
            },
        }


def calibrate(
    detections: Detections, ground_truth: AnnotatedDataset, *, seed: int = 0, wish: Wish | None = None
) -> Calibrated:
    """The calibration of a detector to images whose objects are all labelled; ids and labels are the ground truth's.

    With a wish also a threshold for each class, on the held-out scores.

    Raises DataError where there is too little to learn from.
    """
    known = np.array([image_id in ground_truth.images_by_id for image_id in detections.image_ids.tolist()], dtype=bool)
    table = detections[known & (detections.labels >= 0)]
    right, judged = judge(table, ground_truth, sparse=False)
    images = image_positions(table, ground_truth)
    refuse_too_little(right, judged, images)
    names = ground_truth.vocabulary.names
    count = len(ground_truth.images)
    fold_of_row = folds_of_images(count, seed)[1][images]
    folds = min(FOLDS, count)
    held_out: dict[str, Scores] = {KEPT: table.scores, **{curve: table.scores.copy() for curve in CURVES}}
    for fold in range(folds):
        test = fold_of_row == fold
        train = ~test & judged
        for curve in CURVES:
            fit = fit_calibration(curve, table.scores[train], table.labels[train], right[train], names=names)
            held_out[curve][test] = fit.apply(table.scores[test], table.labels[test], names)
    errors = {name: float(((scores - right)[judged] ** 2).mean()) for name, scores in held_out.items()}
    chosen = min(errors, key=lambda name: errors[name])
    calibration = Calibration()
    if chosen != KEPT:
        calibration = fit_calibration(chosen, table.scores[judged], table.labels[judged], right[judged], names=names)
    return Calibrated(
        calibration,
        chosen,
        folds,
        errors,
        {
            name: float(class_means(calibration_error(table.with_scores(scores), ground_truth)[None])[0])
            for name, scores in held_out.items()
        },
        {
            "images": count,
            "boxes": int(ground_truth.boxes_per_class().sum()),
            "rows": len(table),
            "rows_judged": int(judged.sum()),
            "rows_right": int((right[judged] > 0).sum()),
        },
        None
        if wish is None
        else choose_thresholds(
            table.with_scores(held_out[chosen]), ground_truth, wish, generator=stream(seed, "thresholds")
        ),
    )


def fit_calibration(
    curve: str, scores: Scores, labels: NDArray[np.int64], right: Scores, *, names: tuple[str, ...]
) -> Calibration:
    """One of CURVES, fitted to judged rows (N,)."""
    if curve == "isotonic":
        return Calibration(curve=_isotonic(scores, right))
    log_odds = log_odds_of(scores)
    line = _line(log_odds, right, around=Line(), penalties=PENALTIES)
    if curve == "logistic":
        return Calibration(line)
    own = {
        names[label]: _line(log_odds[labels == label], right[labels == label], around=line, penalties=CLASS_PENALTIES)
        for label in np.unique(labels).tolist()
    }
    return Calibration(line, own)


def _line(log_odds: Scores, right: Scores, *, around: Line, penalties: tuple[float, float]) -> Line:
    """The line that rises and fits best, pulled towards another: with few rows it is about that one."""
    middle = float(log_odds.mean())
    design = np.column_stack([np.ones(len(log_odds)), log_odds - middle])
    found = fit_offset_logistic(design, right, offset=around.at(log_odds), penalties=np.array(penalties))
    slope = max(around.slope + float(found[1]), LEAST_SLOPE)
    return Line(slope, around.intercept + float(found[0]) - (slope - around.slope) * middle)


def _isotonic(scores: Scores, right: Scores) -> tuple[tuple[float, float], ...]:
    """The rising steps that fit best, joined by straight lines from (0, 0) to (1, 1), so that no two rows become equal.

    Rows of one score are one point. Steps by pool-adjacent-violators (Ayer et al., 1955).
    """
    from scipy.optimize import isotonic_regression

    at, of_row, counts = np.unique(scores, return_inverse=True, return_counts=True)
    means = np.bincount(of_row, weights=right) / counts
    fit = isotonic_regression(means, weights=counts)
    inner = [
        (float(np.average(at[a:b], weights=counts[a:b])), float(np.clip(fit.x[a], _LEAST, _MOST)))
        for a, b in pairwise(fit.blocks.tolist())
    ]
    return ((0.0, 0.0), *((score, value) for score, value in inner if 0 < score < 1), (1.0, 1.0))
