"""Right or wrong: the verdict on each detection at IoU .50, and what a score threshold keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.evaluation.matches import Matches

TRUE, FALSE, IGNORED = 1, 0, -1


def verdicts_of(matches: Matches, rows: int) -> NDArray[np.int8]:
    """TRUE, FALSE or IGNORED for each of a table's rows, (N,), by COCO's rule at IoU .50 for boxes of all sizes.

    Ignored are detections of crowd regions, and those past the cap of their image and class.
    """
    verdicts = np.full(rows, IGNORED, dtype=np.int8)
    counting = ~matches.ignored[0, 0]
    verdicts[matches.order.rows[counting]] = matches.true_positive[0, 0][counting]
    return verdicts


@dataclass(frozen=True)
class Kept:
    """What is kept of the detections with a score of at least `threshold`."""

    threshold: float
    true: int
    false: int
    boxes: int  # of the ground truth; what is not found of them is missed

    @property
    def missed(self) -> int:
        """Boxes that no kept detection has found."""
        return self.boxes - self.true

    @property
    def precision(self) -> float | None:
        """The share of the kept detections that is right; None where none is kept."""
        return self.true / (self.true + self.false) if self.true + self.false else None

    @property
    def recall(self) -> float | None:
        """The share of the boxes that is found; None where there are none."""
        return self.true / self.boxes if self.boxes else None

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall."""
        return 2 * self.true / (self.true + self.false + self.boxes) if self.true + self.false + self.boxes else None

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """All figures by name."""
        derived = {"missed": self.missed, "precision": self.precision, "recall": self.recall, "f1": self.f1}
        return asdict(self) | derived


def kept_at(threshold: float, scores: NDArray[np.float64], verdicts: NDArray[np.int8], *, boxes: int) -> Kept:
    """What a threshold keeps of detections with these scores (N,) and verdicts (N,)."""
    kept = scores >= threshold
    return Kept(threshold, int((kept & (verdicts == TRUE)).sum()), int((kept & (verdicts == FALSE)).sum()), boxes)


def threshold_for(count: int, scores: NDArray[np.float64], verdicts: NDArray[np.int8]) -> float | None:
    """The threshold that keeps `count` detections that count (more where scores are equal); None where it cannot."""
    counting = np.sort(scores[verdicts != IGNORED])[::-1]
    return float(counting[count - 1]) if 0 < count <= len(counting) else None
