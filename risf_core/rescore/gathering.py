"""What an encoder says of a table: its crops and photos, encoded and compared with names and shots."""

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
from risf_core.rescore.crop_jobs import CropJob, embedded_crops, plan_crops
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fusion import class_probabilities
from risf_core.rescore.prompts import Prompts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore, prompts_of
from risf_core.vocabulary import ClassVocabulary

BEST_NAMES = 3  # that a re-scored row keeps, with probabilities of this many digits:
_DIGITS = 4


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
