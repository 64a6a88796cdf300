"""JSON lists of detections a photo, as Ultralytics' to_json and transformers' pipeline return them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from risf_core.errors import DataError, excerpt
from risf_core.formats.form import NO, SURE, Form, json_keys
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows, relative_or_pixels
from risf_core.formats.source import Source

_Kind = Literal["ultralytics", "transformers"]
_KEYS: Mapping[_Kind, tuple[str, str, tuple[str, str, str, str]]] = {  # class name, score, corners
    "ultralytics": ("name", "confidence", ("x1", "y1", "x2", "y2")),
    "transformers": ("label", "score", ("xmin", "ymin", "xmax", "ymax")),
}
_WHOLE_PIXELS = "transformers' pipeline cuts boxes to whole pixels, which costs AP at high IoU"


def photo_lists(content: object, source: Source) -> tuple[list[PhotoKey], list[Any], bool]:
    """The photos and their entries of an object by file name, a list of lists, or the list of one photo.

    A single photo's list takes the name of its file; a list of lists counts photos by position (the last value True).
    """
    if isinstance(content, dict):
        return [PhotoKey(str(name)) for name in content], list(content.values()), False
    if isinstance(content, list) and content and all(isinstance(entry, list) for entry in content):
        return [PhotoKey(None, position) for position in range(len(content))], content, True
    if isinstance(content, list):
        return [PhotoKey(Path(source.path).stem)], [content], False
    raise DataError(f"{source.name}: holds {type(content).__name__}, not a list of detections for each photo")


def _read(source: Source, kind: _Kind) -> Rows:
    photos, entries, by_position = photo_lists(source.json(), source)
    name_key, score_key, corners = _KEYS[kind]
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    for position, entry in enumerate(entries):
        for number, row in enumerate(entry if isinstance(entry, list) else [entry]):
            where = f"{source.name}: photo {position}, row {number}"
            box, score = _corners(row, corners, where), _number(row.get(score_key), score_key, where)
            found.add(position, classes.of(_class_of(row, name_key, where)), box, score, where)
    rows = found.rows(source.name, tuple(photos), classes.keys, "xyxy")
    return replace(
        rows,
        box_convention=relative_or_pixels(rows.boxes) if kind == "ultralytics" else "xyxy",
        category_ids="positions",
        photos_by_position=by_position,
        notes=(_WHOLE_PIXELS,) if kind == "transformers" and not (rows.boxes % 1).any() else (),
    )


def _corners(row: Any, keys: Sequence[str], where: str) -> list[float]:
    box = row.get("box") if isinstance(row, dict) else None
    if not isinstance(box, dict) or any(key not in box for key in keys):
        raise DataError(f"{where} is {excerpt(row)}; each row needs a box with {', '.join(keys)}")
    if "x3" in box:
        raise DataError(f"{where}: the box is rotated (x1..x4); only upright boxes are re-scored")
    return [_number(box[key], key, where) for key in keys]


def _number(value: object, key: str, where: str) -> float:
    if type(value) not in (int, float):
        raise DataError(f"{where}: {key} is {excerpt(value)}, not a number")
    return float(value)  # type: ignore[arg-type]


def _class_of(row: Mapping[str, Any], key: str, where: str) -> ClassKey:
    name, number = row.get(key), row.get("class")
    if not isinstance(name, str):
        raise DataError(f"{where}: {key} is {excerpt(name)}, not the name of a class")
    return ClassKey(name, number if type(number) is int else None)


def _sniff(source: Source, kind: _Kind) -> int:
    name_key, score_key, corners = _KEYS[kind]
    return SURE if json_keys(source.head) >= {name_key, score_key, "box", *corners} else NO


ULTRALYTICS_SUMMARY = Form(
    name="ultralytics-summary",
    title="Ultralytics result.to_json()",
    written_by="result.to_json(), result.summary(): one photo a file, or an object by file name, or a list in order",
    keeps="class names",
    loses="digits beyond 5 places; the photo's name (the file's is taken)",
    sniff=lambda source: _sniff(source, "ultralytics"),
    read=lambda source: _read(source, "ultralytics"),
)
TRANSFORMERS_PIPELINE = Form(
    name="transformers-pipeline",
    title="transformers object-detection pipeline",
    written_by='pipeline("object-detection") and "zero-shot-object-detection"',
    keeps="class names, scores",
    loses="fractions of pixels; the photo's name (the file's is taken)",
    sniff=lambda source: _sniff(source, "transformers"),
    read=lambda source: _read(source, "transformers"),
)
