"""How far scores can be taken for probabilities: reliability diagrams and the expected calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 15  # Guo et al., On Calibration of Modern Neural Networks, ICML 2017


@dataclass(frozen=True, eq=False)
class Reliability:
    """What share of the detections of about one score is right, in B bins of equal width."""

    edges: NDArray[np.float64]  # (B + 1,) a bin holds lower < score <= upper, the first one 0 too
    counts: NDArray[np.int64]  # (B,) detections
    mean_scores: NDArray[np.float64]  # (B,) NaN where a bin is empty
    precisions: NDArray[np.float64]  # (B,) the share that is right; NaN where a bin is empty
    error: float | None  # the expected calibration error in 0..1; None without detections

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """The error and the bins that hold detections."""
        bins = zip(self.edges[:-1], self.edges[1:], self.counts, self.mean_scores, self.precisions, strict=True)
        keys = ("above", "up_to", "detections", "mean_score", "precision")
        return {
            "expected_calibration_error": self.error,
            "detections": int(self.counts.sum()),
            "bins": [dict(zip(keys, (float(value) for value in row), strict=True)) for row in bins if row[2]],
        }


def reliability(scores: NDArray[np.float64], correct: NDArray[np.bool_], *, bins: int = BINS) -> Reliability:
    """The reliability of scores (N,) in 0..1 of detections that are `correct` (N,) or not.

    ECE = sum_b |B_b| / N * |precision(B_b) - mean score(B_b)| (Guo et al., ICML 2017, equation 5).

    >>> round(reliability(np.array([0.9, 0.9]), np.array([True, False])).error, 12)
    0.4
    """
    edges = np.linspace(0.0, 1.0, bins + 1)
    places = np.searchsorted(edges[1:-1], scores, side="left")
    counts = np.bincount(places, minlength=bins)
    some = np.maximum(counts, 1)
    filled = counts > 0
    mean_scores = np.where(filled, np.bincount(places, weights=scores, minlength=bins) / some, np.nan)
    precisions = np.where(filled, np.bincount(places, weights=correct, minlength=bins) / some, np.nan)
    gaps = np.abs(precisions - mean_scores)[filled]
    error = float((counts[filled] * gaps).sum() / len(scores)) if len(scores) else None
    return Reliability(edges, counts.astype(np.int64), mean_scores, precisions, error)
