"""ClassPool: the images and boxes that the shots of one class are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets import AnnotatedDataset


@dataclass(frozen=True, eq=False)
class ClassPool:
    """The n images that hold a class, in order of first appearance, and the class's boxes in each."""

    name: str
    images: NDArray[np.int64]  # (n,) positions in the dataset's images
    counts: tuple[int, ...]  # (n,) boxes of the class in each
    all_rows: NDArray[np.int64]  # (B,) rows of the dataset, grouped by image in that order
    bounds: NDArray[np.int64]  # (n + 1,) where each image's rows begin and end in `all_rows`

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def box_count(self) -> int:
        """How many boxes the pool holds."""
        return len(self.all_rows)

    def rows(self, place: int) -> NDArray[np.int64]:
        """The dataset's rows of the class in the image at a place of the pool, in the order of the file."""
        return self.all_rows[self.bounds[place] : self.bounds[place + 1]]

    @property
    def image_of(self) -> dict[int, int]:
        """Row -> the position of its image."""
        return dict(zip(self.all_rows.tolist(), np.repeat(self.images, self.counts).tolist(), strict=True))

    def rows_of(self, places: Sequence[int]) -> NDArray[np.int64]:
        """The rows of several images, one after the other."""
        return np.concatenate([self.rows(place) for place in places]) if places else np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class PoolPair:
    """The pool that TFA's script draws from, and the pool of the boxes that can be trained on."""

    everything: ClassPool  # all boxes that are not crowd, also those without area: the script looks at no size
    usable: ClassPool


def class_pools(dataset: AnnotatedDataset) -> dict[int, PoolPair]:
    """Label -> the pools of the class, in ascending order of category ids, the order of drawing."""
    not_crowd = np.flatnonzero(~dataset.crowd)
    by_label = _split_by_label(dataset, not_crowd)
    all_usable = bool(dataset.has_area[not_crowd].all())
    usable = by_label if all_usable else _split_by_label(dataset, np.flatnonzero(dataset.usable))
    order = np.argsort(np.array(dataset.vocabulary.category_ids)).tolist()
    return {label: PoolPair(by_label[label], usable[label]) for label in order}


def _split_by_label(dataset: AnnotatedDataset, rows: NDArray[np.int64]) -> list[ClassPool]:
    ordered = rows[np.argsort(dataset.labels[rows], kind="stable")]
    bounds = np.searchsorted(dataset.labels[ordered], np.arange(len(dataset.vocabulary) + 1))
    return [
        _pool(name, ordered[bounds[label] : bounds[label + 1]], dataset.image_positions)
        for label, name in enumerate(dataset.vocabulary.names)
    ]


def _pool(name: str, rows: NDArray[np.int64], image_positions: NDArray[np.int64]) -> ClassPool:
    images, first, inverse, counts = np.unique(
        image_positions[rows], return_index=True, return_inverse=True, return_counts=True
    )
    by_appearance = np.argsort(first, kind="stable")
    rank = np.empty_like(by_appearance)
    rank[by_appearance] = np.arange(len(images))
    grouped = rows[np.argsort(rank[inverse.reshape(-1)], kind="stable")]
    counts = counts[by_appearance]
    bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return ClassPool(name, images[by_appearance], tuple(counts.tolist()), grouped, bounds)
