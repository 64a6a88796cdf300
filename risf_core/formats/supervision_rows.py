"""supervision's JSONSink and CSVSink: a row a detection with corners, class id, confidence and custom columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from risf_core.detections import Extras
from risf_core.errors import DataError, excerpt, listing
from risf_core.files import open_output
from risf_core.formats.form import NO, SURE, Form, Output, json_keys, put_json
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows, Where
from risf_core.formats.source import Source

CORNERS = ("x_min", "y_min", "x_max", "y_max")
PHOTO_COLUMNS = ("file_name", "filename", "image_name", "image_path", "image", "photo", "path")  # by name, in order
ID_COLUMNS = ("image_id", "image_index", "frame", "frame_index", "frame_number")
_OWN = {*CORNERS, "class_id", "confidence", "tracker_id", "class_name"}


def _read_json(source: Source) -> Rows:
    content = source.json()
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise DataError(f"{source.name}: is not a list of rows, as JSONSink writes")
    return _rows(content, source.name, lambda row: f"{source.name}: row {row}")


def _read_csv(source: Source) -> Rows:
    table = list(csv.DictReader(io.StringIO(source.text()), restkey="", restval=None))
    for number, row in enumerate(table, start=2):
        if "" in row or None in row.values():
            raise DataError(f"{source.name}: line {number}: has not as many columns as the header")
    return _rows(table, source.name, lambda row: f"{source.name}: line {row + 2}")


def _rows(content: Sequence[Mapping[str, Any]], name: str, where: Where) -> Rows:
    names = next((key for key in PHOTO_COLUMNS if content and all(row.get(key) for row in content)), None)
    ids = next((key for key in ID_COLUMNS if content and all(row.get(key) not in (None, "") for row in content)), None)
    if content and names is None and ids is None:
        own = sorted(set().union(*content) - _OWN)
        raise DataError(
            f"{name}: no column names the photo of each row (columns: {listing(own) if own else 'only the own ones'}); "
            f'write it with custom_data={{"file_name": ...}}'
        )
    photos: Codes[PhotoKey] = Codes()
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    extras: list[Extras | None] = []
    for number, row in enumerate(content):
        box = [_number(row, key, number, where) for key in CORNERS]
        score = _number(row, "confidence", number, where)
        image_id = row[ids] if ids is not None else None
        if isinstance(image_id, str) and image_id.isdecimal():
            image_id = int(image_id)
        photos_name = None if names is None else str(row[names])
        photo = photos.of(PhotoKey(photos_name, image_id))
        found.add(photo, classes.of(_class_of(row, number, where)), box, score, where(number))
        rest = {key: value for key, value in row.items() if key not in _OWN and key not in (names, ids)}
        if row.get("tracker_id") not in (None, ""):
            rest["tracker_id"] = int(row["tracker_id"])
        extras.append(rest or None)
    return replace(found.rows(name, photos.keys, classes.keys, "xyxy"), category_ids=None, extras=extras)


def _number(row: Mapping[str, Any], key: str, number: int, where: Where) -> float:
    try:
        return float(row[key])
    except (KeyError, TypeError, ValueError):
        value = row.get(key)
        if key == "confidence" and value in (None, ""):
            raise DataError(f"{where(number)}: has no confidence, so there is no score to re-score") from None
        raise DataError(f"{where(number)}: {key} is {excerpt(value)}, not a number") from None


def _class_of(row: Mapping[str, Any], number: int, where: Where) -> ClassKey:
    name, class_id = row.get("class_name"), row.get("class_id")
    try:
        category_id = None if class_id in (None, "") else int(class_id)
    except (TypeError, ValueError):
        raise DataError(f"{where(number)}: class_id is {excerpt(class_id)}, not a whole number") from None
    if not name and category_id is None:
        raise DataError(f"{where(number)}: has neither class_name nor class_id")
    return ClassKey(str(name) if name else None, category_id)


def _records(output: Output, *, with_extras: bool) -> list[dict[str, Any]]:
    detections = output.detections
    columns = zip(
        detections.image_ids.tolist(),
        output.labels(),
        output.class_names(),
        detections.boxes.tolist(),
        detections.scores.tolist(),
        detections.extras,
        strict=True,
    )
    return [
        {
            **dict(zip(CORNERS, box, strict=True)),
            "class_id": label,
            "confidence": score,
            "tracker_id": (extras or {}).get("tracker_id", ""),
            "class_name": name,
            "file_name": output.file_name(image_id),
            "image_id": image_id,
            **({key: value for key, value in (extras or {}).items() if key != "tracker_id"} if with_extras else {}),
        }
        for image_id, label, name, box, score, extras in columns
    ]


def _write_json(target: Path | str, output: Output) -> None:
    put_json(target, _records(output, with_extras=True))


def _write_csv(target: Path | str, output: Output) -> None:
    header = [*CORNERS, "class_id", "confidence", "tracker_id", "class_name", "file_name", "image_id"]
    with open_output(target) as handle:
        writer = csv.DictWriter(handle, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_records(output, with_extras=False))


def _sniff_json(source: Source) -> int:
    return SURE if json_keys(source.head) >= {*CORNERS, "confidence"} else NO


def _sniff_csv(source: Source) -> int:
    line = source.head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace")
    return SURE if {*CORNERS, "confidence"} <= {word.strip().strip('"') for word in line.split(",")} else NO


SUPERVISION_JSON = Form(
    name="supervision-json",
    title="supervision JSONSink",
    written_by="supervision's JSONSink, with the photo's name in custom_data",
    keeps="all digits, class names, tracker ids, custom columns",
    loses="nothing",
    sniff=_sniff_json,
    read=_read_json,
    write=_write_json,
)
SUPERVISION_CSV = Form(
    name="supervision-csv",
    title="supervision CSVSink",
    written_by="supervision's CSVSink, with the photo's name in custom_data",
    keeps="all digits, class names, tracker ids, custom columns (as text)",
    loses="nothing when read; when written: custom columns",
    sniff=_sniff_csv,
    read=_read_csv,
    write=_write_csv,
)
