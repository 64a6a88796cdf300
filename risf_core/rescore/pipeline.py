"""CM-CLIP over a table: which rows, their crops, the encoder's probabilities, the fused scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import DEFAULT_TEMPERATURE
from risf_core.detections import Detections, ImageId
from risf_core.encoder.protocol import CropEncoder
from risf_core.errors import ConfigError, EncoderError
from risf_core.files import sha256_of
from risf_core.photos import Photo
from risf_core.progress import Progress
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.crop_jobs import CropJob, embedded_crops, plan_crops
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.fusion import class_probabilities, fuse
from risf_core.rescore.prompts import Prompts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore, prompts_of
from risf_core.vocabulary import ClassVocabulary

THRESHOLDS = (0.05, 0.3, 0.5)  # scores at which detectors are commonly cut when deployed
BEST_NAMES = 3  # that a re-scored row keeps, with probabilities of this many digits:
_DIGITS = 4


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

    @property
    def eligible(self) -> int:
        """Rows in the score range and of the classes."""
        return self.rescored + self.without_photo + self.degenerate + self.unreadable + self.without_support


@dataclass(frozen=True)
class RescoreResult:
    """The re-scored table, what happened to its rows, and what the encoder was asked."""

    detections: Detections
    counts: RescoreCounts
    prompts: Prompts


@dataclass(frozen=True, eq=False)
class GatheredEvidence:
    """What the encoder says of a table's rows, and why of others it says nothing."""

    evidence: Evidence
    prompts: Prompts
    in_range: NDArray[np.bool_]  # (N,) by score
    rescored_class: NDArray[np.bool_]  # (N,) that are re-scored
    without_photo: int
    degenerate: int
    unreadable: Mapping[str, int]  # why a photo cannot be read -> its rows
    unique_crops: int
    tiles: int  # whole photos and quarters
    best_names: NDArray[np.object_]  # (N,) lists of [name, probability], best first; None where parts are not kept


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
        settings = settings.for_terms([term.name for term in fitted.terms])
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
    )
    evidence = gathered.evidence
    probabilities = evidence.combined(settings.evidence, settings.support_score)
    chosen = np.flatnonzero(~np.isnan(probabilities))
    changed = chosen
    if isinstance(fitted, Calibration):
        changed = np.flatnonzero(detections.labels >= 0)
        scores = fitted.apply(detections.scores, detections.labels, vocabulary.names)
    elif fitted is not None:
        novel = np.isin(detections.labels, vocabulary.labels("novel"))
        scores = fitted.apply(
            detections.scores, evidence, detections.boxes_xywh, novel=novel, rescored_class=gathered.rescored_class
        )
        changed = np.flatnonzero(detections.labels >= 0)  # of an unknown category nothing was fitted
        scores = np.where(detections.labels >= 0, scores, detections.scores)
    else:
        scores = detections.scores.copy()
        scores[chosen] = fuse(scores[chosen], probabilities[chosen], alpha=settings.alpha, rule=settings.fusion)
    result = detections.with_scores(scores)
    if settings.keep_parts:
        result = result.with_extras(changed, {"score_detector": detections.scores[changed]})
        if settings.asks_crops:
            result = result.with_extras(chosen, {"clip_names": gathered.best_names[chosen]})
        shown = evidence.combined("support", settings.support_score)
        parts = {"score_clip": evidence.probability, "score_support": shown, "score_photo": evidence.combined("photo")}
        for name, voice in parts.items():
            known = np.flatnonzero(~np.isnan(voice))
            result = result.with_extras(known, {name: voice[known]})
    unreadable = sum(gathered.unreadable.values())
    eligible = 0 if needless else int((gathered.in_range & gathered.rescored_class).sum())
    counts = RescoreCounts(
        read=len(detections),
        rescored=len(chosen),
        outside_score_range=int((~gathered.in_range).sum()),
        outside_classes=int((gathered.in_range & ~gathered.rescored_class).sum()),
        without_photo=gathered.without_photo,
        degenerate=gathered.degenerate,
        unreadable=unreadable,
        unique_crops=gathered.unique_crops,
        above_before=_above(detections.scores),
        above_after=_above(scores),
        without_support=eligible - gathered.without_photo - gathered.degenerate - unreadable - len(chosen),
        by_score_alone=len(changed) - len(chosen),
        tiles=gathered.tiles,
    )
    return RescoreResult(result, counts, gathered.prompts)


def gather_evidence(
    detections: Detections,
    *,
    vocabulary: ClassVocabulary,
    encoder: CropEncoder | None,
    photos: Mapping[ImageId, Photo],
    settings: RescoreSettings,
    prototypes: Prototypes | None = None,
    support_encoder: CropEncoder | None = None,
    progress: Progress | None = None,
    ask: bool = True,
) -> GatheredEvidence:
    """What the encoder says of each row that the settings have re-scored; the arguments are those of `rescore`.

    Without `ask` the encoder is left in peace and nothing is known of any row.
    """
    if settings.asks_shots and prototypes is None:
        raise ConfigError(f"`evidence={settings.evidence}` needs shots: pass `support` or annotations")
    rescored_labels = labels_to_rescore(vocabulary, settings)
    prompts, columns = prompts_of(vocabulary, settings)
    in_range = (detections.scores > settings.min_score) & (detections.scores <= settings.max_score)  # (N,)
    rescored_class = np.isin(detections.labels, rescored_labels)  # (N,)
    eligible = np.flatnonzero(in_range & rescored_class) if ask else np.empty(0, dtype=np.int64)
    plan = plan_crops(detections, eligible, photos, keep_unreadable=settings.on_unreadable == "keep")
    evidence = Evidence.unknown(len(detections))
    temperature = DEFAULT_TEMPERATURE if settings.temperature is None else settings.temperature
    best_names = np.empty(len(detections), dtype=object)
    crops = tiles = 0
    if plan.jobs:
        assert encoder is not None
        text = text_embeddings(encoder, prompts) if settings.asks_names else None  # (C, D)
        shots = prototypes if settings.asks_shots else None
        compared = vocabulary.labels() if settings.softmax_over == "all" else rescored_labels
        passes: list[tuple[CropEncoder, NDArray[np.float32] | None, Prototypes | None]] = [(encoder, text, shots)]
        if shots is not None and support_encoder is not None:
            passes = [(encoder, text, None)] if text is not None else []
            passes.append((support_encoder, None, shots))
        if not settings.asks_crops:
            passes = []
        photos_plan = plan.of_photos() if settings.asks_photos else replace(plan, jobs=[])
        total = photos_plan.crop_count + len(passes) * plan.crop_count
        for job, embeddings in embedded_crops(photos_plan, encoder, progress, done=0, total=total):
            assert text is not None
            tiles += len(embeddings)
            of_tiles = class_probabilities(embeddings, text, temperature)
            evidence.fill_photo(job.rows, of_tiles, columns[detections.labels[job.rows]])
        for number, (asked, text, shots) in enumerate(passes):
            crops, done = 0, photos_plan.crop_count + number * plan.crop_count
            for job, embeddings in embedded_crops(plan, asked, progress, done=done, total=total):
                crops += len(embeddings)
                labels = detections.labels[job.rows]
                if text is not None:
                    voice, said = class_probabilities(embeddings, text, temperature), prompts.spoken
                    evidence.fill_names(job.rows, voice[job.crop_of_row], columns[labels], len(prompts.names))
                    if settings.sigmoid is not None:
                        scale, bias = settings.sigmoid
                        cosines = (embeddings[job.crop_of_row].astype(np.float64) * text[columns[labels]]).sum(axis=1)
                        evidence.match[job.rows] = scale * cosines + bias
                if shots is not None:
                    by_support = _fill_support(evidence, job, labels, embeddings, shots, compared, settings)
                    if settings.evidence == "support":
                        voice, said = by_support, vocabulary.names
                if settings.keep_parts and (text is not None or settings.evidence == "support"):
                    best = _best_names(voice, said)
                    for row, crop in zip(job.rows.tolist(), job.crop_of_row.tolist(), strict=True):
                        best_names[row] = best[crop]
    return GatheredEvidence(
        evidence,
        prompts,
        in_range,
        rescored_class,
        plan.without_photo,
        plan.degenerate,
        plan.unreadable,
        crops,
        tiles,
        best_names,
    )


def _fill_support(
    evidence: Evidence,
    job: CropJob,
    labels: NDArray[np.int64],
    embeddings: NDArray[np.float32],
    prototypes: Prototypes,
    compared: NDArray[np.int64],
    settings: RescoreSettings,
) -> NDArray[np.float64]:
    """Fill in what the shots say of a photo's rows; their score of each crop and class, (n, C), NaN of the unknown."""
    photo, own = sha256_of(job.crops.photo.path), (job.crop_of_row, labels)
    cosine = settings.support_score == "cosine"
    cosines = prototypes.similarities(embeddings, photo=None if cosine else photo)  # PCB leaves no support out
    evidence.similarity[job.rows] = cosines[own]
    if cosine:
        scores = np.full_like(cosines, np.nan)
        scores[:, compared] = cosines[:, compared]
        return scores
    probabilities = prototypes.probabilities(embeddings, photo=photo, classes=compared)
    evidence.support[job.rows] = probabilities[own]
    return probabilities


def _best_names(voice: NDArray[np.float64], names: Sequence[str]) -> list[list[list[str | float]]]:
    """Of each crop the most probable names, best first, as a file keeps them; `voice` (n, C) is NaN of the unknown."""
    places = np.argsort(-voice, axis=1, kind="stable")[:, :BEST_NAMES]
    shares = np.take_along_axis(voice, places, axis=1).round(_DIGITS)
    return [
        [[names[place], share] for place, share in zip(*crop, strict=True) if share == share]
        for crop in zip(places.tolist(), shares.tolist(), strict=True)
    ]


def text_embeddings(encoder: CropEncoder, prompts: Prompts) -> NDArray[np.float32]:
    """One unit vector a name, (C, D): the mean over the templates, renormalised."""
    groups = prompts.groups
    flat = encoder.encode_texts([text for group in groups for text in group])
    if not np.isfinite(flat).all():
        raise EncoderError("the encoder's embeddings of the class names are not finite numbers; check its weights")
    mean = flat.reshape(len(groups), len(prompts.templates), -1).mean(axis=1)
    unit: NDArray[np.float32] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    return unit


def _above(scores: NDArray[np.float64]) -> dict[str, int]:
    return {f"{threshold:g}": int((scores > threshold).sum()) for threshold in THRESHOLDS}
