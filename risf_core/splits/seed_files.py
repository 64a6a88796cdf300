"""The JSON form of frozen boxes: the table of a seed, or of the base set, in one file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Benchmark, DatasetKind, Group
from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.documents import typed
from risf_core.errors import DataError
from risf_core.files import read_json, write_json, write_text
from risf_core.photos import ImageInfo
from risf_core.splits.split import Mark, MarkKind, SeedShots
from risf_core.vocabulary import ClassVocabulary

BASE_NAME = "base.json"  # below a split's folder
SEED_FORMAT = "risf split seed"
BASE_FORMAT = "risf split base"
VERSION = 1
GROUPS: tuple[Group, ...] = ("all", "novel", "base")
REDRAW = "draw the split again"  # what to do about every fault of these files

Content = Mapping[str, Any]  # Any: JSON

_LARGEST = 1e9  # pixels from the corner of a photo


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


class Class(TypedDict):
    """A class in these files."""

    name: str
    category_id: int
    novel: bool


class _Source(TypedDict):
    kind: DatasetKind
    sha256: list[str]


class _Images(TypedDict):
    id: list[int | str]
    file_name: list[str | None]
    height: list[int | None]
    width: list[int | None]


_Boxes = TypedDict(
    "_Boxes",
    {
        "annotation_id": list[int],
        "image": list[int],  # positions in `images`
        "class": list[int],  # positions in `classes`
        "xywh": list[tuple[float, float, float, float]],
        "difficult": list[int],  # positions in `boxes`
    },
)


class _Table(TypedDict):
    source: _Source
    classes: list[Class]
    images: _Images
    boxes: _Boxes


class _Mark(TypedDict):
    kind: MarkKind
    shots: int
    classes: list[str]


class _Seed(_Table):
    benchmark: Benchmark
    novel_set: str
    seed: int
    shots: dict[str, dict[str, list[int]]]  # shots -> class -> positions in `boxes`
    marks: list[_Mark]


def write_own_layout(
    place: Path,
    seeds: Mapping[int, SeedShots],
    base: AnnotatedDataset | None,
    *,
    vocabulary: ClassVocabulary,
    settings: Content,
) -> None:
    """Writes the files of the seeds and of the base set, and the lists of classes."""
    for seed, shots in seeds.items():
        write_json(place / seed_name(seed), seed_to_json(shots, settings=settings), indent=None)
    if base is not None:
        write_json(place / BASE_NAME, base_to_json(base), indent=None)
    for group in GROUPS:
        names = vocabulary.restrict(group).names
        if names:
            write_text(place / "classes" / f"{group}.txt", "".join(f"{name}\n" for name in names))


def read_seed_file(path: Path) -> SeedShots:
    """The frozen boxes of a seed's file. Raises DataError where it is not one."""
    content = typed(read_split_json(path, form=SEED_FORMAT), _Seed, source=path, way_out=REDRAW)
    boxes = _dataset(content, path)
    nothing: list[int] = []
    if not all(count.isdecimal() and int(count) for count in content["shots"]):
        raise DataError(f"{path}: is damaged (a shot count is not a whole number from 1 on); {REDRAW}")
    rows = {
        int(count): tuple(_positions(by_name.get(n, nothing), len(boxes), path) for n in boxes.vocabulary.names)
        for count, by_name in content["shots"].items()
    }
    if any((boxes.labels[of_class] != label).any() for by in rows.values() for label, of_class in enumerate(by)):
        raise DataError(f"{path}: is damaged (a box is listed under another class than its own); {REDRAW}")
    marks = tuple(Mark(mark["kind"], mark["shots"], tuple(mark["classes"])) for mark in content["marks"])
    return SeedShots(content["benchmark"], content["novel_set"], content["seed"], boxes, rows, marks)


def is_seed_file(path: Path) -> bool:
    """Whether a file begins as the file of a seed does."""
    with open(path, "rb") as handle:
        return f'"{SEED_FORMAT}"'.encode() in handle.read(200)


def read_base_file(path: Path) -> AnnotatedDataset:
    """The base set of a split. Raises DataError where the file is not one."""
    return _dataset(typed(read_split_json(path, form=BASE_FORMAT), _Table, source=path, way_out=REDRAW), path)


def read_split_json(path: Path, *, form: str) -> Content:
    """The JSON of a split's file, checked for what it says it is."""
    content = read_json(path, what=f"{form} file")
    if not isinstance(content, dict) or content.get("format") != form:
        raise DataError(f"{path}: is not a {form!r} file; name what `risf prepare-splits` wrote")
    if content.get("version") != VERSION:
        raise DataError(f"{path}: has version {content.get('version')!r}, this risf reads {VERSION}; {REDRAW}")
    return content


def classes_to_json(vocabulary: ClassVocabulary) -> list[dict[str, Any]]:
    """The classes in their order."""
    return [
        {"name": name, "category_id": category_id, "novel": name in vocabulary.novel}
        for name, category_id in zip(vocabulary.names, vocabulary.category_ids, strict=True)
    ]


def classes_from_json(rows: Sequence[Class], path: Path) -> ClassVocabulary:
    """The vocabulary of such a list in the file at `path`."""
    names, ids = [row["name"] for row in rows], [row["category_id"] for row in rows]
    if len(set(names)) < len(names) or len(set(ids)) < len(ids):
        raise DataError(f"{path}: is damaged (a class is listed twice); {REDRAW}")
    return ClassVocabulary(tuple(names), tuple(ids), frozenset(row["name"] for row in rows if row["novel"]))


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


def _dataset(content: _Table, path: Path) -> AnnotatedDataset:
    images, boxes = content["images"], content["boxes"]
    vocabulary = classes_from_json(content["classes"], path)
    count = len(boxes["annotation_id"])
    of_images = {len(images["id"]), len(images["file_name"]), len(images["height"]), len(images["width"])}
    of_boxes = {count, len(boxes["image"]), len(boxes["class"]), len(boxes["xywh"])}
    if len(of_images) > 1 or len(of_boxes) > 1:
        raise DataError(f"{path}: is damaged (its columns differ in length); {REDRAW}")
    boxes_xywh = np.array(boxes["xywh"], dtype=np.float64).reshape(count, 4)
    if np.abs(boxes_xywh).max(initial=0) > _LARGEST:
        raise DataError(f"{path}: is damaged (a box lies beyond any photo); {REDRAW}")
    difficult = np.zeros(count, dtype=bool)
    difficult[_positions(boxes["difficult"], count, path)] = True
    return AnnotatedDataset(
        vocabulary=vocabulary,
        images=tuple(map(ImageInfo, images["id"], images["file_name"], images["height"], images["width"])),
        annotation_ids=_positions(boxes["annotation_id"], None, path),
        image_positions=_positions(boxes["image"], len(images["id"]), path),
        labels=_positions(boxes["class"], len(vocabulary), path),
        boxes_xywh=boxes_xywh,
        areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
        crowd=np.zeros(count, dtype=bool),
        difficult=difficult,
        file_rows=np.arange(count, dtype=np.int64),
        source=Source(content["source"]["kind"], (path,), tuple(content["source"]["sha256"])),
    )


def _positions(values: Sequence[int], below: int | None, path: Path) -> NDArray[np.int64]:
    """Whole numbers as an array; positions where `below` states how many things they count."""
    try:
        numbers = np.array(values, dtype=np.int64)
    except OverflowError:
        raise DataError(f"{path}: is damaged (a number is too large); {REDRAW}") from None
    if below is not None and len(numbers) and not 0 <= numbers.min() <= numbers.max() < below:
        raise DataError(f"{path}: is damaged (position {numbers.max()} among {below}); {REDRAW}")
    return numbers
