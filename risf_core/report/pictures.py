"""Pictures of detections: the box in its surroundings, cut from the photo, small enough for a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from risf_core.report.verdicts import FALSE, TRUE

SIDE = 320  # pixels of the longer side
_SURROUNDINGS = 0.5  # of the box's longer side, to every side of it
_LEAST = 96  # pixels of the photo that a picture shows at least, to both sides
_SLIMMEST = 0.75  # shorter side by longer one, where the photo has room
_MOST_ENLARGED = 4.0
_QUALITY = 78  # of the JPEG
_COLOURS = {TRUE: (0, 158, 115), FALSE: (213, 94, 0)}  # Okabe and Ito's, distinct for colour-blind readers too
_OTHER_COLOUR = (120, 120, 120)


def draw_picture(photo: NDArray[np.uint8], box: tuple[float, float, float, float], *, verdict: int) -> str:
    """A JPEG as a data URI: the box (corners in pixels) of an RGB photo (H, W, 3), with its surroundings.

    The colour of the box tells the verdict: green for a true detection, orange for a false one, grey for others.
    """
    left, top, right, bottom = region_of(box, photo.shape[:2])
    scale = min(SIDE / max(right - left, bottom - top), _MOST_ENLARGED)
    size = (max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale)))
    picture = Image.fromarray(photo[top:bottom, left:right]).resize(size, Image.Resampling.LANCZOS)
    corners = [
        (box[0] - left) * scale,
        (box[1] - top) * scale,
        (box[2] - left) * scale,
        (box[3] - top) * scale,
    ]
    limits = (size[0] - 1, size[1] - 1) * 2
    x0, y0, x1, y1 = (min(max(corner, 0), most) for corner, most in zip(corners, limits, strict=True))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=(255, 255, 255), width=6)
    draw.rectangle(
        (x0 + 1, y0 + 1, max(x0 + 1, x1 - 1), max(y0 + 1, y1 - 1)),
        outline=_COLOURS.get(verdict, _OTHER_COLOUR),
        width=4,
    )
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(content.getvalue()).decode()


def region_of(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The whole pixels x0, y0, x1, y1 of a photo of (height, width) that show a box in its surroundings."""
    height, width = size
    x0, x1 = (min(max(corner, 0.0), float(width)) for corner in (box[0], box[2]))
    y0, y1 = (min(max(corner, 0.0), float(height)) for corner in (box[1], box[3]))
    margin = _SURROUNDINGS * max(x1 - x0, y1 - y0)
    sides = [max(x1 - x0 + 2 * margin, _LEAST), max(y1 - y0 + 2 * margin, _LEAST)]
    least = _SLIMMEST * max(sides)
    left, right = _span((x0 + x1) / 2, max(sides[0], least), width)
    top, bottom = _span((y0 + y1) / 2, max(sides[1], least), height)
    return left, top, right, bottom


def _span(centre: float, length: float, limit: int) -> tuple[int, int]:
    """A range of about that length around the centre, moved into 0..limit."""
    whole = min(max(1, round(length)), limit)
    start = min(max(0, round(centre - whole / 2)), limit - whole)
    return start, start + whole
