"""Boxes against the edges of their photo, and what form their numbers can have."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_SLACK = 0.02  # how far past the image's edge a true box may reach, as a share of the side (padding, rounding)
_FITTING_SHARE = 0.98  # of rows that must fit another form: some tools do not clip every box at the edge
_TELLING_SHARE = 0.1  # as many rows past the edge as no one writes on purpose


def copies(boxes: NDArray[np.float64], *columns: NDArray[Any]) -> int:
    """How many rows of boxes (N, 4) and of the columns (N,) beside them are exact copies of an earlier row."""
    key = np.zeros(len(boxes))
    for column, factor in zip((*boxes.T, *columns), np.sqrt([2, 3, 5, 7, 11, 13, 17]), strict=False):
        key += column * factor  # roots of primes: other rows have another sum, but for rounding
    return len(key) - len(np.unique(key))


def corners_of(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners x0, y0, x1, y1 of boxes x, y, width, height, (N, 4)."""
    corners: NDArray[np.float64] = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    return corners


def clip_boxes(boxes: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """Corners (N, 4) moved into an image of (height, width); a box wholly outside gets no area."""
    height, width = size
    return np.clip(boxes, 0, np.array([width, height, width, height], dtype=np.float64))


def has_area(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which corners (N, 4) enclose something, (N,)."""
    return np.asarray((boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1]))


def is_relative(boxes: NDArray[np.float64]) -> bool:
    """Whether boxes (N, 4) of any form are in parts of the image's side: every number is in 0..1, with some slack."""
    return len(boxes) > 0 and bool(0 < boxes.max() <= 1 + 2 * _SLACK)


def past_the_edge(boxes_xywh: NDArray[np.float64], sides: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes x, y, width, height (N, 4) leave images of width and height `sides` (N, 2), with some slack, (N,)."""
    slack = sides * _SLACK + 1
    ends = boxes_xywh[:, :2] + boxes_xywh[:, 2:]
    return np.asarray(((boxes_xywh[:, :2] < -slack) | (ends > sides + slack)).any(axis=1))


def other_forms(boxes: NDArray[np.float64], sides: NDArray[np.float64], *, margin: float = 1) -> list[str]:
    """The forms "corners" and "centre" that boxes (N, 4) fit where many do not fit as x, y, width, height.

    `sides` (N, 2) are the widths and heights of their images; `margin` is what rounding adds: a pixel, or nothing
    where sides are 1.
    """
    slack = sides * _SLACK + margin
    first, second = boxes[:, :2], boxes[:, 2:]
    if not len(boxes) or (first + second > sides + slack).any(axis=1).mean() <= _TELLING_SHARE:
        return []
    fits = {
        "corners": (second >= first) & (second <= sides + slack),
        "centre": (first - second / 2 >= -slack) & (first + second / 2 <= sides + slack),
    }
    return [form for form, fitting in fits.items() if fitting.all(axis=1).mean() >= _FITTING_SHARE]


def overlaps(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (N, M) of corners (N, 4) and (M, 4)."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.maximum(high - low, 0).prod(axis=2)
    areas = (first[:, 2:] - first[:, :2]).prod(axis=1)[:, None] + (second[:, 2:] - second[:, :2]).prod(axis=1)[None, :]
    return np.asarray(shared / np.maximum(areas - shared, 1e-12))
