"""Matches: which detections found which boxes, from which AP follows for any multiset of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, factorize

Ties = Literal["image", "file"]

_PAIRS_AT_ONCE = 1 << 20  # bounds the memory of overlaps


@dataclass(frozen=True, eq=False)
class Order:
    """Detections in the order in which AP is accumulated: by class, then score descending.

    Equal scores follow in the order of the images' ids (COCO) or of the file (VOC), within an image of the file.
    """

    rows: NDArray[np.int64]  # (N,) positions in the table
    images: NDArray[np.int64]  # (N,) the image's rank among all of the ground truth's ids, ascending
    places: NDArray[np.int64]  # (N,) place among the detections of the same image and class, from 0
    bounds: NDArray[np.int64]  # (C + 1,) where each class begins and ends

    @classmethod
    def of(cls, detections: Detections, ground_truth: AnnotatedDataset, *, ties: Ties) -> Order:
        """The order of detections whose image ids and labels are the ground truth's."""
        codes, present = factorize(detections.image_ids)
        ranks = np.array([ground_truth.image_ranks[image_id] for image_id in present], dtype=np.int64)
        images, labels, scores = ranks[codes], detections.labels, detections.scores
        # np.lexsort is stable, so rows of equal keys stay in the order of the file
        within = np.lexsort((-scores, images, labels))
        changes = np.diff(labels[within], prepend=-1).astype(bool) | np.diff(images[within], prepend=-1).astype(bool)
        groups = np.flatnonzero(changes)
        places = np.empty(len(detections), dtype=np.int64)
        places[within] = np.arange(len(within)) - np.repeat(groups, np.diff(groups, append=len(within)))
        rows = np.lexsort((images, -scores, labels) if ties == "image" else (-scores, labels))
        bounds = np.searchsorted(labels[rows], np.arange(len(ground_truth.vocabulary) + 1))
        return cls(rows, images[rows], places[rows], bounds.astype(np.int64))

    def capped(self, cap: int) -> Order:
        """The same without detections past the cap of their image and class."""
        kept = self.places < cap
        before = np.concatenate([[0], np.cumsum(kept)])
        return Order(self.rows[kept], self.images[kept], self.places[kept], before[self.bounds])


@dataclass(frozen=True, eq=False)
class Matches:
    """The verdicts on N detections against M boxes, in A area ranges and at T IoU thresholds."""

    order: Order
    true_positive: NDArray[np.bool_]  # (A, T, N) found a box that counts
    ignored: NDArray[np.bool_]  # (A, T, N) counts neither way; what is neither of the two is a false positive
    truth_images: NDArray[np.int64]  # (M,) image ranks, boxes sorted by class
    truth_counted: NDArray[np.bool_]  # (A, M) whether a box counts in that area range
    truth_bounds: NDArray[np.int64]  # (C + 1,) where the boxes of each class begin and end
    image_count: int
    recall_thresholds: NDArray[np.float64]  # (R,) ascending from 0 to 1 in equal steps
    caps: Sequence[int]  # detections of an image and class that count for each recall; empty: all
    found_boxes: NDArray[np.int64] | None = None  # (N,) the box that each found at the lowest threshold, -1: none

    @property
    def class_count(self) -> int:
        """C."""
        return len(self.order.bounds) - 1


def truth_by_class(ground_truth: AnnotatedDataset) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The ground truth's boxes sorted by class: their positions (M,), their image ranks (M,), class bounds (C + 1,)."""
    positions = np.argsort(ground_truth.labels, kind="stable")
    ranks = np.array([ground_truth.image_ranks[i] for i in ground_truth.image_ids.tolist()], dtype=np.int64)
    bounds = np.searchsorted(ground_truth.labels[positions], np.arange(len(ground_truth.vocabulary) + 1))
    return positions, ranks[positions], bounds.astype(np.int64)


def candidate_pairs(
    detections: Detections, ground_truth: AnnotatedDataset, order: Order, *, any_class: bool = False
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Every detection (its place in the order) with every box (its position) of its image and class, in pieces.

    With `any_class`, with every box of its image.

    The detections ascend, and of one detection the boxes; a detection's pairs are all in one piece.
    """
    image_count = len(ground_truth.images)
    images = np.array([ground_truth.image_ranks[i] for i in ground_truth.image_ids.tolist()], dtype=np.int64)
    box_keys = images if any_class else ground_truth.labels * image_count + images
    by_key = np.argsort(box_keys, kind="stable")
    keys = order.images if any_class else detections.labels[order.rows] * image_count + order.images
    begins = np.searchsorted(box_keys[by_key], keys, side="left")
    counts = np.searchsorted(box_keys[by_key], keys, side="right") - begins
    rows = np.flatnonzero(counts)
    pieces = np.cumsum(counts[rows]) // _PAIRS_AT_ONCE
    for piece in np.split(rows, np.flatnonzero(np.diff(pieces)) + 1):
        if len(piece):
            yield np.repeat(piece, counts[piece]), by_key[ranges(begins[piece], counts[piece])]


def ranges(begins: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers begins[0], begins[0] + 1 ..., counts[0] of them, then those from begins[1], and so on.

    >>> ranges(np.array([5, 0]), np.array([3, 2])).tolist()
    [5, 6, 7, 0, 1]
    """
    offsets = np.cumsum(counts) - counts
    steps: NDArray[np.int64] = np.arange(counts.sum()) - np.repeat(offsets, counts) + np.repeat(begins, counts)
    return steps
