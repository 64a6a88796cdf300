"""AnnotatedDataset: the labelled boxes of a dataset as one table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import DatasetKind
from risf_core.errors import DataError, did_you_mean, listing
from risf_core.files import STANDARD_STREAM
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class Source:
    """Where a dataset was read from, with what is needed to see later whether it is still the same."""

    kind: DatasetKind
    paths: tuple[Path, ...]  # COCO: the files that were joined; VOC: the folder; YOLO: data.yaml
    sha256: tuple[str, ...]  # one a path; of a folder, of all the annotation files that were read in it


@dataclass(frozen=True, eq=False)
class AnnotatedDataset:
    """M labelled boxes of a dataset's images and classes, as parallel read-only arrays in the order of its files."""

    vocabulary: ClassVocabulary
    images: tuple[ImageInfo, ...]  # in the order of the files
    annotation_ids: NDArray[np.int64]  # (M,) as the files state them, where several are joined made distinct
    image_positions: NDArray[np.int64]  # (M,) positions in `images`
    labels: NDArray[np.int64]  # (M,) positions in the vocabulary
    boxes_xywh: NDArray[np.float64]  # (M, 4) x, y, width, height in pixels; VOC's with xmin and ymin reduced by 1
    crowd: NDArray[np.bool_]  # (M,) regions of many objects (`iscrowd`)
    difficult: NDArray[np.bool_]  # (M,) Pascal VOC's difficult boxes
    file_rows: NDArray[np.int64]  # (M,) where each box stands among all annotations of the files, from 0
    source: Source
    notes: tuple[str, ...] = ()  # what reading left out or changed, a sentence each
    listed_paths: tuple[str, ...] = ()  # VOC alone: how TFA's lists write each image, from what its XML states

    def __post_init__(self) -> None:
        count = len(self.labels)
        columns = {
            "annotation_ids": (count,), "image_positions": (count,), "labels": (count,), "boxes_xywh": (count, 4),
            "crowd": (count,), "difficult": (count,), "file_rows": (count,),
        }  # fmt: skip
        for name, shape in columns.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Corners x0, y0, x1, y1 in pixels, (M, 4)."""
        corners: NDArray[np.float64] = self.boxes_xywh.copy()
        corners[:, 2:] += corners[:, :2]
        return corners

    @property
    def has_area(self) -> NDArray[np.bool_]:
        """Which boxes have a positive width and height, (M,)."""
        positive: NDArray[np.bool_] = np.all(self.boxes_xywh[:, 2:] > 0, axis=1)
        return positive

    @property
    def usable(self) -> NDArray[np.bool_]:
        """Which boxes can be trained on: single objects of some area, (M,)."""
        return self.has_area & ~self.crowd

    def boxes_per_class(self) -> NDArray[np.int64]:
        """How many usable boxes each class has, (C,)."""
        return np.bincount(self.labels[self.usable], minlength=len(self.vocabulary)).astype(np.int64)

    def select(self, rows: NDArray[Any]) -> AnnotatedDataset:
        """The rows of a mask (M,) or of positions (N,), with the images that they lie in alone (in order)."""
        kept, positions = np.unique(self.image_positions[rows], return_inverse=True)
        return self._rows(rows, positions.reshape(-1).astype(np.int64), kept)

    def select_rows(self, rows: NDArray[Any]) -> AnnotatedDataset:
        """The rows of a mask (M,) or of positions (N,), with all images."""
        return self._rows(rows, self.image_positions[rows], np.arange(len(self.images)))

    def without_images(self, positions: NDArray[np.int64]) -> AnnotatedDataset:
        """The dataset without some images and all their boxes."""
        keep = np.ones(len(self.images), dtype=bool)
        keep[positions] = False
        renumbered = np.cumsum(keep) - 1
        rows = keep[self.image_positions]
        return self._rows(rows, renumbered[self.image_positions[rows]], np.flatnonzero(keep))

    def with_vocabulary(self, vocabulary: ClassVocabulary) -> AnnotatedDataset:
        """The same boxes under another order or choice of the classes, by name; boxes of others are left out."""
        by_name = {name: label for label, name in enumerate(vocabulary.names)}
        label_of = np.array([by_name.get(name, -1) for name in self.vocabulary.names], dtype=np.int64)
        labels = label_of[self.labels] if len(self) else self.labels
        kept = labels >= 0
        table = self if kept.all() else self.select_rows(kept)
        return replace(table, vocabulary=vocabulary, labels=labels[kept])

    def _rows(
        self, rows: NDArray[Any], image_positions: NDArray[np.int64], images: NDArray[np.int64]
    ) -> AnnotatedDataset:
        return replace(
            self,
            images=tuple(self.images[position] for position in images.tolist()),
            listed_paths=tuple(self.listed_paths[position] for position in images.tolist())
            if self.listed_paths
            else (),
            annotation_ids=self.annotation_ids[rows],
            image_positions=image_positions,
            labels=self.labels[rows],
            boxes_xywh=self.boxes_xywh[rows],
            crowd=self.crowd[rows],
            difficult=self.difficult[rows],
            file_rows=self.file_rows[rows],
        )


def distinct_classes(vocabulary: ClassVocabulary, *, name: str) -> ClassVocabulary:
    """The vocabulary itself. Raises DataError where a class name stands for two categories (shots go by name)."""
    twice = sorted({class_name for class_name in vocabulary.names if vocabulary.names.count(class_name) > 1})
    if twice:
        ids = [i for n, i in zip(vocabulary.names, vocabulary.category_ids, strict=True) if n == twice[0]]
        raise DataError(
            f"{name}: class {twice[0]!r} stands for the category ids {listing(ids)}; give each category its own name"
        )
    return vocabulary


def refuse_stdin(paths: Sequence[Path], *, option: str) -> None:
    """Raises DataError where a path is stdin: what a split is drawn from is hashed, and read again later."""
    if STANDARD_STREAM in map(str, paths):
        raise DataError(f"{option} - (stdin) cannot be read again, as checking and training a split do; name a file")


def require_classes(names: Sequence[str], vocabulary: ClassVocabulary, *, option: str) -> None:
    """Raises DataError where one of the names is not a class; the nearest ones are offered."""
    unknown = [name for name in names if name not in vocabulary.names]
    if unknown:
        raise DataError(
            f"{option}: {listing([repr(name) for name in unknown])} not among the {len(vocabulary)} classes"
            f"{did_you_mean(unknown[0], vocabulary.names)}"
        )
