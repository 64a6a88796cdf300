"""Labelled boxes against the sizes of their images: another convention is refused, what reaches beyond is counted."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import corners_of, is_relative, other_forms, past_the_edge
from risf_core.errors import DataError
from risf_core.photos import ImageInfo

_FORMS = {"corners": "corners [x0, y0, x1, y1]", "centre": "a centre and sides [cx, cy, width, height]"}
_EDGE, _TELLING, _FEW = 0.02, 0.1, 5  # slack of relative boxes; share of boxes, and how many boxes, that tell
_MOST_BEYOND = 0.5  # share of the boxes that may reach beyond their image before its size cannot be right


def check_truth(boxes_xywh: NDArray[np.float64], images: Sequence[ImageInfo], name: str) -> tuple[str, ...]:
    """A note on how many boxes (M, 4) reach beyond their image, where some do; `images` are those of the boxes.

    Raises DataError where the boxes are plainly not x, y, width, height in pixels of these images.
    """
    reversed_ = (boxes_xywh[:, 2:] < 0).any(axis=1)  # VOC and YOLO may hold such; COCO's reader refuses them
    if reversed_.sum() > _MOST_BEYOND * len(boxes_xywh):
        row = int(np.flatnonzero(reversed_)[0])
        raise DataError(
            f"{name}: {int(reversed_.sum())} of {len(boxes_xywh)} boxes end before they begin, such as "
            f"{corners_of(boxes_xywh)[row].tolist()} (x0, y0, x1, y1); are they of another form?"
        )
    sizes = [info.size or (np.nan, np.nan) for info in images]
    sides: NDArray[np.float64] = np.array(sizes, dtype=np.float64).reshape(-1, 2)[:, ::-1]
    known = ~np.isnan(sides).any(axis=1)
    if is_relative(boxes_xywh) and (boxes_xywh % 1 > 0).any() and not (sides[known] <= 2).any():
        raise DataError(
            f"{name}: every number of every bbox is in 0..1, so the boxes look relative to the image's size; multiply "
            "x and width by its width, y and height by its height"
        )
    boxes, sides = boxes_xywh[known], sides[known]
    beyond = past_the_edge(boxes, sides)
    count = int(beyond.sum())
    forms = other_forms(boxes, sides)
    if not forms and count <= _MOST_BEYOND * len(boxes):
        return (f"{count} of {len(boxes)} boxes reach beyond their image",) if count else ()
    row = int(np.flatnonzero(beyond)[0])
    size = f"{sides[row, 0]:.0f} x {sides[row, 1]:.0f}"
    looks = " or ".join(_FORMS[form] for form in forms)
    way_out = (
        f"they look like {looks}; write [x, y, width, height]"
        if forms
        else "are the stated sizes (width, height) those of these images?"
    )
    raise DataError(
        f"{name}: {count} of {len(boxes)} boxes reach beyond their image as [x, y, width, height], such as "
        f"{boxes[row].tolist()} of an image {size}: {way_out}"
    )


def check_relative_centres(boxes: NDArray[np.float64], name: str) -> None:
    """Raises DataError where relative boxes (M, 4) are plainly not centre x, centre y, width, height, as YOLO's are."""
    first, second = boxes[:, :2], boxes[:, 2:]
    beyond = ((first - second / 2 < -_EDGE) | (first + second / 2 > 1 + _EDGE)).any(axis=1)
    if len(boxes) < _FEW or beyond.mean() <= _TELLING:
        return
    fits = {
        "corners x0, y0, x1, y1": (second >= first).all(axis=1),
        "x, y of the upper left corner, width, height": (first + second <= 1 + _EDGE).all(axis=1),
    }
    looks = [form for form, fitting in fits.items() if fitting.all()]
    if looks or beyond.mean() > _MOST_BEYOND:
        row = int(np.flatnonzero(beyond)[0])
        like = f", but look like {' or '.join(looks)}" if looks else ""
        raise DataError(
            f"{name}: {int(beyond.sum())} of {len(boxes)} labels reach beyond their image as centre x, centre y, "
            f"width, height, such as {boxes[row].tolist()}{like}; write them as centre and sides"
        )
