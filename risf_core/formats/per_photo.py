"""Rows of forms that hold one entry of arrays for each photo: boxes, scores and labels side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import BoxConvention, CategoryConvention
from risf_core.errors import DataError, excerpt
from risf_core.formats.rows import (
    ClassKey,
    Codes,
    PhotoKey,
    Rows,
    check_numbers,
    check_order,
    check_photos_once,
    relative_or_pixels,
)


def rows_of_photos(
    photos: Sequence[PhotoKey],
    entries: Sequence[Mapping[str, Any]],  # Any: tensors, arrays or lists
    source: str,
    *,
    keys: tuple[str, str, str] = ("boxes", "scores", "labels"),
    box_convention: BoxConvention | None,
    category_ids: CategoryConvention | None,
    photos_by_position: bool = False,
    notes: tuple[str, ...] = (),
) -> Rows:
    """The rows of one entry a photo; labels are whole numbers or names, without `box_convention` the values decide."""
    check_photos_once(photos, source)
    classes: Codes[ClassKey] = Codes()
    boxes, scores, counts, codes = [], [], [], []
    for position, entry in enumerate(entries):
        where = f"{source}: entry {position}"
        columns = _entry(entry, keys, where)
        boxes.append(columns[0])
        scores.append(columns[1])
        counts.append(len(columns[1]))
        codes += [classes.of(_class_key(label, where)) for label in columns[2]]
    all_boxes = np.concatenate(boxes) if boxes else np.empty((0, 4))
    all_scores = np.concatenate(scores) if scores else np.empty(0)
    photo_codes = np.repeat(np.arange(len(entries)), np.array(counts, dtype=np.int64))

    def where_of(row: int) -> str:
        return f"{source}: entry {photo_codes[row]}"

    check_numbers(all_boxes, all_scores, where_of)
    check_order(all_boxes, where_of)
    return Rows(
        source=source,
        photos=tuple(photos),
        photo_codes=photo_codes,
        classes=classes.keys,
        class_codes=np.array(codes, dtype=np.int64),
        boxes=all_boxes,
        scores=all_scores,
        box_convention=box_convention or relative_or_pixels(all_boxes),
        category_ids=category_ids,
        photos_by_position=photos_by_position,
        notes=notes,
    )


def plain_list(values: Any) -> Any:
    """A tensor's or an array's values as lists; anything else as it is."""
    return values.tolist() if hasattr(values, "tolist") else values


def _entry(
    entry: Mapping[str, Any], keys: tuple[str, str, str], where: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], Sequence[Any]]:
    missing = [key for key in keys if key not in entry] if isinstance(entry, Mapping) else list(keys)
    if missing:
        raise DataError(f"{where} has no {missing[0]!r}; each entry of this form has {', '.join(keys)}")
    try:
        boxes = np.asarray(plain_list(entry[keys[0]]), dtype=np.float64)
        scores = np.asarray(plain_list(entry[keys[1]]), dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{where}: {keys[0]} or {keys[1]} hold something that is not a number") from None
    labels = plain_list(entry[keys[2]])
    if not boxes.size:
        boxes = boxes.reshape(0, 4)
    if boxes.shape != (len(boxes), 4) or scores.shape != (len(boxes),) or len(labels) != len(boxes):
        raise DataError(
            f"{where}: {keys[0]} {boxes.shape}, {keys[1]} {scores.shape} and {keys[2]} ({len(labels)},) do not fit "
            "each other; expected (N, 4), (N,) and (N,)"
        )
    return boxes, scores, labels


def _class_key(label: object, where: str) -> ClassKey:
    if isinstance(label, str):
        return ClassKey(label)
    if type(label) is int or (isinstance(label, float) and label.is_integer()):
        return ClassKey(None, int(label))
    raise DataError(f"{where}: label {excerpt(label)} is not a whole number or a name")
