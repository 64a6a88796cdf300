"""Label Studio's predictions JSON: tasks with percent boxes, label texts and a score for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from risf_core.errors import DataError, excerpt
from risf_core.formats.form import LIKELY, NO, SURE, Form, Output, json_keys, put_json
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows
from risf_core.formats.source import Source


def _read(source: Source) -> Rows:
    content = source.json()
    if not isinstance(content, list):
        raise DataError(f"{source.name}: holds {type(content).__name__}, not a list of tasks")
    photos: Codes[PhotoKey] = Codes()
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    for position, task in enumerate(content):
        where = f"{source.name}: task {position}"
        photo = photos.of(_photo(task, where))
        for prediction in task.get("predictions", ()):
            for number, region in enumerate(prediction.get("result", ())):
                if region.get("type") != "rectanglelabels":
                    continue
                place = f"{where}, region {number}"
                box, name, score = _region(region, place)
                score = prediction.get("score") if score is None else score
                if score is None:
                    raise DataError(f"{place}: has no score, so there is nothing to re-score")
                found.add(photo, classes.of(ClassKey(name)), box, score, place)
    rows = found.rows(source.name, photos.keys, classes.keys, "xywh-relative")
    return replace(rows, boxes=rows.boxes / 100)


def _photo(task: Any, where: str) -> PhotoKey:  # Any: JSON
    data = task.get("data") if isinstance(task, dict) else None
    address = data.get("image") if isinstance(data, dict) else None
    if not isinstance(address, str):
        raise DataError(f'{where} has no photo under "data": {{"image": ...}}')
    parts = urlsplit(address)
    local = parts.query.removeprefix("d=") if parts.query.startswith("d=") else parts.path
    return PhotoKey(unquote(local).lstrip("/"))


def _region(region: Mapping[str, Any], where: str) -> tuple[list[float], str, float | None]:
    value = region.get("value")
    try:
        box = [float(value[key]) for key in ("x", "y", "width", "height")]  # type: ignore[index]
        names = value["rectanglelabels"]  # type: ignore[index]
        if len(names) != 1 or not isinstance(names[0], str):
            raise ValueError
        if value.get("rotation"):  # type: ignore[union-attr]
            raise DataError(f"{where}: the box is rotated; only upright boxes are re-scored")
    except (KeyError, TypeError, ValueError):
        raise DataError(f"{where} is {excerpt(value)}; it needs x, y, width, height and one rectanglelabels") from None
    score = region.get("score", region.get("meta", {}).get("score") if isinstance(region.get("meta"), dict) else None)
    return box, names[0], score


def _sniff(source: Source) -> int:
    keys = json_keys(source.head)
    if "predictions" in keys and "rectanglelabels" in keys:
        return SURE
    return LIKELY if {"data", "predictions"} <= keys else NO


def _write(target: Path | str, output: Output) -> None:
    detections = output.detections
    tasks = []
    for image_id, rows in detections.by_image():
        height, width = output.size(image_id, "label-studio")
        boxes = detections.boxes_xywh[rows] / [width, height, width, height] * 100
        result = [
            {
                "id": f"{image_id}-{number}",
                "type": "rectanglelabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    **dict(zip(("x", "y", "width", "height"), box, strict=True)),
                    "rotation": 0,
                    "rectanglelabels": [name],
                },
                "score": score,
            }
            for number, (box, name, score) in enumerate(
                zip(boxes.tolist(), output.class_names(rows), detections.scores[rows].tolist(), strict=True)
            )
        ]
        photo = PurePosixPath(output.file_name(image_id)).as_posix()
        prediction = {"model_version": "risf", "score": float(detections.scores[rows].mean()), "result": result}
        tasks.append({"data": {"image": f"/data/local-files/?d={photo}"}, "predictions": [prediction]})
    put_json(target, tasks)


LABEL_STUDIO = Form(
    name="label-studio",
    title="Label Studio predictions JSON",
    written_by="Label Studio's ML backends, pre-annotation scripts",
    keeps="class names, photo names, scores",
    loses="the last digit of boxes (they are percents); other keys",
    sniff=_sniff,
    read=_read,
    write=_write,
    needs_sizes=True,
)
