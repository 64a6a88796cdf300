"""ImageRecord: one image with its boxes, as training and testing read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import RecordForm
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.photos import ImageInfo, find_photos
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True, eq=False)
class ImageRecord:
    """One image and its M boxes."""

    image_id: ImageId
    path: Path
    height: int | None  # pixels, None where the dataset does not say
    width: int | None
    boxes: NDArray[np.float64]  # (M, 4) x0, y0, x1, y1 in pixels
    labels: NDArray[np.int64]  # (M,) positions in the record set's vocabulary
    difficult: NDArray[np.bool_]  # (M,)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class RecordSet:
    """Records and the classes that their labels count, in the published order."""

    vocabulary: ClassVocabulary
    records: tuple[ImageRecord, ...]

    def __len__(self) -> int:
        return len(self.records)


def dataset_records(
    dataset: AnnotatedDataset,
    *,
    image_folders: Sequence[Path],
    form: RecordForm = "image",
) -> RecordSet:
    """The records of a dataset's usable boxes (no crowd, none without area), in the order of the boxes.

    Args:
        image_folders: where the images are looked for, in this order.
        form: "image" makes one record per image; "box" one per box, in which the other boxes of the image are
            background (how the literature trains few-shot VOC). A box that is there twice is one box in the first form,
            two records in the second.

    Raises ImageError where images are missing.
    """
    rows = np.flatnonzero(dataset.usable)
    if form == "box":
        groups = [rows[place : place + 1] for place in range(len(rows))]
        positions = dataset.image_positions[rows].tolist()
    else:
        _, first = np.unique(dataset.annotation_ids[rows], return_index=True)
        positions, groups = _by_image(dataset, rows[np.sort(first)])
    needed = sorted(set(positions))
    located = locate_images([dataset.images[p] for p in needed], image_folders, among=dataset.images)
    paths = dict(zip(needed, located, strict=True))
    boxes = dataset.boxes
    return RecordSet(
        dataset.vocabulary,
        tuple(
            _record(dataset, dataset.images[position], paths[position], boxes, group)
            for position, group in zip(positions, groups, strict=True)
        ),
    )


def locate_images(
    images: Sequence[ImageInfo], folders: Sequence[Path], *, among: Sequence[ImageInfo] | None = None
) -> list[Path]:
    """Where each image is, as `find_photos` finds it. Raises ImageError that counts and names what is missing.

    `among` are all images of the dataset (default: these are), whose photos are not taken for those of others.
    """
    by_id = {info.image_id: info for info in among or images}
    found = find_photos([info.image_id for info in images], images=by_id, folders=folders)
    found.refuse_missing("name the folder that holds them with `images`")
    return [found.photos[info.image_id].path for info in images]


def _by_image(dataset: AnnotatedDataset, rows: NDArray[np.int64]) -> tuple[list[int], list[NDArray[np.int64]]]:
    """Image positions in the order in which their boxes first appear, and the rows of each."""
    of_row = dataset.image_positions[rows]
    positions, first, inverse = np.unique(of_row, return_index=True, return_inverse=True)
    grouped = np.split(
        rows[np.argsort(inverse.reshape(-1), kind="stable")], np.cumsum(np.bincount(inverse.reshape(-1)))[:-1]
    )
    order = np.argsort(first, kind="stable").tolist()
    return [int(positions[place]) for place in order], [grouped[place] for place in order]


def _record(
    dataset: AnnotatedDataset, info: ImageInfo, path: Path, boxes: NDArray[np.float64], rows: NDArray[np.int64]
) -> ImageRecord:
    return ImageRecord(
        info.image_id, path, info.height, info.width, boxes[rows], dataset.labels[rows], dataset.difficult[rows]
    )
