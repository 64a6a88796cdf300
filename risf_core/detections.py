"""Detections: the one table that every part of the toolkit reads, maps and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import corners_of

ImageId: TypeAlias = int | str
Extras: TypeAlias = Mapping[str, Any]  # Any: unknown keys of a file hold whatever JSON holds


@dataclass(frozen=True, eq=False)
class Detections:
    """N detections in the order of their file, as parallel read-only arrays.

    `labels` are positions in a ClassVocabulary, or -1 for a category that the vocabulary does not know (the file's own
    `category_id` is then in `extras`). `extras` holds, row by row, the file's other keys (None: there are none).
    """

    image_ids: NDArray[Any]  # (N,) int64, or object where an id is a string or exceeds 64 bits
    boxes_xywh: NDArray[np.float64]  # (N, 4) x, y, width, height in pixels, as the file states them
    scores: NDArray[np.float64]  # (N,) in 0..1
    labels: NDArray[np.int64]  # (N,)
    extras: NDArray[np.object_]  # (N,) a mapping or None

    def __post_init__(self) -> None:
        count = len(self.image_ids)
        expected = {
            "image_ids": (count,),
            "boxes_xywh": (count, 4),
            "scores": (count,),
            "labels": (count,),
            "extras": (count,),
        }
        for name, shape in expected.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    @classmethod
    def from_rows(
        cls,
        image_ids: Sequence[ImageId] | NDArray[Any],
        boxes_xywh: Sequence[Sequence[float]] | NDArray[np.float64],
        scores: Sequence[float] | NDArray[np.float64],
        labels: Sequence[int] | NDArray[np.int64],
        extras: Sequence[Extras | None] | None = None,
    ) -> Detections:
        """The table of plain lists."""
        count = len(image_ids)
        column = np.empty(count, dtype=object)
        if extras is not None:
            column[:] = list(extras)
        return cls(
            image_ids=image_id_array(image_ids),
            boxes_xywh=np.asarray(boxes_xywh if count else np.empty((0, 4)), dtype=np.float64),
            scores=np.asarray(scores, dtype=np.float64),
            labels=np.asarray(labels, dtype=np.int64),
            extras=column,
        )

    @classmethod
    def empty(cls) -> Detections:
        """A table of no rows."""
        return cls.from_rows([], [], [], [])

    @classmethod
    def concatenate(cls, tables: Sequence[Detections]) -> Detections:
        """The rows of all tables, one after the other."""
        if not tables:
            return cls.empty()
        return cls(
            image_ids=image_id_array([image_id for table in tables for image_id in table.image_ids.tolist()]),
            boxes_xywh=np.concatenate([table.boxes_xywh for table in tables]),
            scores=np.concatenate([table.scores for table in tables]),
            labels=np.concatenate([table.labels for table in tables]),
            extras=np.concatenate([table.extras for table in tables]),
        )

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Corners x0, y0, x1, y1 in pixels, (N, 4), derived from `boxes_xywh`."""
        return corners_of(self.boxes_xywh)

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[Any] | slice) -> Detections:
        """The rows of a mask (N,), of positions (M,) or of a slice."""
        return Detections(
            self.image_ids[rows], self.boxes_xywh[rows], self.scores[rows], self.labels[rows], self.extras[rows]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Detections):
            return NotImplemented
        return (
            np.array_equal(self.image_ids, other.image_ids)
            and np.array_equal(self.boxes_xywh, other.boxes_xywh)
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.labels, other.labels)
            and [dict(e or {}) for e in self.extras] == [dict(e or {}) for e in other.extras]
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash; equality is by content

    def with_scores(self, scores: NDArray[np.float64]) -> Detections:
        """The same rows with other scores (N,)."""
        return replace(self, scores=np.asarray(scores, dtype=np.float64))

    def with_extras(self, rows: NDArray[np.int64], columns: Mapping[str, NDArray[Any]]) -> Detections:
        """The same table where each of `rows` (M,) also keeps a value of every column (M,)."""
        extras = self.extras.copy()
        values = {name: column.tolist() for name, column in columns.items()}
        for position, row in enumerate(rows.tolist()):
            extras[row] = {**(extras[row] or {}), **{name: column[position] for name, column in values.items()}}
        return replace(self, extras=extras)

    def by_image(self) -> Iterator[tuple[ImageId, NDArray[np.int64]]]:
        """Each image id in order of first appearance, with the positions of its rows, ascending."""
        codes, ids = factorize(self.image_ids)
        order = np.argsort(codes, kind="stable")
        bounds = np.searchsorted(codes[order], np.arange(len(ids) + 1))
        for code, image_id in enumerate(ids):
            yield image_id, order[bounds[code] : bounds[code + 1]]


def image_id_array(image_ids: Sequence[ImageId] | NDArray[Any]) -> NDArray[Any]:
    """Image ids as int64 (N,) where all are such integers, else as objects (N,) that keep each id's own type."""
    if isinstance(image_ids, np.ndarray):
        if image_ids.dtype.kind == "i":
            return image_ids.astype(np.int64)
        image_ids = image_ids.tolist()
    plain = [image_id.item() if isinstance(image_id, np.generic) else image_id for image_id in image_ids]
    if all(type(image_id) is int for image_id in plain):
        try:
            return np.array(plain, dtype=np.int64)
        except OverflowError:
            pass
    column = np.empty(len(plain), dtype=object)
    column[:] = plain
    return column


def factorize(image_ids: NDArray[Any]) -> tuple[NDArray[np.int64], list[ImageId]]:
    """Codes (N,) and the distinct ids they stand for, numbered in order of first appearance."""
    if image_ids.dtype != object:
        distinct, first, inverse = np.unique(image_ids, return_index=True, return_inverse=True)
        by_appearance = np.argsort(first, kind="stable")
        rank = np.empty_like(by_appearance)
        rank[by_appearance] = np.arange(len(distinct))
        return rank[inverse.reshape(-1)].astype(np.int64), distinct[by_appearance].tolist()
    codes: dict[ImageId, int] = {}
    numbered = [codes.setdefault(image_id, len(codes)) for image_id in image_ids.tolist()]
    return np.array(numbered, dtype=np.int64), list(codes)
