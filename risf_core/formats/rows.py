"""Rows: what a file of detections says, before its photos and classes are matched to a dataset."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import BoxConvention, CategoryConvention
from risf_core.detections import Extras, ImageId
from risf_core.errors import DataError, counted, listing

Where = Callable[[int], str]  # how a row is named in messages: file and row, or file and line

_Key = TypeVar("_Key", bound=Hashable)


class PhotoKey(NamedTuple):
    """What a file calls a photo: a name (a path, a base name or a stem), an id, or both."""

    name: str | None = None
    image_id: ImageId | None = None


class ClassKey(NamedTuple):
    """What a file calls a class."""

    name: str | None = None
    category_id: int | None = None


@dataclass(frozen=True, eq=False)
class Rows:
    """N detections of a file as parallel arrays, in the file's order and its own convention of boxes."""

    source: str  # how the file is named in messages
    photos: tuple[PhotoKey, ...]  # distinct, also of photos without detections where the form lists them
    photo_codes: NDArray[np.int64]  # (N,) positions in `photos`
    classes: tuple[ClassKey, ...]  # distinct
    class_codes: NDArray[np.int64]  # (N,) positions in `classes`
    boxes: NDArray[np.float64]  # (N, 4) digit for digit, in `box_convention`
    scores: NDArray[np.float64]  # (N,)
    box_convention: BoxConvention
    category_ids: CategoryConvention | None = "dataset"  # what the ids of classes are; None: the form does not say
    class_count: int | None = None  # how many classes the file has, where it has them all and names none
    photos_by_position: bool = False  # image ids count the photos in the order of the dataset, from 0
    extras: Sequence[Extras | None] | None = None
    envelope: Mapping[str, Any] | None = None  # what a COCO dataset holds beside its annotations
    notes: tuple[str, ...] = ()  # what a person should know of the file, a sentence each

    def __len__(self) -> int:
        return len(self.scores)


@dataclass
class RowList:
    """Detections gathered one by one, and how each is named in messages."""

    photo_codes: list[int] = field(default_factory=list)
    class_codes: list[int] = field(default_factory=list)
    boxes: list[Sequence[float]] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    wheres: list[str] = field(default_factory=list)

    def add(self, photo_code: int, class_code: int, box: Sequence[float], score: float, where: str) -> None:
        """One more detection; a box is four numbers in the form's own convention."""
        self.photo_codes.append(photo_code)
        self.class_codes.append(class_code)
        self.boxes.append(box)
        self.scores.append(score)
        self.wheres.append(where)

    def rows(
        self, source: str, photos: tuple[PhotoKey, ...], classes: tuple[ClassKey, ...], box_convention: BoxConvention
    ) -> Rows:
        """Their table. Raises DataError that names the first row whose numbers cannot be right."""
        boxes = np.array(self.boxes, dtype=np.float64).reshape(-1, 4)
        scores = np.array(self.scores, dtype=np.float64)
        check_numbers(boxes, scores, self.wheres.__getitem__)
        if box_convention.startswith("xyxy"):
            check_order(boxes, self.wheres.__getitem__)
        photo_codes, class_codes = (np.array(codes, dtype=np.int64) for codes in (self.photo_codes, self.class_codes))
        return Rows(source, photos, photo_codes, classes, class_codes, boxes, scores, box_convention)


class Codes(Generic[_Key]):
    """Numbers distinct keys in the order of their first appearance."""

    def __init__(self) -> None:
        self._codes: dict[_Key, int] = {}

    def of(self, key: _Key) -> int:
        """The number of a key."""
        return self._codes.setdefault(key, len(self._codes))

    @property
    def keys(self) -> tuple[_Key, ...]:
        """The keys by their numbers."""
        return tuple(self._codes)


def check_numbers(boxes: NDArray[np.float64], scores: NDArray[np.float64], where: Where) -> None:
    """Refuse boxes (N, 4) that are not finite and scores (N,) outside 0..1, naming the first row that has one."""
    bad = np.flatnonzero(~np.isfinite(boxes).all(axis=1))
    if len(bad):
        raise DataError(
            f"{where(int(bad[0]))}: box {boxes[bad[0]].tolist()} has a number that is not finite "
            f"({counted(len(bad), 'such row')})"
        )
    bad = np.flatnonzero(~((scores >= 0) & (scores <= 1)))
    if len(bad):
        raise DataError(
            f"{where(int(bad[0]))}: score {float(scores[bad[0]])!r} is outside 0..1 "
            f"({counted(len(bad), 'such row')}); scores must be probabilities"
        )


def check_order(boxes: NDArray[np.float64], where: Where) -> None:
    """Refuse corners (N, 4) that end before they begin, naming the first."""
    bad = np.flatnonzero((boxes[:, 2:] < boxes[:, :2]).any(axis=1))
    if len(bad):
        raise DataError(
            f"{where(int(bad[0]))}: box {boxes[bad[0]].tolist()} ends before it begins "
            f"({counted(len(bad), 'such row')}); the form states x0, y0, x1, y1"
        )


def relative_or_pixels(boxes: NDArray[np.float64]) -> BoxConvention:
    """Whether corners (N, 4) of a form that may hold either are relative: none reaches past 1."""
    return "xyxy-relative" if len(boxes) and boxes.max() <= 1.04 else "xyxy"  # 1.04: boxes that are not clipped


def check_photos_once(photos: Sequence[PhotoKey], source: str) -> None:
    """Refuse a list with an entry for each photo in which two entries name the same one."""
    seen: dict[PhotoKey, int] = {}
    for position, photo in enumerate(photos):
        first = seen.setdefault(photo, position)
        if first != position:
            raise DataError(
                f"{source}: photo {photo.name if photo.image_id is None else photo.image_id!r} has two entries "
                f"({first} and {position}); keep one"
            )


def named(rows: Sequence[Any], source: str) -> Where:
    """Names row after row of one JSON list."""
    return lambda row: f"{source}: row {row}"


def names_listed(values: Sequence[object]) -> str:
    """The values in quotes as one clause."""
    return listing([repr(value) for value in values])
