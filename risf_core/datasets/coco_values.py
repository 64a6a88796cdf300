"""Annotations of COCO files: checked; values that tools write in another form are read where they mean one thing."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from risf_core.errors import DataError, excerpt, listing

_MARKS = ("iscrowd", "difficult", "ignore")
_TRUTH = {"0": 0, "1": 1, "false": 0, "true": 1, "no": 0, "yes": 1}


def whole_number(value: Any) -> int | None:  # Any: JSON
    """The whole number that a number, a float or a text means; else None."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and value.strip().lstrip("-").isdecimal() and len(value) < 20:
        return int(value)
    return None


def tidy_images(images: Sequence[Any]) -> None:  # Any: JSON, not yet checked
    """Whole numbers for ids and sizes that are floats, and for sizes that are text; in place."""
    for image in images:
        if not isinstance(image, dict):
            continue
        if type(image.get("id")) is float:
            image["id"] = _or_as_it_is(image["id"])
        for side in ("height", "width"):
            if type(image.get(side)) in (float, str):
                image[side] = _or_as_it_is(image[side])


def tidy_categories(categories: Sequence[Any]) -> None:  # Any: JSON, not yet checked
    """Whole numbers for ids that are floats or text, and names without blanks around them; in place."""
    for category in categories:
        if isinstance(category, dict):
            if type(category.get("id")) in (float, str):
                category["id"] = _or_as_it_is(category["id"])
            if type(category.get("name")) is str:
                category["name"] = category["name"].strip()


def check_annotations(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A note on the values that were brought into COCO's types, in place, where there are such.

    Raises DataError that names the first annotation at fault; None, a row that is not wanted, is none.
    """
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise DataError(f"{name}: has no annotations list, so there are no boxes; a COCO dataset has one")
    values = _Tidier(document["images"], document["categories"])
    for position, row in enumerate(annotations):
        if row is None:
            continue
        fault = _fault(row)
        if isinstance(row, dict) and (fault or not values.knows(row)):
            values.tidy(row)
            fault = _fault(row)
        if fault:
            raise DataError(f"{name}: {annotation_place(position, row)}: {fault}")
    return values.note()


def _fault(row: Any) -> str:  # Any: JSON
    """What is wrong with an annotation, or an empty string."""
    if not isinstance(row, dict):
        return f"is {excerpt(row)}, not an object with image_id, category_id and bbox"
    for key in ("image_id", "category_id", "bbox"):
        if key not in row:
            return f"has no {key}; image_id, category_id and bbox are needed"
    if not row["bbox"] and row.get("segmentation"):
        return f"has the bbox {excerpt(row['bbox'])} and a mask that is not a polygon; write the box of the mask"
    if row["bbox"] is None or row["bbox"] == []:
        return f"has the bbox {excerpt(row['bbox'])} and no polygon; write [x, y, width, height] or remove it"
    box, area = row["bbox"], row.get("area")
    if type(row["image_id"]) not in (int, str):
        return f"image_id is {excerpt(row['image_id'])}, not a whole number or a string"
    if type(row["category_id"]) is not int:
        return f"category_id is {excerpt(row['category_id'])}, not a whole number or the name of a category"
    if type(box) is not list or len(box) != 4 or not all(type(number) in (int, float) for number in box):
        return f"bbox {excerpt(box)} is not a list of 4 numbers [x, y, width, height]"
    if not all(map(math.isfinite, map(as_float, box))):
        return f"bbox {excerpt(box)} has a number that is not finite"
    if box[2] < 0 or box[3] < 0:
        return f"bbox {excerpt(box)} has a negative width or height; a box is [x, y, width, height]"
    for mark in ("iscrowd", "difficult", "ignore"):
        if type(row.get(mark)) not in (int, bool, float, type(None)):
            return f"{mark} is {excerpt(row[mark])}, not 0 or 1"
        if row.get(mark) != row.get(mark):
            return f"{mark} is NaN, not 0 or 1"
    if area is not None and type(area) not in (int, float):
        return f"area is {excerpt(area)}, not a number of square pixels"
    return ""


def annotation_place(position: int, row: Any) -> str:  # Any: not yet checked
    """How an annotation is named: by its id, or where it has none by its position."""
    annotation_id = row.get("id") if isinstance(row, dict) else None
    return f"annotations[{position}]" if annotation_id is None else f"annotation id {excerpt(annotation_id)}"


def as_float(number: float) -> float:
    """The number, infinite where it exceeds the range of floats."""
    try:
        return float(number)
    except OverflowError:
        return math.inf


class _Tidier:
    """Brings annotations of one file into COCO's own types, and counts what it changed."""

    def __init__(self, images: Sequence[Mapping[str, Any]], categories: Sequence[Mapping[str, Any]]) -> None:
        self._image_ids = {image["id"] for image in images}
        self._category_ids = {category["id"] for category in categories}
        self._id_of_name = {category["name"]: category["id"] for category in categories}
        self._counts: Counter[str] = Counter()

    def tidy(self, row: dict[str, Any]) -> None:
        """Changes, in place, what has one meaning alone; the rest stays as it is."""
        for key in ("image_id", "category_id", "bbox", "area", *_MARKS):
            value = row.get(key)
            meant = self._meant(key, value, row)
            if meant is not value:
                row[key] = meant
                form = "a float" if type(value) is float else "text"
                self._counts["bbox around the polygon" if key == "bbox" and not value else f"{key} as {form}"] += 1

    def knows(self, row: Mapping[str, Any]) -> bool:
        """Whether the row's image and category are listed."""
        return row["image_id"] in self._image_ids and row["category_id"] in self._category_ids

    def note(self) -> tuple[str, ...]:
        """What was changed, as one sentence; empty where nothing was."""
        changed = [f"{what} ({count})" for what, count in self._counts.items()]
        return (f"read as numbers or boxes: {listing(changed)}",) if changed else ()

    def _meant(self, key: str, value: Any, row: Mapping[str, Any]) -> Any:  # Any: JSON
        if key == "image_id":
            return self._image_id(value)
        if key == "category_id":
            number = whole_number(value)
            if number is not None:
                return value if type(value) is int else number
            return self._id_of_name.get(value.strip(), value) if type(value) is str else value
        if key == "bbox":
            return _box(value, row.get("segmentation"))
        if type(value) is not str:
            return value
        return _number(value) if key == "area" else _TRUTH.get(value.strip().lower(), value)

    def _image_id(self, value: Any) -> Any:  # Any: JSON
        """The listed id that the value means: 139.0 and "139" for 139, 139 for "139"."""
        number = whole_number(value)
        if number is None or (type(value) in (int, str) and value in self._image_ids):
            return value
        return next((other for other in (number, str(number)) if other in self._image_ids), value)


def _box(value: Any, mask: Any) -> Any:  # Any: JSON
    if type(value) is str:
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if type(value) is list and any(type(number) is str for number in value):
        return [_number(number) if type(number) is str else number for number in value]
    if value in (None, []) and isinstance(mask, list) and mask:
        polygons = mask if isinstance(mask[0], list) else [mask]
        points = [number for polygon in polygons if isinstance(polygon, list) for number in polygon]
        if points and len(points) % 2 == 0 and all(type(number) in (int, float) for number in points):
            xs, ys = points[0::2], points[1::2]
            return [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
    return value


def _number(text: Any) -> Any:  # Any: JSON
    try:
        number = float(text)
    except (TypeError, ValueError):
        return text
    return number if math.isfinite(number) else text


def _or_as_it_is(value: Any) -> Any:  # Any: JSON
    number = whole_number(value)
    return value if number is None else number
