"""What each way of fusing does to photos that it was not fitted to, by cross-validation over the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvidenceKind
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation import UNDEFINED, bootstrap, evaluate, match
from risf_core.evaluation.coco import COCO_MAX_DETECTIONS
from risf_core.evaluation.compare import Interval
from risf_core.progress import Progress
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.fusion import fuse
from risf_core.rescore.settings import RescoreSettings
from risf_core.tuning.fitting import fit_fusion, fit_terms
from risf_core.tuning.labels import LabelledRows

FOLDS = 5  # of the outer cross-validation
PAPER_ALPHA = RescoreSettings.alpha
ALPHAS = tuple(round(step / 10, 1) for step in range(11))  # 1 is the detector as it is
ALPHA_IMAGES = 500  # that the best alpha is chosen by at most: eleven evaluations a fold
FIGURES = ("AP", "AP50", "nAP")

Scores = NDArray[np.float64]  # (N,)
Purpose = Literal["folds", "fits", "resamples", "thresholds"]


@dataclass(frozen=True)
class Method:
    """A way of fusing, on photos that it was not fitted to."""

    name: str
    figures: Mapping[str, float]  # AP, AP50 and, with novel classes, nAP, in 0..1
    differences: Mapping[str, float]  # to the detector as it is
    intervals: Mapping[str, Interval | None]  # 95 %, of the differences


@dataclass(frozen=True)
class CrossValidation:
    """The ways of fusing side by side; the first is the detector as it is, the last the fitted fusion."""

    folds: int
    methods: tuple[Method, ...]
    alphas: tuple[float, ...]  # the best single alpha of each fold
    fold_gains: tuple[float, ...]  # AP of the fitted fusion less the detector's, on the images of each fold alone

    @property
    def speaks_against(self) -> bool:
        """Whether the fitted fusion lowers AP in the folds, by Student's t at 95 %, and on all photos together too.

        Each fold is measured by itself: scores of one fit need not be comparable with those of another. But a fold of
        two photos has hardly a rival for a right detection, so it sees what a fit spoils and little of what it mends.
        """
        from scipy.special import stdtrit  # the quantiles of Student's t

        gains = np.array(self.fold_gains)
        if len(gains) < 2 or self.methods[-1].differences.get("AP", 0.0) >= 0:
            return False
        error = float(gains.std(ddof=1) / np.sqrt(len(gains)))
        return bool(gains.mean() + stdtrit(len(gains) - 1, 0.975) * error < 0)

    def beside(self, relabelled: CrossValidation, name: str) -> tuple[CrossValidation, bool]:
        """With the fit that has rows of other classes, by its name; and whether it is the better one, then the last.

        It is if AP rises on all photos together, and by more than a standard error in the mean of the folds.
        """
        *_, plain = self.methods
        other = replace(relabelled.methods[-1], name=name)
        gains = np.array(relabelled.fold_gains) - np.array(self.fold_gains)
        error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else np.inf
        helps = other.figures.get("AP", 0.0) > plain.figures.get("AP", 0.0) and bool(gains.mean() > error)
        if not helps:
            return replace(self, methods=(*self.methods[:-1], other, plain)), False
        return replace(self, methods=(*self.methods, other), fold_gains=relabelled.fold_gains), True

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """The table as plain JSON values."""
        return {
            "folds": self.folds,
            "alphas": list(self.alphas),
            "fold_gains": list(self.fold_gains),
            "methods": [
                {
                    "name": method.name,
                    "metrics": dict(method.figures),
                    "difference": dict(method.differences),
                    "difference_intervals": dict(method.intervals),
                }
                for method in self.methods
            ],
        }


def cross_validate(
    detections: Detections,
    rows: LabelledRows,
    ground_truth: AnnotatedDataset,
    *,
    evidence: EvidenceKind,
    seed: int,
    resamples: int,
    alphas: Sequence[float] = ALPHAS,
    progress: Progress | None = None,
) -> CrossValidation:
    """Every image scored by what was fitted to the images of other folds, all folds evaluated together.

    The detector and the paper's formula need no fit. The best alpha and the fitted fusion, with its choice of terms,
    are made anew for each fold. With sparse labels only rows that can be judged are evaluated.

    Args:
        alphas: those that the best single one is chosen from; trying them is most of the work.
    """
    order, fold_of_image = folds_of_images(len(ground_truth.images), seed)
    folds = int(fold_of_image.max()) + 1
    fold_of_row = fold_of_image[rows.images]
    own_scores = np.where(rows.added, np.nan, rows.scores)  # the detector's
    best, fitted = own_scores.copy(), own_scores.copy()
    best_alphas, fold_gains = [], []
    for fold in range(folds):
        train, test = fold_of_row != fold, fold_of_row == fold
        chosen = order[fold_of_image[order] != fold][:ALPHA_IMAGES]
        tried, others = np.isin(rows.images, chosen), images_of(ground_truth, np.sort(chosen))
        best_alphas.append(_best_alpha(detections[tried], rows[tried], others, evidence, alphas))
        best[test] = formula(rows[test], best_alphas[-1], evidence)
        fit = fit_fusion(rows[train], evidence=evidence, generator=stream(seed, "fits", fold + 1))
        fitted[test] = apply(fit.fusion, rows[test].saying(fit.texts))
        if all(term.name != "added" for term in fit.fusion.terms):
            fitted[test & rows.added] = np.nan
        own = images_of(ground_truth, np.flatnonzero(fold_of_image == fold))
        before, after = (_ap(detections[test], rows[test], scores[test], own) for scores in (own_scores, fitted))
        fold_gains.append(after - before)
        if progress is not None:
            progress(fold + 1, folds)
    tables = {
        "detector": own_scores,
        f"paper, alpha {PAPER_ALPHA:g}": formula(rows, PAPER_ALPHA, evidence),
        "best single alpha": best,
        "fitted fusion": fitted,
    }
    methods = _compare(detections, rows, ground_truth, tables, resamples=resamples, seed=seed)
    return CrossValidation(folds, methods, tuple(best_alphas), tuple(fold_gains))


def folds_of_images(count: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """An order of the images (count,), and the fold of each (count,): dealt out in turn by that order."""
    order = stream(seed, "folds").permutation(count)
    fold_of_image = np.empty(count, dtype=np.int64)
    fold_of_image[order] = np.arange(count) % min(FOLDS, count)
    return order, fold_of_image


def held_out_scores(rows: LabelledRows, terms: Sequence[str], *, images: int, seed: int) -> Scores:
    """The scores of rows of N images by fusions of these terms, each image by one that was not fitted to it."""
    fold_of_row = folds_of_images(images, seed)[1][rows.images]
    scores: Scores = rows.scores.copy()
    for fold in np.unique(fold_of_row).tolist():
        test = fold_of_row == fold
        scores[test] = apply(fit_terms(rows[~test], terms), rows[test])
    return scores


def stream(seed: int, what: Purpose, number: int = 0) -> np.random.Generator:
    """Random numbers for one purpose, independent of those for another."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(get_args(Purpose).index(what), number)))


def formula(rows: LabelledRows, alpha: float, evidence: EvidenceKind) -> Scores:
    """The scores by the paper's formula; rows of which the encoder says nothing stay as they are."""
    probability = rows.evidence.combined(evidence)
    asked = ~np.isnan(probability)
    scores: Scores = np.where(rows.added, np.nan, rows.scores)
    scores[asked] = fuse(scores[asked], probability[asked], alpha=alpha)
    return scores


def apply(fusion: FittedFusion, rows: LabelledRows) -> Scores:
    """The scores by a fitted fusion."""
    return fusion.apply(
        rows.scores, rows.evidence, rows.boxes_xywh, novel=rows.novel, rescored_class=rows.rescored_class
    )


def images_of(ground_truth: AnnotatedDataset, positions: NDArray[np.int64]) -> AnnotatedDataset:
    """The ground truth of some of the images."""
    return ground_truth.without_images(np.setdiff1d(np.arange(len(ground_truth.images)), positions))


def _best_alpha(
    detections: Detections,
    rows: LabelledRows,
    ground_truth: AnnotatedDataset,
    evidence: EvidenceKind,
    alphas: Sequence[float],
) -> float:
    """The alpha of highest AP; of equals the largest, which changes least."""
    if len(alphas) == 1:
        return alphas[0]
    values = {alpha: _ap(detections, rows, formula(rows, alpha, evidence), ground_truth) for alpha in alphas}
    return max(alphas, key=lambda alpha: (values[alpha], alpha))


def _ap(detections: Detections, rows: LabelledRows, scores: Scores, ground_truth: AnnotatedDataset) -> float:
    table = _judgeable(detections, rows, scores)
    if not (ground_truth.boxes_per_class() > 0).any() or not len(table):
        return 0.0
    return float(evaluate(table, ground_truth).overall["AP"])


def _judgeable(detections: Detections, rows: LabelledRows, scores: Scores) -> Detections:
    """The table to evaluate: rows with a score; with sparse labels what is not judged would count as wrong."""
    table = detections.with_scores(scores)
    kept = ~np.isnan(scores) & (rows.judged | ~np.array(rows.sparse))
    return table if kept.all() else table[kept]


def _compare(
    detections: Detections,
    rows: LabelledRows,
    ground_truth: AnnotatedDataset,
    tables: Mapping[str, Scores],
    *,
    resamples: int,
    seed: int,
) -> tuple[Method, ...]:
    judged = [_judgeable(detections, rows, scores) for scores in tables.values()]
    figures = [_figures(table, ground_truth) for table in judged]
    intervals: Sequence[Mapping[str, Interval | None]] = [{} for _ in judged]
    if resamples and len(detections):
        matches = [match(table, ground_truth, max_detections=COCO_MAX_DETECTIONS) for table in judged]
        drawn = bootstrap(matches, ground_truth.vocabulary, resamples=resamples, generator=stream(seed, "resamples"))
        intervals = [own.difference.figures if own.difference is not None else {} for own in drawn]
    return tuple(
        Method(
            name,
            own,
            {figure: own[figure] - figures[0][figure] for figure in own},
            {figure: reach.get(figure) for figure in own} if number else {},
        )
        for number, (name, own, reach) in enumerate(zip(tables, figures, intervals, strict=True))
    )


def _figures(table: Detections, ground_truth: AnnotatedDataset) -> dict[str, float]:
    flat = evaluate(table, ground_truth, max_detections=COCO_MAX_DETECTIONS).flat()
    return {name: flat[name] for name in FIGURES if flat.get(name, UNDEFINED) != UNDEFINED}
