"""Re-scoring shared out by image among processes, and put together again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections, factorize
from risf_core.processes import Processes
from risf_core.rescore.pipeline import RescoreCounts, RescoreResult


def rows_of_share(detections: Detections, processes: Processes) -> NDArray[np.int64]:
    """Positions of the rows that this process re-scores: every N-th image of N processes, in order of appearance."""
    codes, _ = factorize(detections.image_ids)
    return np.flatnonzero(codes % processes.count == processes.rank)


def merge_shares(detections: Detections, shares: Sequence[tuple[NDArray[np.int64], RescoreResult]]) -> RescoreResult:
    """The result for the whole table from every process's rows and its result for them."""
    source = np.concatenate([rows[result.source] for rows, result in shares])
    added = np.concatenate([result.added for _, result in shares])
    image, _ = factorize(detections.image_ids)
    order = np.lexsort((np.where(added, image[source], source), added))  # the added rows photo by photo
    table = Detections.concatenate([result.detections for _, result in shares])[order]
    counts = _sum_of([result.counts for _, result in shares])
    return RescoreResult(table, counts, shares[0][1].prompts, source[order], added[order])


def _sum_of(counts: Sequence[RescoreCounts]) -> RescoreCounts:
    thresholds = counts[0].above_before
    totals = {
        column.name: sum(getattr(one, column.name) for one in counts)
        for column in fields(RescoreCounts)
        if not column.name.startswith("above_")
    }
    return RescoreCounts(
        **totals,
        above_before={t: sum(one.above_before[t] for one in counts) for t in thresholds},
        above_after={t: sum(one.above_after[t] for one in counts) for t in thresholds},
    )
