"""A budget of an encoder's passes per photo: which crops are asked about, where not all can be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from risf_core.rescore.crop_jobs import CropJob, CropPlan
from risf_core.rescore.settings import RescoreSettings

TILES = 5  # the photo and its quarters


def tiles_and_crops(settings: RescoreSettings) -> tuple[int, int | None]:
    """How many passes per photo are for the photo (five: its quarters, too), and how many for crops; None: all."""
    if settings.budget is None:
        return (TILES if settings.asks_photos else 0), None
    tiles = 0 if not settings.asks_photos else TILES if settings.budget >= TILES else 1
    return tiles, settings.budget - tiles


def doubts(job: CropJob, scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much each crop (n,) may change: the sum of p (1 - p) over its rows, p (N,) their scores so far."""
    p = np.clip(scores[job.rows], 0, 1)
    return np.bincount(job.crop_of_row, p * (1 - p), len(job.crops.boxes)).astype(np.float64)


def within_budget(plan: CropPlan, scores: NDArray[np.float64], crops: int) -> CropPlan:
    """The plan with the most doubtful crops of each photo, N of them at most, and the rows of these."""
    jobs = []
    for job in plan.jobs if crops > 0 else ():
        kept = np.sort(np.argsort(-doubts(job, scores), kind="stable")[:crops])
        place = np.full(len(job.crops.boxes), -1)
        place[kept] = np.arange(len(kept))
        left = job.of_rows(place[job.crop_of_row] >= 0)
        boxes = replace(job.crops, boxes=job.crops.boxes[kept])
        jobs.append(replace(left, crop_of_row=place[left.crop_of_row], crops=boxes))
    return replace(plan, jobs=jobs)
