"""CM-CLIP over a table: which rows, their crops, the encoder's probabilities, the fused scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections, ImageId
from risf_core.encoder.protocol import CropEncoder
from risf_core.photos import Photo
from risf_core.progress import Progress
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.fusion import fuse
from risf_core.rescore.gathering import gather_evidence
from risf_core.rescore.prompts import Prompts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore
from risf_core.vocabulary import ClassVocabulary

THRESHOLDS = (0.05, 0.3, 0.5)  # scores at which detectors are commonly cut when deployed


@dataclass(frozen=True)
class RescoreCounts:
    """What happened to the rows of a table."""

    read: int
    rescored: int
    outside_score_range: int
    outside_classes: int  # of other classes, or of a category that the vocabulary does not know
    without_photo: int
    degenerate: int  # no area inside the photo
    unreadable: int  # of a photo that cannot be read
    unique_crops: int  # encoded: rows that share a box share a crop
    above_before: Mapping[str, int]  # threshold -> rows of the table over it
    above_after: Mapping[str, int]
    without_support: int = 0  # of a class without shots, where only shots speak
    by_score_alone: int = 0  # mapped by a fitted fusion without the encoder
    tiles: int = 0  # whole photos and quarters of them that were encoded
    added: int = 0  # rows of other classes, by relabelling
    over_budget: int = 0  # whose crop a budget left out, where nothing else is known of them

    @property
    def eligible(self) -> int:
        """Rows in the score range and of the classes."""
        left = self.without_photo + self.degenerate + self.unreadable + self.without_support + self.over_budget
        return self.rescored + left


@dataclass(frozen=True)
class RescoreResult:
    """The re-scored table, what happened to its rows, and what the encoder was asked."""

    detections: Detections
    counts: RescoreCounts
    prompts: Prompts
    source: NDArray[np.int64]  # (M,) the row of the input that each row is, or was added to
    added: NDArray[np.bool_]  # (M,)


def rescore(
    detections: Detections,
    *,
    vocabulary: ClassVocabulary,
    encoder: CropEncoder | None,
    photos: Mapping[ImageId, Photo],
    settings: RescoreSettings | None = None,
    prototypes: Prototypes | None = None,
    support_encoder: CropEncoder | None = None,
    fitted: FittedFusion | Calibration | None = None,
    progress: Progress | None = None,
) -> RescoreResult:
    """The same detections with new scores: CM-CLIP (RISF, CVIU 2024, section 3.3).

    q = softmax_c(temperature * cos(E_image(crop), E_text("a photo of {name_c}"))); s' = alpha s + (1 - alpha) q[label].
    Boxes, labels, order and all rows outside the range or the classes stay as they are. Rows of an image that has no
    entry in `photos`, or whose box has no area inside its photo, stay untouched and are counted.

    Args:
        encoder: None where `fitted` is a calibration, which asks nobody and needs no photos.
        prototypes: the shots, where `settings.evidence` asks for them.
        support_encoder: what the prototypes are of, where it is not `encoder`.
        fitted: a fusion that `risf tune` fitted, in place of the formula. It makes every score the probability that the
            detection is right, from the score alone where the encoder was not asked: all scores stay comparable.
    """
    settings = settings or RescoreSettings()
    if fitted is not None:
        settings.check_for_fit()
    # a fit that has, or that found, no use for the encoder
    needless = isinstance(fitted, Calibration) or (fitted is not None and not fitted.terms)
    if isinstance(fitted, FittedFusion):
        terms = fitted.terms if settings.budget is None else (*fitted.terms, *fitted.photo_terms)
        settings = settings.for_terms([term.name for term in terms])
    gathered = gather_evidence(
        detections,
        vocabulary=vocabulary,
        encoder=encoder,
        photos=photos,
        settings=settings,
        prototypes=prototypes,
        support_encoder=support_encoder,
        progress=progress,
        ask=not needless,
        so_far=lambda evidence: _fused(detections, evidence, vocabulary, settings, fitted),
    )
    evidence, table = gathered.evidence, gathered.detections
    added = evidence.added == 1
    chosen = np.flatnonzero(~np.isnan(evidence.combined(settings.evidence, settings.support_score)))
    # the detector says nothing for a class that was added to the one that it named
    unnamed = added & (detections.labels[gathered.source] >= 0) & (fitted is None)
    scores = _fused(table.with_scores(np.where(unnamed, 0.0, table.scores)), evidence, vocabulary, settings, fitted)
    # of an unknown category nothing is fitted
    changed = chosen if fitted is None else np.flatnonzero(table.labels >= 0)
    result = table.with_scores(scores)
    if settings.keep_parts:
        told = changed[~added[changed]]
        result = result.with_extras(told, {"score_detector": table.scores[told]})
        if settings.asks_crops:
            result = result.with_extras(chosen, {"clip_names": gathered.best_names[chosen]})
        shown = evidence.combined("support", settings.support_score)
        parts = {"score_clip": evidence.probability, "score_support": shown, "score_photo": evidence.combined("photo")}
        for name, voice in parts.items():
            known = np.flatnonzero(~np.isnan(voice))
            result = result.with_extras(known, {name: voice[known]})
    unreadable = sum(gathered.unreadable.values())
    eligible = 0 if needless else int((gathered.in_range & gathered.rescored_class).sum())
    # boxes without classes are replaced by what was added to them, or dropped
    silent = eligible - gathered.without_photo - gathered.degenerate - unreadable - len(chosen)
    silent = 0 if settings.class_agnostic else silent
    counts = RescoreCounts(
        read=len(detections),
        rescored=len(chosen) - int(added.sum()),
        outside_score_range=int((~gathered.in_range).sum()),
        outside_classes=int((gathered.in_range & ~gathered.rescored_class).sum()),
        without_photo=gathered.without_photo,
        degenerate=gathered.degenerate,
        unreadable=unreadable,
        unique_crops=gathered.unique_crops,
        above_before=rows_above(detections.scores),
        above_after=rows_above(scores),
        without_support=silent if settings.budget is None else 0,
        by_score_alone=len(changed) - len(chosen),
        tiles=gathered.tiles,
        added=int(added.sum()),
        over_budget=0 if settings.budget is None else silent,
    )
    return RescoreResult(result, counts, gathered.prompts, gathered.source, added)


def _fused(
    table: Detections,
    evidence: Evidence,
    vocabulary: ClassVocabulary,
    settings: RescoreSettings,
    fitted: FittedFusion | Calibration | None,
) -> NDArray[np.float64]:
    """The scores (N,) of a table by some evidence; rows that nothing is known or fitted of keep theirs."""
    if isinstance(fitted, Calibration):
        return fitted.apply(table.scores, table.labels, vocabulary.names)
    if fitted is not None:
        novel = np.isin(table.labels, vocabulary.labels("novel"))
        rescored = np.isin(table.labels, labels_to_rescore(vocabulary, settings))
        scores = fitted.apply(table.scores, evidence, table.boxes_xywh, novel=novel, rescored_class=rescored)
        return np.where(table.labels >= 0, scores, table.scores)
    probabilities = evidence.combined(settings.evidence, settings.support_score)
    chosen = np.flatnonzero(~np.isnan(probabilities))
    fused: NDArray[np.float64] = table.scores.copy()
    fused[chosen] = fuse(fused[chosen], probabilities[chosen], alpha=settings.alpha, rule=settings.fusion)
    return fused


def rows_above(scores: NDArray[np.float64]) -> dict[str, int]:
    """How many scores (N,) are over each of the common thresholds."""
    return {f"{threshold:g}": int((scores > threshold).sum()) for threshold in THRESHOLDS}
