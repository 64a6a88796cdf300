"""Relabelling: rows of their own for classes that an encoder finds in a box where the detector named others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import overlaps
from risf_core.detections import Detections
from risf_core.rescore.crop_jobs import CropJob, CropPlan

ADDED_BY = "clip"  # what an added row's `added_by` says
SAME_OBJECT = 0.5  # intersection over union from which two rows of a class are about one object


def with_room(detections: Detections, plan: CropPlan, count: int) -> tuple[Detections, CropPlan, NDArray[np.int64]]:
    """The table with `count` more rows for each crop behind it, the plan that asks for them, and where each came from.

    An added row has box and score of the surest row of its crop, and no class (label -1) until one is chosen.
    """
    jobs, sources = [], [np.arange(len(detections))]
    end = len(detections)
    for job in plan.jobs:
        crops = len(job.crops.boxes)
        order = np.argsort(-detections.scores[job.rows], kind="stable")
        _, first = np.unique(job.crop_of_row[order], return_index=True)
        sources.append(np.repeat(job.rows[order[first]], count))
        added = np.arange(end, end + count * crops)
        end += len(added)
        of_crop = np.repeat(np.arange(crops), count)
        rows = np.concatenate([job.rows, added])
        jobs.append(replace(job, rows=rows, crop_of_row=np.concatenate([job.crop_of_row, of_crop])))
    source = np.concatenate(sources)
    extras = np.full(end - len(detections), None, dtype=object)
    extras[:] = [{"added_by": ADDED_BY} for _ in extras]
    added_rows = replace(
        detections[source[len(detections) :]], labels=np.full(len(extras), -1, dtype=np.int64), extras=extras
    )
    return Detections.concatenate([detections, added_rows]), replace(plan, jobs=jobs), source


def choose_labels(
    job: CropJob, labels: NDArray[np.int64], voice: NDArray[np.float64], classes: NDArray[np.int64], *, known: int
) -> None:
    """Fill in the labels of a photo's added rows: the best classes of each crop, an object under one name once.

    Args:
        labels: (N,) of the whole table, changed in place; the added rows are those from `known` on.
        voice: (n, C) how probable each of `classes` (C,) is for each crop; NaN of the unknown.
    """
    added = job.rows >= known
    of_crop, boxes = job.crop_of_row[~added], job.crops.boxes
    own = labels[job.rows[~added]]
    rows_of_crop = job.rows[added].reshape(len(boxes), -1)
    free = np.where(np.isnan(voice), -np.inf, voice)
    near = overlaps(boxes, boxes) >= SAME_OBJECT
    taken = np.zeros(free.shape, dtype=bool)
    for crop, label in zip(of_crop.tolist(), own.tolist(), strict=True):
        if label >= 0:
            taken |= near[crop][:, None] & (classes == label)[None, :]
    left = np.full(len(boxes), rows_of_crop.shape[1])
    place = np.zeros(len(boxes), dtype=np.int64)
    # the candidates of each crop are its K best classes that no row names there; the surest of all go first
    free[taken] = -np.inf
    best = np.argsort(-free, axis=1, kind="stable")[:, : rows_of_crop.shape[1]]
    sure = np.take_along_axis(free, best, axis=1)
    for crop, rank in np.argwhere(np.isfinite(sure))[np.argsort(-sure[np.isfinite(sure)], kind="stable")].tolist():
        column = best[crop, rank]
        if left[crop] and not taken[crop, column]:
            labels[rows_of_crop[crop, place[crop]]] = classes[column]
            place[crop] += 1
            left[crop] -= 1
            taken[near[crop], column] = True
