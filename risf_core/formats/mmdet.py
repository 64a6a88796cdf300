"""mmdetection's files: the pickle of `--out`, version 3 and 2, and DetInferencer's folder of JSON files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.errors import DataError, listing
from risf_core.files import read_json
from risf_core.formats.form import LIKELY, NO, SURE, Form, json_keys
from risf_core.formats.per_photo import rows_of_photos
from risf_core.formats.pickled import is_pickle, load_pickled
from risf_core.formats.rows import PhotoKey, Rows
from risf_core.formats.source import Source

_KEYS = ("bboxes", "scores", "labels")


def _read_pickle(source: Source) -> Rows:
    content = load_pickled(source)
    if not isinstance(content, list):
        raise DataError(f"{source.name}: holds {type(content).__name__}, not a list with an entry for each image")
    photos, instances = [], []
    for position, entry in enumerate(content):
        if not isinstance(entry, dict) or not isinstance(entry.get("pred_instances"), dict):
            raise DataError(f"{source.name}: entry {position} has no `pred_instances`, as mmdetection 3 writes")
        path, image_id = entry.get("img_path"), entry.get("img_id")
        photos.append(PhotoKey(None if path is None else str(path), image_id))
        instances.append(entry["pred_instances"])
    return rows_of_photos(photos, instances, source.name, keys=_KEYS, box_convention="xyxy", category_ids="positions")


def _read_pickle_of_2(source: Source) -> Rows:
    content = load_pickled(source)
    if not isinstance(content, list) or not all(isinstance(entry, list | tuple) for entry in content):
        raise DataError(f"{source.name}: is not a list of images with a list of classes, as mmdetection 2 writes")
    entries = [_entry_of_2(entry, f"{source.name}: entry {position}") for position, entry in enumerate(content)]
    rows = rows_of_photos(
        [PhotoKey(None, position) for position in range(len(content))],
        entries,
        source.name,
        box_convention="xyxy",
        category_ids="positions",
        photos_by_position=True,
        notes=("mmdetection 2 names no photos: they were counted in the order of the annotations",),
    )
    counts = {len(_boxes_of_2(entry)) for entry in content}
    if len(counts) > 1:
        raise DataError(f"{source.name}: its images have {listing(sorted(counts))} classes; all must have as many")
    return replace(rows, class_count=next(iter(counts), None))


def _boxes_of_2(entry: Any) -> Any:  # Any: what a pickle holds
    """The list of classes of an image, without that of its masks."""
    return entry[0] if len(entry) == 2 and isinstance(entry[0], list | tuple) else entry


def _entry_of_2(entry: Any, where: str) -> dict[str, Any]:  # Any: what a pickle holds
    tables = []
    for number, table in enumerate(_boxes_of_2(entry)):
        array = np.asarray(table, dtype=np.float64).reshape(-1, 5) if np.size(table) % 5 == 0 else None
        if array is None:
            raise DataError(f"{where}, class {number}: has shape {np.shape(table)}, not (N, 5)")
        tables.append(array)
    rows = np.concatenate(tables) if tables else np.empty((0, 5))
    labels = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    return {"boxes": rows[:, :4], "scores": rows[:, 4], "labels": labels}


def _read_folder(source: Source) -> Rows:
    """The folder that holds <stem>.json, `preds` itself or the one around it; or one such file."""
    if source.is_folder:
        folder = Path(source.path)
        files = list(Source(folder / "preds" if (folder / "preds").is_dir() else folder).files_or_refuse(".json"))
    else:
        files = [Path(source.path)]
    entries = [read_json(path, what="detections file") for path in files]
    return rows_of_photos(
        [PhotoKey(path.stem) for path in files],
        entries,
        source.name,
        keys=_KEYS,
        box_convention="xyxy",
        category_ids="positions",
    )


def _sniff_pickle(source: Source) -> int:
    return SURE if is_pickle(source.head) and b"pred_instances" in source.head else NO


def _sniff_pickle_of_2(source: Source) -> int:
    head = source.head
    if not is_pickle(head) or b"pred_instances" in head or b"instances" in head or b"numpy" not in head:
        return NO
    return LIKELY if source.suffix in (".pkl", ".pickle") and b"precision" not in head else NO


def _sniff_folder(source: Source) -> int:
    keys = json_keys(source.head)
    return SURE if keys >= {"labels", "scores", "bboxes"} and source.suffix in ("", ".json") else NO


MMDET_PICKLE = Form(
    name="mmdet",
    title="mmdetection 3 results.pkl",
    written_by="tools/test.py --out results.pkl",
    keeps="all digits, photo paths and ids",
    loses="class names",
    sniff=_sniff_pickle,
    read=_read_pickle,
)
MMDET2_PICKLE = Form(
    name="mmdet2",
    title="mmdetection 2 results.pkl",
    written_by="tools/test.py --out results.pkl of mmdetection 2",
    keeps="all digits",
    loses="class names, photo names (order of the annotations)",
    sniff=_sniff_pickle_of_2,
    read=_read_pickle_of_2,
)
MMDET_FOLDER = Form(
    name="mmdet-folder",
    title="mmdetection DetInferencer preds folder",
    written_by="DetInferencer(..., out_dir=...)",
    keeps="all digits, stems of photos",
    loses="class names, folders of photos",
    sniff=_sniff_folder,
    read=_read_folder,
)
