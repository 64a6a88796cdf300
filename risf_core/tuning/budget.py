"""What a budget of passes per photo costs in AP, by cross-validation, and the smallest that costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation import evaluate
from risf_core.rescore.budget import TILES
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.settings import PHOTO_TERMS
from risf_core.tuning.cross_validation import apply, folds_of_images, stream
from risf_core.tuning.fitting import fit_fusion, fit_terms
from risf_core.tuning.labels import LabelledRows

CROPS = (0, 1, 2, 4, 8, 16)  # per photo, beside the photo and its quarters
NEAR = 0.005  # AP from that of all passes


@dataclass(frozen=True)
class BudgetPoint:
    """A budget (None: all passes), the passes per photo that it comes to, and AP on photos that were not fitted to."""

    budget: int | None
    passes: float
    ap: float


def with_photo_line(fusion: FittedFusion, rows: LabelledRows) -> FittedFusion:
    """The fusion with a line of its own for rows of which only the photo is known, if the photo speaks for classes."""
    by_photo = fit_terms(rows, PHOTO_TERMS)
    if not fusion.terms or sum(term.weight for term in by_photo.terms) <= 0:
        return fusion
    return replace(fusion, photo=by_photo.fused, photo_terms=by_photo.terms)


def budget_curve(
    detections: Detections, rows: LabelledRows, ground_truth: AnnotatedDataset, *, seed: int
) -> tuple[BudgetPoint, ...]:
    """AP by passes per photo, each image scored by a fit to others; the last is of all passes."""
    fold_of_row = folds_of_images(len(ground_truth.images), seed)[1][rows.images]
    fusions = []
    for fold in np.unique(fold_of_row).tolist():
        others, generator = rows[fold_of_row != fold], stream(seed, "fits", fold + 1)
        fit = fit_fusion(others, evidence="text+photo", generator=generator)
        fusions.append(with_photo_line(fit.fusion, others))

    def scored(with_crop: NDArray[np.bool_]) -> NDArray[np.float64]:
        unknown = {name: np.where(with_crop, getattr(rows.evidence, name), np.nan) for name in _OF_CROPS}
        told = replace(rows, evidence=replace(rows.evidence, **unknown))
        scores: NDArray[np.float64] = rows.scores.copy()
        for fold, fusion in zip(np.unique(fold_of_row).tolist(), fusions, strict=True):
            scores[fold_of_row == fold] = apply(fusion, told[fold_of_row == fold])
        return scores

    asked = ~np.isnan(rows.evidence.probability)
    place = np.column_stack([rows.images, rows.boxes_xywh])
    _, crop = np.unique(place, axis=0, return_inverse=True)
    crop = crop.reshape(-1)
    p = scored(np.zeros(len(rows), dtype=bool))
    doubts = np.bincount(crop, weights=np.where(asked, p * (1 - p), 0))
    image_of = np.zeros(len(doubts), dtype=np.int64)
    image_of[crop] = rows.images
    crops = np.unique(crop[asked])
    order = crops[np.lexsort((-doubts[crops], image_of[crops]))]
    first = np.searchsorted(image_of[order], image_of[order])
    rank = np.full(len(doubts), -1)
    rank[order] = np.arange(len(order)) - first  # among the crops of its photo, the most doubtful first
    photos = len(np.unique(image_of[crops]))
    points = []
    for count in (*(count for count in CROPS if count <= rank.max()), None):
        kept = asked if count is None else asked & (rank[crop] < count)
        passes = TILES + len(np.unique(crop[kept])) / max(photos, 1)
        ap = float(evaluate(detections.with_scores(scored(kept)), ground_truth).overall["AP"])
        points.append(BudgetPoint(None if count is None else TILES + count, round(passes, 2), ap))
    return tuple(points)


def smallest_near_all(points: tuple[BudgetPoint, ...]) -> BudgetPoint:
    """The point of fewest passes within 0.5 AP of all passes."""
    return next(point for point in points if point.ap >= points[-1].ap - NEAR)


_OF_CROPS = ("probability", "background", "rank", "match", "support", "similarity")
