"""Precision-recall curves and score histograms of an evaluation, as the numbers that charts show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.evaluation.coco_evaluators import IOU_THRESHOLDS, Curves
from risf_core.evaluation.metrics import UNDEFINED

HISTOGRAM_BINS = 20
# what curves are shown at: the name and the IoU thresholds whose precisions it is the mean of
SHOWN_AT = {
    "AP50": np.flatnonzero(IOU_THRESHOLDS == 0.5),
    "AP75": np.flatnonzero(IOU_THRESHOLDS == 0.75),
    "AP": np.arange(len(IOU_THRESHOLDS)),
}


@dataclass(frozen=True, eq=False)
class PrecisionRecall:
    """Interpolated precision of each class at COCO's 101 recalls, all box sizes, at the largest cap on detections."""

    precision: dict[str, NDArray[np.float64]]  # "AP50", "AP75", "AP" -> (R, C); -1 where a class has no box

    @classmethod
    def of(cls, curves: Curves) -> PrecisionRecall:
        """What is shown of an evaluator's curves."""
        own = curves.precision[..., 0]  # (T, R, C)
        return cls({name: own[thresholds].mean(axis=0) for name, thresholds in SHOWN_AT.items()})

    def mean_over(self, labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64] | None]:
        """The mean curve (R,) over the classes of `labels` that have boxes, None where none has; its mean is the AP."""
        means: dict[str, NDArray[np.float64] | None] = {}
        for name, precision in self.precision.items():
            own = precision[:, labels]
            defined = own[:, (own > UNDEFINED).all(axis=0)]
            means[name] = defined.mean(axis=1) if defined.shape[1] else None
        return means


@dataclass(frozen=True, eq=False)
class ScoreHistogram:
    """How many true and how many false detections have about which score."""

    edges: NDArray[np.float64]  # (B + 1,)
    true: NDArray[np.int64]  # (B,)
    false: NDArray[np.int64]  # (B,)


def score_histogram(scores: NDArray[np.float64], correct: NDArray[np.bool_]) -> ScoreHistogram:
    """The histogram of scores (N,) in bins of 0.05 (lower <= score < upper, the last one with 1)."""
    true, edges = np.histogram(scores[correct], bins=HISTOGRAM_BINS, range=(0.0, 1.0))
    false, _ = np.histogram(scores[~correct], bins=HISTOGRAM_BINS, range=(0.0, 1.0))
    return ScoreHistogram(edges, true, false)
