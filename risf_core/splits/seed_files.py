"""The JSON form of frozen boxes: the table of a seed, or of the base set, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.datasets import AnnotatedDataset, Source
from risf_core.errors import DataError
from risf_core.files import read_json
from risf_core.photos import ImageInfo
from risf_core.splits.split import Mark, SeedShots
from risf_core.vocabulary import ClassVocabulary

BASE_NAME = "base.json"  # below a split's folder
SEED_FORMAT = "risf split seed"
BASE_FORMAT = "risf split base"
VERSION = 1

Content = Mapping[str, Any]  # Any: JSON


def seed_name(seed: int) -> str:
    """The file of a seed below a split's folder."""
    return f"shots/seed{seed}.json"


def seed_to_json(shots: SeedShots, *, settings: Content) -> dict[str, Any]:
    """The file of one seed: the frozen boxes once, and for each shot count and class which of them.

    `settings` are what was asked for; the file keeps them for its reader.
    """
    frozen = shots.frozen()
    names = frozen.boxes.vocabulary.names
    return {
        "format": SEED_FORMAT,
        "version": VERSION,
        "benchmark": frozen.benchmark,
        "novel_set": frozen.novel_set,
        "seed": frozen.seed,
        "settings": dict(settings),
        **_table(frozen.boxes),
        "shots": {
            str(count): {name: rows.tolist() for name, rows in zip(names, by_label, strict=True) if len(rows)}
            for count, by_label in sorted(frozen.rows.items())
        },
        "marks": [
            {"kind": mark.kind, "shots": mark.shots, "classes": list(mark.classes), "text": mark.text}
            for mark in frozen.marks
        ],
    }


def base_to_json(base: AnnotatedDataset) -> dict[str, Any]:
    """The file of the base set: its images and boxes."""
    return {"format": BASE_FORMAT, "version": VERSION, **_table(base)}


def read_seed_file(path: Path) -> SeedShots:
    """The frozen boxes of a seed's file. Raises DataError where it is not one."""
    content = read_table_file(path, form=SEED_FORMAT)
    boxes = _dataset(content, path)
    nothing: list[int] = []
    try:
        return SeedShots(
            content["benchmark"],
            content["novel_set"],
            content["seed"],
            boxes,
            {
                int(count): tuple(np.array(by_name.get(n, nothing), dtype=np.int64) for n in boxes.vocabulary.names)
                for count, by_name in content["shots"].items()
            },
            tuple(Mark(mark["kind"], mark["shots"], tuple(mark["classes"])) for mark in content["marks"]),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _broken(path, error) from None


def is_seed_file(path: Path) -> bool:
    """Whether a file begins as the file of a seed does."""
    with open(path, "rb") as handle:
        return f'"{SEED_FORMAT}"'.encode() in handle.read(200)


def read_base_file(path: Path) -> AnnotatedDataset:
    """The base set of a split. Raises DataError where the file is not one."""
    return _dataset(read_table_file(path, form=BASE_FORMAT), path)


def read_table_file(path: Path, *, form: str) -> Content:
    """The JSON of a split's file, checked for what it says it is."""
    content = read_json(path, what=f"{form} file")
    if not isinstance(content, dict) or content.get("format") != form:
        raise DataError(f"{path}: is not a {form!r} file; name what `risf prepare-splits` wrote")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path}: has version {content.get('version')!r}, this risf reads {VERSION}; draw the split again"
        )
    return content


def classes_to_json(vocabulary: ClassVocabulary) -> list[dict[str, Any]]:
    """The classes in their order."""
    return [
        {"name": name, "category_id": category_id, "novel": name in vocabulary.novel}
        for name, category_id in zip(vocabulary.names, vocabulary.category_ids, strict=True)
    ]


def classes_from_json(rows: Sequence[Content]) -> ClassVocabulary:
    """The vocabulary of such a list."""
    return ClassVocabulary(
        tuple(row["name"] for row in rows),
        tuple(row["category_id"] for row in rows),
        frozenset(row["name"] for row in rows if row["novel"]),
    )


def _table(boxes: AnnotatedDataset) -> dict[str, Any]:
    return {
        "source": {"kind": boxes.source.kind, "sha256": list(boxes.source.sha256)},
        "classes": classes_to_json(boxes.vocabulary),
        "images": {
            "id": [info.image_id for info in boxes.images],
            "file_name": [info.file_name for info in boxes.images],
            "height": [info.height for info in boxes.images],
            "width": [info.width for info in boxes.images],
        },
        "boxes": {
            "annotation_id": boxes.annotation_ids.tolist(),
            "image": boxes.image_positions.tolist(),  # positions in `images`
            "class": boxes.labels.tolist(),  # positions in `classes`
            "xywh": boxes.boxes_xywh.tolist(),
            "difficult": np.flatnonzero(boxes.difficult).tolist(),  # positions in `boxes`
        },
    }


def _dataset(content: Content, path: Path) -> AnnotatedDataset:
    try:
        images, boxes = content["images"], content["boxes"]
        count = len(boxes["annotation_id"])
        boxes_xywh = np.array(boxes["xywh"], dtype=np.float64).reshape(count, 4)
        difficult = np.zeros(count, dtype=bool)
        difficult[boxes["difficult"]] = True
        return AnnotatedDataset(
            vocabulary=classes_from_json(content["classes"]),
            images=tuple(
                ImageInfo(image_id, file_name, height, width)
                for image_id, file_name, height, width in zip(
                    images["id"], images["file_name"], images["height"], images["width"], strict=True
                )
            ),
            annotation_ids=np.array(boxes["annotation_id"], dtype=np.int64),
            image_positions=np.array(boxes["image"], dtype=np.int64),
            labels=np.array(boxes["class"], dtype=np.int64),
            boxes_xywh=boxes_xywh,
            areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
            crowd=np.zeros(count, dtype=bool),
            difficult=difficult,
            file_rows=np.arange(count, dtype=np.int64),
            source=Source(content["source"]["kind"], (path,), tuple(content["source"]["sha256"])),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _broken(path, error) from None


def _broken(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: is damaged ({type(error).__name__}: {error}); draw the split again")
