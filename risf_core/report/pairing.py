"""Which row of one detections file is which of another: the same image, class and box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections, factorize


@dataclass(frozen=True, eq=False)
class RowPairs:
    """Positions of rows that are in both tables, and of those in one alone."""

    before: NDArray[np.int64]  # (P,) ascending
    after: NDArray[np.int64]  # (P,) the same detections in the other table
    only_before: NDArray[np.int64]
    only_after: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.before)


def pair_rows(before: Detections, after: Detections) -> RowPairs:
    """The rows of equal image, label and box, in whatever order; of repeated ones the first with the first.

    Scores may differ, boxes must be the same to the last digit: re-scoring keeps them.
    """
    keys = _keys(before, after)  # (N + M,)
    order = np.argsort(keys, kind="stable")  # rows of `before` come first among equals
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(keys)))
    is_after = order >= len(before)
    befores_before: NDArray[np.int64] = np.cumsum(~is_after) - ~is_after  # how many rows of `before` come first
    afters_before: NDArray[np.int64] = np.cumsum(is_after) - is_after
    place = np.where(
        is_after, afters_before - afters_before[starts][group], befores_before - befores_before[starts][group]
    )
    # a row's partner has its key and its place among the rows of that key in the other table
    codes = group * (len(keys) + 1) + place
    own, other = codes[~is_after], codes[is_after]
    _, of_before, of_after = np.intersect1d(own, other, assume_unique=True, return_indices=True)
    rows_before, rows_after = order[~is_after][of_before], order[is_after][of_after] - len(before)
    by_position = np.argsort(rows_before, kind="stable")
    return RowPairs(
        before=rows_before[by_position],
        after=rows_after[by_position],
        only_before=np.setdiff1d(np.arange(len(before)), rows_before),
        only_after=np.setdiff1d(np.arange(len(after)), rows_after),
    )


def _keys(before: Detections, after: Detections) -> NDArray[np.int64]:
    """A number for each row of both tables, the same for rows of equal image, label and box."""
    both = Detections.concatenate([before, after])
    codes, _ = factorize(both.image_ids)
    columns = [codes, both.labels, *both.boxes_xywh.T]
    keys = np.zeros(len(both), dtype=np.int64)
    for column in columns:  # one column after the other: far faster than np.unique over rows
        _, values = np.unique(column, return_inverse=True)
        _, keys = np.unique(keys * (values.max(initial=0) + 1) + values.reshape(-1), return_inverse=True)
        keys = keys.reshape(-1)
    return keys.astype(np.int64)
