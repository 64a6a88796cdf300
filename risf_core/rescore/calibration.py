"""A calibration: from a detector's score alone to the probability that the detection is right, without an encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from risf_core.rescore.fitted import Column, Line, log_odds_of, sigmoid


@dataclass(frozen=True)
class Calibration:
    """Rising curves from score to probability: each class keeps its order, and so its AP."""

    line: Line = field(default_factory=Line)  # over log-odds, of every class that has no line of its own
    class_lines: Mapping[str, Line] = field(default_factory=dict)  # by class name
    curve: tuple[tuple[float, float], ...] = ()  # (score, probability), rising; where there is one, no line matters

    def apply(self, scores: Column, labels: NDArray[np.int64], names: Sequence[str]) -> Column:
        """The probabilities (N,) of rows with labels (N,), positions in `names`; rows of label -1 keep their score."""
        if self.curve:
            at, values = np.array(self.curve).T
            result = np.interp(scores, at, values)
        else:
            lines = [self.class_lines.get(name, self.line) for name in names] or [self.line]
            slopes, intercepts = (np.array([getattr(line, part) for line in lines]) for part in ("slope", "intercept"))
            result = sigmoid(intercepts[labels] + slopes[labels] * log_odds_of(scores))
        return np.where(labels >= 0, result, scores)
