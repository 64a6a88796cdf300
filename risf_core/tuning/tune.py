"""Tuning: from detections of labelled images to a fusion that keeps to the detector where the encoder is no help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, ImageId
from risf_core.encoder.protocol import CropEncoder
from risf_core.evaluation.compare import Interval
from risf_core.evaluation.thresholds import Threshold, Wish, choose_thresholds
from risf_core.photos import Photo
from risf_core.progress import PhaseProgress
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.gathering import GatheredEvidence, gather_evidence
from risf_core.rescore.prompts import Texts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings
from risf_core.tuning.budget import BudgetPoint, budget_curve, with_photo_line
from risf_core.tuning.cross_validation import ALPHAS, CrossValidation, Method, cross_validate, held_out_scores, stream
from risf_core.tuning.fitting import Admission, fit_fusion, fit_terms
from risf_core.tuning.labels import LabelledRows, image_positions, judge, refuse_too_little
from risf_core.tuning.relabelling import scores_to_judge
from risf_core.tuning.texts import Remembering, TextChoices, try_texts

HARDLY = 0.01  # AP that is next to nothing
ENOUGH_IMAGES = 10  # for a narrow interval to mean something: of fewer, most resamples are alike


@dataclass(frozen=True)
class Tuned:
    """A fitted fusion, how its terms came in, and what it does to photos it was not fitted to."""

    fusion: FittedFusion
    admissions: tuple[Admission, ...]
    cross_validation: CrossValidation
    verdict: str
    labels: Mapping[str, int | bool]  # what there was to learn from
    thresholds: Mapping[str, Threshold] | None = None  # by class name, where they were wished for
    texts: Texts | None = None  # that the labels chose in the place of the settings' own
    budgets: tuple[BudgetPoint, ...] = ()  # AP by passes per photo, where crops and photos are evidence

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """Coefficients, admissions, table and verdict as plain JSON values."""
        return {
            "verdict": self.verdict,
            "fusion": asdict(self.fusion),
            "texts": None if self.texts is None else asdict(self.texts),
            "admissions": [asdict(admission) for admission in self.admissions],
            "labels": dict(self.labels),
            "cross_validation": self.cross_validation.to_json(),
            "budgets": [asdict(point) for point in self.budgets],
        }


def tune(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    encoder: CropEncoder,
    photos: Mapping[ImageId, Photo],
    settings: RescoreSettings,
    prototypes: Prototypes | None = None,
    support_encoder: CropEncoder | None = None,
    texts: TextChoices | None = None,
    sparse: bool = False,
    seed: int = 0,
    resamples: int = 1000,
    wish: Wish | None = None,
    progress: PhaseProgress | None = None,
) -> Tuned:
    """The fusion of a detector's scores with an encoder's evidence, fitted to labelled images.

    Args:
        detections: their image ids and labels are the ground truth's; rows of other images are left out.
        ground_truth: its vocabulary is that of the settings; all its images count as labelled.
        photos: of the labelled images.
        support_encoder: what the prototypes are of, where it is not `encoder`.
        texts: that are tried beside those of the settings.
        sparse: only some objects of the images are labelled, as in K-shot splits.
        resamples: of the images, for the intervals; 0: none.
        wish: what a threshold of each class is to reach; None: no thresholds.

    Raises DataError where there is too little to learn from.
    """
    known = np.array([image_id in ground_truth.images_by_id for image_id in detections.image_ids.tolist()], dtype=bool)
    table = detections[known & (detections.labels >= 0)]
    if texts is not None:
        encoder = Remembering(encoder)
    gathered = gather_evidence(
        table,
        vocabulary=ground_truth.vocabulary,
        encoder=encoder,
        photos=photos,
        settings=settings,
        prototypes=prototypes,
        support_encoder=support_encoder,
        progress=None if progress is None else lambda done, total: progress("encoding", "crops", done, total),
    )
    rows = labelled_rows(gathered.detections, ground_truth, gathered, settings=settings, sparse=sparse)
    if texts is not None:
        trial = try_texts(
            table,
            rows.right,
            rows.images,
            texts,
            evidence=rows.evidence,
            vocabulary=ground_truth.vocabulary,
            encoder=encoder,
            photos=photos,
            settings=settings,
        )
        rows = replace(rows, texts=trial)
    return fit_labelled(
        gathered.detections,
        rows,
        ground_truth,
        settings=settings,
        seed=seed,
        resamples=resamples,
        wish=wish,
        progress=progress,
    )


def labelled_rows(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    gathered: GatheredEvidence,
    *,
    settings: RescoreSettings,
    sparse: bool = False,
) -> LabelledRows:
    """The detections of labelled images with all that a fit needs to know of them."""
    right, judged = judge(scores_to_judge(detections, gathered.evidence.added == 1), ground_truth, sparse=sparse)
    return LabelledRows(
        scores=detections.scores,
        evidence=gathered.evidence,
        boxes_xywh=detections.boxes_xywh,
        novel=np.isin(detections.labels, ground_truth.vocabulary.labels("novel")),
        rescored_class=gathered.rescored_class,
        images=image_positions(detections, ground_truth),
        right=right,
        judged=judged,
        score_range=(settings.min_score, settings.max_score),
        sparse=sparse,
    )


def fit_labelled(
    detections: Detections,
    rows: LabelledRows,
    ground_truth: AnnotatedDataset,
    *,
    settings: RescoreSettings,
    seed: int = 0,
    resamples: int = 1000,
    wish: Wish | None = None,
    alphas: Sequence[float] = ALPHAS,
    progress: PhaseProgress | None = None,
) -> Tuned:
    """The fusion for rows whose evidence is known; the arguments are those of `tune`."""
    known = ~np.isnan(rows.evidence.combined(settings.evidence)) & ~rows.added
    refuse_too_little(rows.right, rows.judged & known, rows.images, sparse=rows.sparse)
    validated = partial(
        cross_validate,
        ground_truth=ground_truth,
        evidence=settings.evidence,
        seed=seed,
        resamples=resamples,
        progress=None if progress is None else lambda done, total: progress("cross-validation", "folds", done, total),
    )
    own = ~rows.added
    validation = validated(detections[own], rows[own], alphas=alphas)
    if not own.all():
        name = f"fitted, {settings.relabel} other classes"
        validation, helps = validation.beside(validated(detections, rows, alphas=(1.0,)), name)
        if not helps:
            detections, rows, known = detections[own], rows[own], known[own]
    fit = fit_fusion(rows, evidence=settings.evidence, generator=stream(seed, "fits"))
    # held-out AP has the last word: a fusion that lowers it is not used, however much better its log-loss
    fusion = fit_terms(rows, ()) if validation.speaks_against else fit.fusion
    texts = fit.texts if fusion.terms else None
    thresholds = None
    if wish is not None:
        terms = [term.name for term in fusion.terms]
        held_out = held_out_scores(rows.saying(texts), terms, images=len(ground_truth.images), seed=seed)
        generator = stream(seed, "thresholds")
        thresholds = choose_thresholds(detections.with_scores(held_out), ground_truth, wish, generator=generator)
    labels = {
        "images": len(ground_truth.images),
        "boxes": int(ground_truth.boxes_per_class().sum()),
        "rows": len(rows),
        "rows_judged": int(rows.judged.sum()),
        "rows_judged_with_evidence": int((rows.judged & known).sum()),
        "rows_right": int((rows.judged & known & (rows.right > 0)).sum()),
        "sparse": rows.sparse,
    }
    verdict = verdict_of(fusion, validation, images=len(np.unique(rows.images)))
    budgets: tuple[BudgetPoint, ...] = ()
    if settings.evidence == "text+photo" and fusion.terms and not rows.added.any() and not rows.sparse:
        fusion = with_photo_line(fusion, rows.saying(texts))
        budgets = budget_curve(detections, rows.saying(texts), ground_truth, seed=seed)
    return Tuned(fusion, fit.admissions, validation, verdict, labels, thresholds, texts, budgets)


def verdict_of(fusion: FittedFusion, validation: CrossValidation, *, images: int) -> str:
    """In one line: whether re-scoring helps this detector, as far as this many labelled images tell."""
    *_, fitted = validation.methods
    gain, reach = fitted.differences.get("AP", 0.0), fitted.intervals.get("AP")
    paper = _of_the_formula(validation.methods[1])
    if not fusion.terms and images < ENOUGH_IMAGES:
        return f"so few photos do not show that re-scoring helps this detector: its scores are kept; {paper}"
    if not fusion.terms:
        return f"re-scoring does not help this detector: keep its scores (the fusion only calibrates them); {paper}"
    found = f"{points(gain)} AP{_within(reach)} on photos it was not fitted to"
    if reach is None:
        return f"re-scoring changes this detector: {found}, whether that is chance, `bootstrap=1000` tells; {paper}"
    if reach[0] > 0:
        return f"re-scoring helps this detector: {found}; {paper}"
    if reach[1] < 0:
        return f"re-scoring harms this detector: {found}; keep its scores"
    if max(-reach[0], reach[1]) <= HARDLY and images >= ENOUGH_IMAGES:
        return f"re-scoring hardly matters to this detector: {found}; {paper}"
    return f"so few photos do not tell whether re-scoring helps this detector: {found}, which may be chance; {paper}"


def points(change: float) -> str:
    """A difference of AP in points, with its sign.

    >>> points(0.0652), points(-0.0001)
    ('+6.5', '+0.0')
    """
    text = f"{100 * change:+.1f}"
    return "+0.0" if text == "-0.0" else text


def _of_the_formula(paper: Method) -> str:
    gain, reach = paper.differences.get("AP", 0.0), paper.intervals.get("AP")
    if reach is not None and reach[0] > 0:
        return f"the paper's formula helps: {points(gain)} AP{_within(reach)}"
    return f"the paper's formula would do {points(gain)} AP"


def _within(reach: Interval | None) -> str:
    return "" if reach is None else f" (95 % {points(reach[0])} to {points(reach[1])})"
