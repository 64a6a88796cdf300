"""Ultralytics' predictions.json of `yolo val save_json=True`: COCO rows that also name the photo's file."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.formats.coco import result_rows
from risf_core.formats.coco_forms import rows_of_coco
from risf_core.formats.form import NO, SURE, Form, Output, is_json_list, json_keys, put_json
from risf_core.formats.rows import Rows
from risf_core.formats.source import Source


def _read(source: Source) -> Rows:
    content = source.json()
    if not isinstance(content, list):
        raise DataError(f"{source.name}: holds {type(content).__name__}, not a list of detections")
    return rows_of_coco(content, source.name, photo_names="file_name", category_ids=None)


def _sniff(source: Source) -> int:
    keys = json_keys(source.head)
    typical = {"image_id", "file_name", "category_id", "bbox", "score"}
    return SURE if is_json_list(source.head) and keys >= typical and "instances" not in keys else NO


def _write(target: Path | str, output: Output) -> None:
    rows = []
    for row in result_rows(output.detections, output.vocabulary):
        file_name = PurePosixPath(output.file_name(row["image_id"])).name
        box = [round(number, 3) for number in row["bbox"]]
        own = {"image_id": _image_id(file_name), "file_name": file_name, "category_id": row["category_id"], "bbox": box}
        rows.append(
            {**own, "score": round(row["score"], 5), **{key: row[key] for key in row.keys() - own.keys() - {"score"}}}
        )
    put_json(target, rows)


def _image_id(file_name: str) -> ImageId:
    stem = PurePosixPath(file_name).stem
    return int(stem) if stem.isdecimal() else stem


ULTRALYTICS_JSON = Form(
    name="ultralytics-json",
    title="Ultralytics predictions.json",
    written_by="yolo val save_json=True",
    keeps="class ids, the order, base names of photos, other keys",
    loses="digits of boxes beyond 3 and of scores beyond 5 places; folders of photos",
    sniff=_sniff,
    read=_read,
    write=_write,
)
