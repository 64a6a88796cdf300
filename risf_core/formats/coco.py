"""COCO's two forms of detections: the results list, and the dataset dict whose annotations carry a score."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.coco_values import as_float
from risf_core.datasets.index import check_categories, check_images
from risf_core.detections import Detections, Extras, ImageId
from risf_core.errors import DataError, counted, excerpt
from risf_core.files import open_output
from risf_core.vocabulary import ClassVocabulary

_ROWS_AT_ONCE = 1 << 14  # turned into Python objects together, so that their number does not grow with the file
_SHARE_OF_PERCENTAGES = 0.2  # of rows above 1.5; detectors seldom write rows that they give less than 1.5 %
_CORE_KEYS = frozenset({"image_id", "category_id", "bbox", "score"})
NO_ID = -1  # of a row that states the name of its class alone
_log = logging.getLogger(__name__)
_ROW_FORM = "each row needs image_id, category_id, bbox [x, y, width, height] and score"


def write_detections(
    target: Path | str,
    detections: Detections,
    vocabulary: ClassVocabulary,
    envelope: Mapping[str, Any] | None = None,
) -> None:
    """Write a COCO results list, or the dataset dict whose other keys are `envelope`; one row per line.

    ``-`` is stdout. A file is written beside its target and renamed, so an old one stays whole until the end.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    if envelope is None:
        opening, closing = "[", "]\n"
    else:
        head = encode(dict(envelope))
        opening, closing = f'{head[:-1]}{", " if envelope else ""}"annotations": [', "]}\n"
    with open_output(target) as handle:
        handle.write(opening)
        separator = "\n"
        for row in result_rows(detections, vocabulary):
            handle.write(separator + encode(row))
            separator = ",\n"
        handle.write(("\n" if len(detections) else "") + closing)


def result_rows(detections: Detections, vocabulary: ClassVocabulary) -> Iterator[dict[str, Any]]:
    """The COCO results dict of each row, in order; a row's other keys follow the four of COCO."""
    for start in range(0, len(detections), _ROWS_AT_ONCE):
        yield from _result_rows(detections[start : start + _ROWS_AT_ONCE], vocabulary.category_ids)


def _result_rows(detections: Detections, category_ids: Sequence[int]) -> Iterator[dict[str, Any]]:
    columns = zip(
        detections.image_ids.tolist(),
        detections.labels.tolist(),
        detections.boxes_xywh.tolist(),
        detections.scores.tolist(),
        detections.extras,
        strict=True,
    )
    for image_id, label, box, score, extras in columns:
        row = {
            "image_id": image_id,
            "category_id": category_ids[label] if label >= 0 else None,  # None: extras hold the file's own
            "bbox": box,
            "score": score,
        }
        if extras:
            row.update(extras)
        yield row


def rows_of(content: object, name: str) -> tuple[Sequence[Any], Mapping[str, Any] | None]:
    """The rows of a list or of a dataset dict, and the dict's other keys."""
    if isinstance(content, list):
        return content, None
    if isinstance(content, dict) and isinstance(content.get("annotations"), list):
        rows = content["annotations"]
        if rows and not any(isinstance(row, dict) and "score" in row for row in rows):
            raise DataError(
                f"{name}: its annotations carry no score, so they are ground truth and not detections; "
                "pass it as `annotations`, and the detector's results as `detections`"
            )
        if "images" in content:
            check_images(content["images"], name)
        if "categories" in content:
            check_categories(content["categories"], name)
        return rows, {key: value for key, value in content.items() if key != "annotations"}
    kind = "an object without a list under 'annotations'" if isinstance(content, dict) else type(content).__name__
    raise DataError(f"{name}: holds {kind}, not a list of detections; {_ROW_FORM}")


@dataclass(frozen=True)
class Columns:
    """The rows of a file as columns, checked for their types and ranges."""

    image_ids: list[ImageId]
    category_ids: list[int]
    boxes: NDArray[np.float64]  # (N, 4) as the file states them
    scores: NDArray[np.float64]  # (N,)
    extras: list[Extras | None]

    @classmethod
    def of(cls, rows: Sequence[Any], name: str) -> Columns:
        try:
            image_ids = [row["image_id"] for row in rows]
            category_ids = [row["category_id"] for row in rows]
            boxes = [row["bbox"] for row in rows]
            scores = [row["score"] for row in rows]
            sound = (
                set(map(type, image_ids)) <= {int, str}
                and set(map(type, category_ids)) <= {int}
                and set(map(type, scores)) <= {int, float}
                and set(map(type, boxes)) <= {list}
                and set(map(len, boxes)) <= {4}
                and {kind for box in boxes for kind in map(type, box)} <= {int, float}
            )
        except (KeyError, TypeError, IndexError):
            sound = False
        if not sound:
            certain, taken = _with_certain_values(rows)
            if not taken:
                raise DataError(_first_fault(rows, name))
            _log.warning("%s: read as numbers or names: %s", name, ", ".join(f"{w} ({n})" for w, n in taken.items()))
            return cls.of(certain, name)
        try:
            table = np.array(boxes, dtype=np.float64).reshape(len(rows), 4)
            column = np.array(scores, dtype=np.float64)
        except OverflowError:  # a whole number beyond the range of floats
            table = np.array([[as_float(number) for number in box] for box in boxes]).reshape(len(rows), 4)
            column = np.array([as_float(score) for score in scores])
        _check_finite(table, column, name)
        extras: list[Extras | None] = [
            None if len(row) == len(_CORE_KEYS) else {k: v for k, v in row.items() if k not in _CORE_KEYS}
            for row in rows
        ]
        return cls(image_ids, category_ids, table, column, extras)


def _check_finite(boxes: NDArray[np.float64], scores: NDArray[np.float64], name: str) -> None:
    """Refuse numbers that no detection can have, naming the first row that holds one."""
    unusable = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(unusable):
        row = unusable[0]
        raise DataError(
            f"{name}: row {row}: bbox {boxes[row].tolist()} holds a number that is not finite "
            f"({counted(len(unusable), 'such row')}); leave these rows out"
        )
    outside = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(outside):
        row = outside[0]
        raise DataError(
            f"{name}: row {row}: score {float(scores[row])!r} is outside 0..1 ({counted(len(outside), 'such row')})"
            f"{_cause_of(scores)}; scores must be probabilities"
        )


def _cause_of(scores: NDArray[np.float64]) -> str:
    """What scores (N,) that leave 0..1 probably are, as a clause."""
    if not np.isfinite(scores).all():
        return ""
    if scores.min() >= 0 and scores.max() <= 1.01:
        return " (rounding? set what is over 1 to 1)"
    if scores.min() >= 0 and scores.max() <= 100 and (scores > 1.5).mean() >= _SHARE_OF_PERCENTAGES:
        return " (percentages? divide them by 100)"
    return " (logits? pass them through the sigmoid or softmax that the detector was trained with)"


def _with_certain_values(rows: Sequence[Any]) -> tuple[list[Any], Counter[str]]:
    """The rows with values of another type whose meaning is certain as they should be, and how many were of each kind.

    72.0 is 72, "0.9" is 0.9, and a category_id that is a word is the name of the class.
    """
    taken: Counter[str] = Counter()
    result = []
    for row in rows:
        own = dict(row) if isinstance(row, dict) else row
        if isinstance(own, dict):
            for key in ("image_id", "category_id"):
                value = own.get(key)
                if isinstance(value, float) and value.is_integer():
                    own[key] = int(value)
                    taken[f"{key} as a float"] += 1
            category = own.get("category_id")
            if isinstance(category, str) and category.strip().isdecimal():
                own["category_id"] = int(category)
                taken["category_id as text"] += 1
            elif isinstance(category, str) and own.get("category_name", category) == category:
                own |= {"category_id": NO_ID, "category_name": category}
                taken["category_id as the name of the class"] += 1
            if isinstance(own.get("score"), str):
                with contextlib.suppress(ValueError):
                    own["score"] = float(own["score"])
                    taken["score as text"] += 1
        result.append(own)
    return result, taken


def _first_fault(rows: Sequence[Any], name: str) -> str:
    """What is wrong with the first row that is not of COCO's form."""
    for position, row in enumerate(rows):
        where = f"{name}: row {position}"
        if not isinstance(row, dict):
            return f"{where} is {type(row).__name__}, not an object; {_ROW_FORM}"
        for key in ("image_id", "category_id", "bbox", "score"):
            if key not in row:
                return f'{where} has no "{key}"; {_ROW_FORM}'
        box = row["bbox"]
        if not isinstance(box, list):
            return f"{where}: bbox is {excerpt(box)}, not a list of 4 numbers (x, y, width, height)"
        if len(box) != 4:
            return f"{where}: bbox {excerpt(box)} has {len(box)} numbers, not 4 (x, y, width, height)"
        if not all(type(number) in (int, float) for number in box):
            return f"{where}: bbox {excerpt(box)} holds something that is not a number (x, y, width, height)"
        if type(row["image_id"]) not in (int, str):
            return f"{where}: image_id is {excerpt(row['image_id'])}, not a whole number or a string"
        if type(row["category_id"]) is not int:
            return f"{where}: category_id is {excerpt(row['category_id'])}, not a whole number"
        if type(row["score"]) not in (int, float):
            return f"{where}: score is {excerpt(row['score'])}, not a number in 0..1"
    raise AssertionError("called on rows without a fault")
