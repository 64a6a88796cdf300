"""The images and boxes that the shots of one class are drawn from, and the boxes that lists of images mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.splits.split import ClassShots, MarkKind, Rows


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


def freeze_lists(
    lists: Mapping[int, Rows], pool: ClassPool, *, seed: int, fill: bool, distinct: bool = False
) -> ClassShots:
    """The boxes that lists of images mean: shots -> positions of images, as TFA's VOC files hold them.

    TFA and DeFRCN draw K boxes of the listed images again in every process. Here they are drawn once: where a list
    begins with the next shorter one, that one's boxes stay and the rest come from the images it adds, by a stream
    that depends on the seed, the class and the count alone. Where these hold too few boxes, the rest comes from the
    other listed images; in a list that names an image twice boxes may then be there twice (unless `distinct`, which
    reads every image of a list once); and with `fill` at last from any image of the class. Counts for which there are
    too few boxes are missing.
    """
    rows: dict[int, Rows] = {}
    listed: dict[int, Rows] = {}
    marks: dict[int, tuple[MarkKind, ...]] = {}
    place_of = {position: place for place, position in enumerate(pool.images.tolist())}

    def rows_in(images: Sequence[int]) -> list[int]:
        places = [place_of[image] for image in dict.fromkeys(images) if image in place_of]
        return [int(row) for row in pool.rows_of(places)]

    below: int | None = None
    for shots in sorted(lists):
        old, new, chosen = [], lists[shots].tolist(), []
        if below is not None and new[: len(lists[below])] == lists[below].tolist():
            old, new, chosen = listed[below].tolist(), new[len(lists[below]) :], rows[below].tolist()
        generator = own_generator(seed, pool.name, f"boxes {shots}")
        mark: tuple[MarkKind, ...] = ()
        repeats = len(set(lists[shots].tolist())) < len(lists[shots])
        candidates = rows_in(new), rows_in(old)
        for group in candidates:
            chosen += _sample(generator, group, without=chosen, most=shots - len(chosen))
        images = old + new
        if len(chosen) < shots and not distinct and len(set(images)) < len(images) and any(candidates):
            chosen += generator.choices(candidates[0] or candidates[1], k=shots - len(chosen))
        if len(chosen) < shots:
            mark = ("once",) if distinct and repeats else ("filled",)
            more = _sample(generator, pool.all_rows.tolist() if fill else [], without=chosen, most=shots - len(chosen))
            if len(chosen) + len(more) < shots:
                continue
            image_of = pool.image_of
            images += [image_of[row] for row in more]
            chosen += more
        if distinct:
            images = list(dict.fromkeys(images))
        rows[shots], listed[shots] = np.array(chosen, dtype=np.int64), np.array(images, dtype=np.int64)
        marks[shots] = (*mark, *repeated_mark(rows[shots]))
        below = shots
    return ClassShots(rows, listed, marks)


def repeated_mark(rows: Rows) -> tuple[MarkKind, ...]:
    """The mark of boxes of which one is there twice."""
    return ("repeated",) if len(np.unique(rows)) < len(rows) else ()


def own_generator(seed: int, class_name: str, what: str) -> Random:
    """A stream of random numbers of risf's own for one purpose, which touches no other stream."""
    return Random(f"risf/{seed}/{class_name}/{what}")


def _sample(generator: Random, rows: Sequence[int], *, without: Sequence[int], most: int) -> list[int]:
    """Up to `most` of the rows that are not among `without`."""
    used = set(without)
    unused = [row for row in rows if row not in used]
    return generator.sample(unused, min(max(most, 0), len(unused)))
