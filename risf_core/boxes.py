"""Boxes against the edges of their photo."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def clip_boxes(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Corners (N, 4) moved into an image of (height, width); a box wholly outside gets no area."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float64))


def has_area(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which corners (N, 4) enclose something, (N,)."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))
