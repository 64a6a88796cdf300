"""AnnotatedDataset: the labelled boxes of a dataset as one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import corners_of
from risf_core.choices import DatasetKind
from risf_core.detections import ImageId, image_id_array
from risf_core.errors import DataError, counted, did_you_mean, listing
from risf_core.files import STANDARD_STREAM
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class Source:
    """Where a dataset was read from, with what is needed to see later whether it is still the same."""

    kind: DatasetKind
    paths: tuple[Path, ...]  # COCO: the files that were joined; VOC: the folder; YOLO: data.yaml
    sha256: tuple[str, ...]  # one per path; of a folder, of all the annotation files that were read in it


@dataclass(frozen=True, eq=False)
class AnnotatedDataset:
    """M labelled boxes of a dataset's images and classes, as parallel read-only arrays in the order of its files."""

    vocabulary: ClassVocabulary
    images: tuple[ImageInfo, ...]  # in the order of the files
    annotation_ids: NDArray[np.int64]  # (M,) as the files state them, where several are joined made distinct
    image_positions: NDArray[np.int64]  # (M,) positions in `images`
    labels: NDArray[np.int64]  # (M,) positions in the vocabulary
    boxes_xywh: NDArray[np.float64]  # (M, 4) x, y, width, height in pixels; VOC's with xmin and ymin reduced by 1
    areas: NDArray[np.float64]  # (M,) square pixels as the file states them (of the mask, in COCO), else width x height
    crowd: NDArray[np.bool_]  # (M,) regions of many objects (`iscrowd`)
    difficult: NDArray[np.bool_]  # (M,) Pascal VOC's difficult boxes; COCO's protocol counts them
    file_rows: NDArray[np.int64]  # (M,) the place of each box among all annotations of the files, from 0
    source: Source = Source("coco", (), ())
    notes: tuple[str, ...] = ()  # what reading left out or changed, a sentence each
    listed_paths: tuple[str, ...] = ()  # VOC alone: how TFA's lists write each image, from what its XML states

    def __post_init__(self) -> None:
        count = len(self.labels)
        columns = {
            "annotation_ids": (count,),
            "image_positions": (count,),
            "labels": (count,),
            "boxes_xywh": (count, 4),
            "areas": (count,),
            "crowd": (count,),
            "difficult": (count,),
            "file_rows": (count,),
        }
        for name, shape in columns.items():
            array = getattr(self, name)
            if array.shape != shape:
                raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
            view = array.view()
            view.flags.writeable = False
            object.__setattr__(self, name, view)

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_columns(
        cls,
        vocabulary: ClassVocabulary,
        images: Sequence[ImageInfo],
        image_positions: NDArray[np.int64],
        labels: NDArray[np.int64],
        boxes_xywh: NDArray[np.float64],
        *,
        crowd: NDArray[np.bool_] | None = None,
        difficult: NDArray[np.bool_] | None = None,
        source: Source = Source("coco", (), ()),
        notes: tuple[str, ...] = (),
        listed_paths: tuple[str, ...] = (),
    ) -> AnnotatedDataset:
        """The table of these boxes, numbered from 1, with width x height for their areas."""
        none = np.zeros(len(labels), dtype=bool)
        return cls(
            vocabulary=vocabulary,
            images=tuple(images),
            annotation_ids=np.arange(1, len(labels) + 1, dtype=np.int64),
            image_positions=image_positions,
            labels=labels,
            boxes_xywh=boxes_xywh,
            areas=boxes_xywh[:, 2] * boxes_xywh[:, 3],
            crowd=none if crowd is None else crowd,
            difficult=none if difficult is None else difficult,
            file_rows=np.arange(len(labels), dtype=np.int64),
            source=source,
            notes=notes,
            listed_paths=listed_paths,
        )

    @cached_property
    def images_by_id(self) -> Mapping[ImageId, ImageInfo]:
        """The images by their ids, in the order of the files."""
        return {info.image_id: info for info in self.images}

    @cached_property
    def image_ids(self) -> NDArray[Any]:
        """The image id of each box, (M,): int64, or object where an id is a string."""
        return image_id_array([self.images[position].image_id for position in self.image_positions.tolist()])

    @cached_property
    def image_ranks(self) -> Mapping[ImageId, int]:
        """Image id -> its place among all ids in ascending order (numbers before strings), from 0.

        The order is what decides between equal scores of different images (pycocotools goes through sorted ids).
        """
        ascending = sorted(self.images_by_id, key=lambda image_id: (isinstance(image_id, str), image_id))
        return {image_id: rank for rank, image_id in enumerate(ascending)}

    @property
    def boxes(self) -> NDArray[np.float64]:
        """Corners x0, y0, x1, y1 in pixels, (M, 4)."""
        return corners_of(self.boxes_xywh)

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
        """How many boxes each class has for an evaluation, which counts all but crowd regions, (C,)."""
        return np.bincount(self.labels[~self.crowd], minlength=len(self.vocabulary)).astype(np.int64)

    def usable_per_class(self) -> NDArray[np.int64]:
        """How many usable boxes each class has, (C,)."""
        return np.bincount(self.labels[self.usable], minlength=len(self.vocabulary)).astype(np.int64)

    def select(self, rows: NDArray[Any]) -> AnnotatedDataset:
        """The rows of a mask (M,) or of positions (N,), with their images alone (in order)."""
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
            areas=self.areas[rows],
            crowd=self.crowd[rows],
            difficult=self.difficult[rows],
            file_rows=self.file_rows[rows],
        )


def refuse_stdin(paths: Sequence[Path], *, field: str) -> None:
    """Raises DataError where a path is stdin: what a split is drawn from is hashed, and read again later."""
    if STANDARD_STREAM in map(str, paths):
        raise DataError(f"`{field}=-` (stdin) cannot be read again, as checking and training a split do; name a file")


def require_classes(names: Sequence[str], vocabulary: ClassVocabulary, *, option: str) -> None:
    """Raises DataError where one of the names is not a class; the nearest ones are offered."""
    unknown = [name for name in names if name not in vocabulary.names]
    if unknown:
        raise DataError(
            f"{option}: {listing([repr(name) for name in unknown])} not among the {counted(len(vocabulary), 'class')}"
            f"{did_you_mean(unknown[0], vocabulary.names)}"
        )
