"""OpenImages' CSV: ImageID, LabelName, Conf and relative corners, in the order that the header states."""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath

from risf_core.errors import DataError
from risf_core.files import open_output
from risf_core.formats.form import NO, SURE, Form, Output
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows
from risf_core.formats.source import Source

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_SCORES = ("Conf", "Score", "Confidence")
_HEADER = ("ImageID", "LabelName", "Conf", "XMin", "XMax", "YMin", "YMax")


def _read(source: Source) -> Rows:
    lines = csv.reader(io.StringIO(source.text()))
    header = [name.strip() for name in next(lines, [])]
    score = next((name for name in _SCORES if name in header), None)
    missing = [name for name in ("ImageID", "LabelName", *_CORNERS) if name not in header]
    if missing or score is None:
        raise DataError(f"{source.name}: line 1: the header has no {(missing or ['Conf'])[0]}; it must name {_HEADER}")
    places = [header.index(name) for name in (*_CORNERS, score)]
    image, label = header.index("ImageID"), header.index("LabelName")
    photos: Codes[PhotoKey] = Codes()
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    for number, row in enumerate(lines, start=2):
        if not row:
            continue
        try:
            *box, confidence = (float(row[place]) for place in places)
            photo, own = photos.of(PhotoKey(row[image])), classes.of(ClassKey(row[label]))
        except (ValueError, IndexError):
            raise DataError(f"{source.name}: line {number}: {','.join(row)[:100]} does not fit the header") from None
        found.add(photo, own, box, confidence, f"{source.name}: line {number}")
    rows = found.rows(source.name, photos.keys, classes.keys, "xyxy-relative")
    if len(rows) and rows.boxes.max() > 1.5:
        worst = int(rows.boxes.max(axis=1).argmax())
        raise DataError(f"{found.wheres[worst]}: box {rows.boxes[worst].tolist()} is not relative to the photo (0..1)")
    return rows


def _sniff(source: Source) -> int:
    line = source.head.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8", "replace")
    return SURE if {"ImageID", "LabelName", "XMin"} <= {word.strip() for word in line.split(",")} else NO


def _write(target: Path | str, output: Output) -> None:
    detections = output.detections
    with open_output(target) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(_HEADER)
        columns = zip(
            detections.image_ids.tolist(),
            output.class_names(),
            detections.boxes.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
        for image_id, name, (x0, y0, x1, y1), score in columns:
            height, width = output.size(image_id, "openimages")
            stem = PurePosixPath(output.file_name(image_id)).stem
            writer.writerow([stem, name, score, x0 / width, x1 / width, y0 / height, y1 / height])


OPENIMAGES = Form(
    name="openimages",
    title="OpenImages CSV",
    written_by="OpenImages challenge code, TensorFlow Object Detection API",
    keeps="class names (or label codes), stems of photos, the order",
    loses="the last digit of boxes (they are relative); other keys",
    sniff=_sniff,
    read=_read,
    write=_write,
    needs_sizes=True,
)
