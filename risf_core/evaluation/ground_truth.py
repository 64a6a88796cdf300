"""Ground truth: the boxes that detections are measured against."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets import AnnotatedDataset, index_of, read_coco_document, read_voc_test
from risf_core.datasets.coco import difficult_of, without_mask
from risf_core.detections import ImageId, image_id_array
from risf_core.errors import DataError, excerpt
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """M boxes of the images and classes of a dataset, in the order of its file."""

    vocabulary: ClassVocabulary
    images: Mapping[ImageId, ImageInfo]  # in the order of the file
    image_ids: NDArray[Any]  # (M,) int64, or object where an id is a string
    boxes_xywh: NDArray[np.float64]  # (M, 4) x, y, width, height in pixels
    areas: NDArray[np.float64]  # (M,) square pixels as the file states them (of the mask, in COCO), else width x height
    labels: NDArray[np.int64]  # (M,) positions in the vocabulary
    crowd: NDArray[np.bool_]  # (M,) regions of many objects (`iscrowd`): matches there count neither way
    difficult: NDArray[np.bool_]  # (M,) Pascal VOC's difficult boxes; COCO's protocol counts them

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of_dataset(cls, dataset: AnnotatedDataset) -> GroundTruth:
        """The boxes of a dataset; an area is width x height."""
        ids = np.empty(len(dataset.images), dtype=object)
        ids[:] = [info.image_id for info in dataset.images]
        boxes = dataset.boxes_xywh
        return cls(
            vocabulary=dataset.vocabulary,
            images={info.image_id: info for info in dataset.images},
            image_ids=image_id_array(ids[dataset.image_positions].tolist()),
            boxes_xywh=boxes,
            areas=boxes[:, 2] * boxes[:, 3],
            labels=dataset.labels,
            crowd=dataset.crowd,
            difficult=dataset.difficult,
        )

    def with_vocabulary(self, vocabulary: ClassVocabulary) -> GroundTruth:
        """The same boxes under a vocabulary of the same classes, say one with novel names."""
        if vocabulary.category_ids != self.vocabulary.category_ids:
            raise DataError("the vocabulary has other category ids than the ground truth; derive it with with_novel")
        return replace(self, vocabulary=vocabulary)

    @cached_property
    def image_sizes(self) -> dict[ImageId, tuple[int, int]]:
        """(height, width) by image id, where stated."""
        return {image_id: info.size for image_id, info in self.images.items() if info.size is not None}

    @cached_property
    def image_ranks(self) -> dict[ImageId, int]:
        """Image id -> its place among all ids in ascending order (numbers before strings), from 0.

        The order is what decides between equal scores of different images (pycocotools goes through sorted ids).
        """
        ascending = sorted(self.images, key=lambda image_id: (isinstance(image_id, str), image_id))
        return {image_id: rank for rank, image_id in enumerate(ascending)}

    def boxes_per_class(self) -> NDArray[np.int64]:
        """How many boxes of each class count (crowd regions do not), (C,)."""
        return np.bincount(self.labels[~self.crowd], minlength=len(self.vocabulary)).astype(np.int64)


def read_ground_truth(path: Path | str) -> GroundTruth:
    """The ground truth of a COCO JSON, or of a folder in Pascal VOC's form (its test list, else what it holds).

    Missing `iscrowd`, `area`, `info`, `licenses` and box ids are no fault. Boxes of images or classes that the file
    does not list are left out with a warning, as pycocotools leaves them out. The image ids of a VOC folder are stems.
    Raises DataError, in one line, where a file is not what it should be.
    """
    if Path(path).is_dir():
        return GroundTruth.of_dataset(read_voc_test(Path(path)))
    document = read_coco_document(path, object_hook=without_mask)
    index = index_of(document)
    annotations = document.get("annotations")
    if not isinstance(annotations, list):
        raise DataError(f"{path}: has no list of annotations, so there is nothing to evaluate against")
    boxes = _boxes_of(annotations, path)
    label_by_id = index.vocabulary.label_by_id
    listed = [row["image_id"] in index.images and row["category_id"] in label_by_id for row in annotations]
    if not all(listed):
        _log.warning(
            "%s: %d of %d boxes belong to images or categories that the file does not list; they are left out",
            path, len(listed) - sum(listed), len(listed),
        )  # fmt: skip
        annotations = [row for row, kept in zip(annotations, listed, strict=True) if kept]
        boxes = boxes[np.array(listed, dtype=bool)]
    areas = np.array([_number(row.get("area")) for row in annotations], dtype=np.float64)
    return GroundTruth(
        vocabulary=index.vocabulary,
        images=index.images,
        image_ids=image_id_array([row["image_id"] for row in annotations]),
        boxes_xywh=boxes,
        areas=np.where(np.isfinite(areas), areas, boxes[:, 2] * boxes[:, 3]),
        labels=np.array([label_by_id[row["category_id"]] for row in annotations], dtype=np.int64),
        crowd=np.array([bool(row.get("iscrowd")) for row in annotations], dtype=bool),
        difficult=difficult_of(annotations),
    )


def _boxes_of(annotations: Sequence[Any], path: Path | str) -> NDArray[np.float64]:
    """The boxes (M, 4) of annotations, each checked for what an evaluation needs of it."""
    boxes = np.empty((len(annotations), 4), dtype=np.float64)
    for position, row in enumerate(annotations):
        where = f"{path}: annotation {position}"
        if not isinstance(row, dict):
            raise DataError(f"{where} is {type(row).__name__}, not an object with image_id, category_id and bbox")
        for key in ("image_id", "category_id", "bbox"):
            if key not in row:
                raise DataError(f'{where} has no "{key}"; an evaluation needs image_id, category_id and bbox of each')
        box = row["bbox"]
        if not isinstance(box, list) or len(box) != 4 or not all(type(number) in (int, float) for number in box):
            raise DataError(f"{where}: bbox {excerpt(box)} is not a list of 4 numbers (x, y, width, height)")
        if type(row["image_id"]) not in (int, str):
            raise DataError(f"{where}: image_id is {excerpt(row['image_id'])}, not a whole number or a string")
        if type(row["category_id"]) is not int:
            raise DataError(f"{where}: category_id is {excerpt(row['category_id'])}, not a whole number")
        if type(row.get("area")) not in (int, float, type(None)):
            raise DataError(f"{where}: area is {excerpt(row['area'])}, not a number of square pixels")
        boxes[position] = [_number(number) for number in box]
    unusable = np.flatnonzero(~(np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] >= 0).all(axis=1)))
    if len(unusable):
        row = unusable[0]
        raise DataError(
            f"{path}: annotation {row}: bbox {boxes[row].tolist()} has a negative size or a number that is not finite "
            f"({len(unusable)} such boxes); a box is [x, y, width, height]"
        )
    return boxes


def _number(value: float | None) -> float:
    """The number as a float: infinite where it exceeds their range, NaN for None."""
    try:
        return math.nan if value is None else float(value)
    except OverflowError:
        return math.inf
