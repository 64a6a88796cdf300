"""Conventions of boxes and category ids: converted where a person states them, recognised and refused where not."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import is_relative, other_forms, past_the_edge
from risf_core.choices import BoxConvention, CategoryConvention, ImageIdConvention
from risf_core.detections import ImageId, factorize, image_id_array
from risf_core.errors import DataError, counted, listing
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class Conventions:
    """How a detections file is read; None: as its form says, photos and classes by name first, then by id."""

    format: str | None = None  # the name of a form of risf_core.formats.registry; None: it is recognised
    boxes: BoxConvention | None = None
    category_ids: CategoryConvention | None = None
    image_ids: ImageIdConvention | None = None
    rename: Mapping[str, str] = field(default_factory=dict)  # a class in the file -> its name in the annotations


_log = logging.getLogger(__name__)

ImageSizes = Mapping[ImageId, tuple[int, int]]  # image id -> (height, width)

_MOST_RELATIVE = 1.04  # a number of a relative box: some pass the edge by rounding or padding
_MOST_BEYOND = 0.5  # share of boxes that may run past their image before it cannot be the one they are of
UNCLIPPED_SHARE = 0.02  # of relative boxes that may pass it by more: some detectors do not clip every box


def labels_of(
    category_ids: Sequence[int],
    vocabulary: ClassVocabulary,
    *,
    convention: CategoryConvention,
    unknown: Literal["error", "keep"],
    name: str,
) -> NDArray[np.int64]:
    """The label of each category id, (N,); -1 where it is unknown and `unknown` is "keep".

    Raises DataError with the likely cause where an id is unknown and `unknown` is "error", and also where it is "keep"
    but all ids are plainly of another convention.
    """
    if convention == "dataset":
        label_by_id: Mapping[int, int] = vocabulary.label_by_id
    else:
        first = 1 if convention == "positions-from-1" else 0
        label_by_id = {label + first: label for label in range(len(vocabulary))}
    labels = np.array([label_by_id.get(category_id, -1) for category_id in category_ids], dtype=np.int64)
    if (labels < 0).any():
        strangers = sorted(set(category_ids) - set(label_by_id))
        cause = _likely_cause(set(category_ids), vocabulary, convention)
        if unknown == "error" or cause:
            raise DataError(_unknown_categories(strangers, vocabulary, cause, name, was_kept=unknown == "keep"))
    return labels


def check_boxes(
    boxes: NDArray[np.float64],
    image_ids: Sequence[ImageId] | NDArray[Any],
    sizes: ImageSizes,
    *,
    convention: BoxConvention,
    name: str,
) -> None:
    """Refuse boxes (N, 4) that are plainly of another convention than the stated one.

    Corners read as widths run past the image in many rows while they fit as corners; relative boxes all lie in 0..1.
    """
    if not len(boxes):
        return
    if convention in ("xywh", "xywh-relative"):
        negative = np.flatnonzero((boxes[:, 2:] < 0).any(axis=1))
        if len(negative):
            row = negative[0]
            raise DataError(
                f"{name}: row {row}: bbox {boxes[row].tolist()} has a negative width or height "
                f"({counted(len(negative), 'such row')}); a box is [x, y, width, height]"
            )
    elif (boxes[:, 2:] < boxes[:, :2]).any():
        row = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))[0]
        raise DataError(
            f"{name}: row {row}: bbox {boxes[row].tolist()} ends before it begins, so it is not [x0, y0, x1, y1]; "
            "pass `boxes=xywh` if it is [x, y, width, height]"
        )
    if convention.endswith("-relative"):
        share = (boxes.max(axis=1) > _MOST_RELATIVE).mean()
        if share > UNCLIPPED_SHARE:
            row = int(boxes.max(axis=1).argmax())
            raise DataError(f"{name}: row {row}: bbox {boxes[row].tolist()} is not relative to the image's size (0..1)")
        return
    if is_relative(boxes):
        ways = {"corners": "pass `boxes=xyxy-relative`", "centre": "as centre x, centre y, width, height, it seems"}
        forms = other_forms(boxes, np.ones((len(boxes), 2)), margin=0)
        way = " or ".join(ways[form] for form in forms) or "pass `boxes=xywh-relative`"
        raise DataError(
            f"{name}: every number of every bbox is in 0..1, so the boxes look relative to the image's size; "
            f"{way} (or convert them to pixels)"
        )
    if convention == "xywh" and sizes:
        sides = _sides(image_ids, sizes)
        known = ~np.isnan(sides).any(axis=1)
        forms = other_forms(boxes[known], sides[known])
        readings = {
            "corners": ("corners [x0, y0, x1, y1]", "pass `boxes=xyxy`"),
            "centre": ("a centre and sides [cx, cy, width, height]", "subtract half the sides from the centre"),
        }
        if forms:
            looks, way_outs = zip(*(readings[form] for form in forms), strict=True)
            raise DataError(
                f"{name}: the boxes look like {' or '.join(looks)}, not [x, y, width, height]: read so, "
                f"many run past their images; {' or '.join(way_outs)}"
            )
        beyond = np.flatnonzero(past_the_edge(boxes, sides))  # false where the size is unknown
        if len(beyond) > _MOST_BEYOND * known.sum():
            row = int(beyond[0])
            width, height = sides[row].tolist()
            _log.warning(
                "%s: %d of %d boxes run past their images, such as %s of one %.0f x %.0f: are they of resized or "
                "padded photos, or in thousandths? convert them to pixels of the photos",
                name,
                len(beyond),
                int(known.sum()),
                boxes[row].tolist(),
                width,
                height,
            )


def to_xywh(
    boxes: NDArray[np.float64],
    image_ids: Sequence[ImageId] | NDArray[Any],
    sizes: ImageSizes,
    *,
    convention: BoxConvention,
    name: str,
) -> NDArray[np.float64]:
    """Boxes (N, 4) in any convention as x, y, width, height in pixels; xywh comes back digit for digit."""
    if convention == "xywh":
        return boxes
    converted: NDArray[np.float64] = boxes.copy()
    if convention.startswith("xyxy"):
        converted[:, 2:] -= converted[:, :2]
    if convention.endswith("-relative") and len(boxes):
        missing = sorted(str(i) for i in factorize(image_id_array(image_ids))[1] if i not in sizes)
        if missing:
            raise DataError(
                f"{name}: relative boxes need the size of each image, and none is known for {listing(missing)}; "
                "pass `annotations` with height and width"
            )
        converted *= np.tile(_sides(image_ids, sizes), 2)
    return converted


def _sides(image_ids: Sequence[ImageId] | NDArray[Any], sizes: ImageSizes) -> NDArray[np.float64]:
    """Width and height of each row's image (N, 2), NaN where unknown; each image is looked up once."""
    codes, distinct = factorize(image_id_array(image_ids))
    found = [sizes.get(image_id, (np.nan, np.nan)) for image_id in distinct]
    sides: NDArray[np.float64] = np.array(found, dtype=np.float64).reshape(-1, 2)[codes, ::-1]
    return sides


def _likely_cause(present: Collection[int], vocabulary: ClassVocabulary, convention: CategoryConvention) -> str:
    """What ids that all fit another convention look like and the option for it, as a clause; else nothing."""
    from_zero = "`first_id=0`" if vocabulary.counted else "`category_ids=positions`"
    own = f"`category_ids={convention}`"
    fitting = {
        "positions from 0": (
            from_zero,
            convention == "dataset" and min(present) >= 0 and max(present) < len(vocabulary),
        ),
        "positions from 1": ("`category_ids=positions-from-1`", min(present) >= 1 and max(present) <= len(vocabulary)),
    }
    return look_like({way: option for way, (option, fits) in fitting.items() if fits and option != own})


def look_like(options: Mapping[str, str]) -> str:
    """The clause that ids look like one of these, each with the option for it; nothing where there is none.

    >>> look_like({"file names": "`image_ids=file-names`"})
    'the ids look like file names: pass `image_ids=file-names`'
    >>> look_like({"numbers": "A", "positions": "B"})
    'the ids fit as numbers (A) or as positions (B): pass the one that the detector writes'
    """
    if len(options) < 2:
        return "".join(f"the ids look like {way}: pass {option}" for way, option in options.items())
    either = " or ".join(f"as {way} ({option})" for way, option in options.items())
    return f"the ids fit {either}: pass the one that the detector writes"


def _unknown_categories(
    strangers: Sequence[int], vocabulary: ClassVocabulary, cause: str, name: str, *, was_kept: bool
) -> str:
    count = len(vocabulary)
    ids = f"{min(vocabulary.category_ids)}..{max(vocabulary.category_ids)}" if count else "none"
    message = f"{name}: category_id {listing(strangers)} unknown to the {counted(count, 'class')} (ids {ids})"
    if cause:
        return f"{message}; {cause}{', or leave these rows out' if was_kept else ''}"
    return f"{message}; pass the detector's own annotations, or decide about such rows with `on_unmatched`"
