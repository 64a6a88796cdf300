"""What an encoder says of a table: its crops and photos, encoded and compared with names and shots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from risf_core.rescore.budget import tiles_and_crops, within_budget
from risf_core.rescore.crop_jobs import CropPlan, embedded_crops, plan_crops
from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fusion import class_probabilities
from risf_core.rescore.prompts import Prompts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.relabel import choose_labels, with_room
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore, prompts_of
from risf_core.vocabulary import ClassVocabulary

BEST_NAMES = 3  # that a re-scored row keeps, with probabilities of this many digits:
_DIGITS = 4


@dataclass(frozen=True, eq=False)
class GatheredEvidence:
    """What the encoder says of a table's rows, and why of others it says nothing."""

    detections: Detections  # the table, and behind it the rows that relabelling added
    source: NDArray[np.int64]  # (N,) the row that was asked about: itself, or that of which an added one has its box
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
    so_far: Callable[[Evidence], NDArray[np.float64]] | None = None,
) -> GatheredEvidence:
    """What the encoder says of each row that the settings have re-scored; the arguments are those of `rescore`.

    Without `ask` the encoder is left in peace and nothing is known of any row.

    Args:
        so_far: the scores (N,) by some evidence, by which a budget chooses crops; None: the detector's.
    """
    if settings.asks_shots and prototypes is None:
        raise ConfigError(f"`evidence={settings.evidence}` needs shots: pass `support` or annotations")
    rescored_labels = labels_to_rescore(vocabulary, settings)
    prompts, columns = prompts_of(vocabulary, settings)
    in_range = (detections.scores > settings.min_score) & (detections.scores <= settings.max_score)  # (N,)
    rescored_class = np.isin(detections.labels, rescored_labels)  # (N,)
    nameless = (detections.labels < 0) & settings.class_agnostic
    eligible = np.flatnonzero(in_range & (rescored_class | nameless)) if ask else np.empty(0, dtype=np.int64)
    plan = plan_crops(detections, eligible, photos, keep_unreadable=settings.on_unreadable == "keep")
    table, source = detections, np.arange(len(detections))
    if settings.relabel:
        table, plan, source = with_room(detections, plan, settings.relabel)
    labels, added = table.labels.copy(), np.arange(len(table)) >= len(detections)
    evidence = Evidence.unknown(len(table))
    evidence.added[:] = added
    temperature = DEFAULT_TEMPERATURE if settings.temperature is None else settings.temperature
    best_names = np.empty(len(table), dtype=object)
    crops = tiles = 0

    def ask_photos(photos: CropPlan, names: NDArray[np.float32] | None, done: int, total: int) -> None:
        assert encoder is not None
        for asked_job, embeddings in embedded_crops(photos, encoder, progress, done=done, total=total):
            assert names is not None
            job = asked_job.of_rows(labels[asked_job.rows] >= 0)
            of_tiles = class_probabilities(embeddings, names, temperature)
            evidence.fill_photo(job.rows, of_tiles, columns[labels[job.rows]])

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
        tiles_per_photo, crops_per_photo = tiles_and_crops(settings)
        photos_plan = plan.of_photos(tiles_per_photo) if tiles_per_photo else replace(plan, jobs=[])
        total = photos_plan.crop_count + len(passes) * plan.crop_count
        names = text
        if crops_per_photo is not None:
            ask_photos(photos_plan, names, 0, total)
            scores = table.scores if so_far is None else so_far(evidence)
            plan = within_budget(plan, scores, crops_per_photo)
            total = photos_plan.crop_count + len(passes) * plan.crop_count
        for number, (asked, text, shots) in enumerate(passes):
            crops, done = 0, number * plan.crop_count + (0 if crops_per_photo is None else photos_plan.crop_count)
            for asked_job, embeddings in embedded_crops(plan, asked, progress, done=done, total=total):
                crops += len(embeddings)
                if text is not None:
                    voice, said = class_probabilities(embeddings, text, temperature), prompts.spoken
                if shots is not None:
                    cosines, by_support = _said_by_shots(asked_job.crops.photo, embeddings, shots, compared, settings)
                    if settings.evidence == "support":
                        voice, said = by_support, vocabulary.names
                if settings.relabel and number == 0:
                    of_class = voice[:, rescored_labels if text is None else columns[rescored_labels]]
                    choose_labels(asked_job, labels, of_class, rescored_labels, known=len(detections))
                job = asked_job.of_rows(labels[asked_job.rows] >= 0)
                own, of_row = labels[job.rows], job.crop_of_row
                if text is not None:
                    evidence.fill_names(job.rows, voice[of_row], columns[own], len(prompts.names))
                    if settings.sigmoid is not None:
                        scale, bias = settings.sigmoid
                        matches = (embeddings[of_row].astype(np.float64) * text[columns[own]]).sum(axis=1)
                        evidence.match[job.rows] = scale * matches + bias
                if shots is not None:
                    evidence.similarity[job.rows] = cosines[of_row, own]
                    if settings.support_score != "cosine":
                        evidence.support[job.rows] = by_support[of_row, own]
                        if shots.several:
                            by_nearest = shots.nearest(
                                embeddings, photo=sha256_of(job.crops.photo.path), classes=compared
                            )
                            evidence.nearest[job.rows] = by_nearest[of_row, own]
                if settings.keep_parts and (text is not None or settings.evidence == "support"):
                    best = _best_names(voice, said)
                    for row, crop in zip(job.rows.tolist(), job.crop_of_row.tolist(), strict=True):
                        best_names[row] = best[crop]
        if crops_per_photo is None:
            ask_photos(photos_plan, names, len(passes) * plan.crop_count, total)
        tiles = photos_plan.crop_count
    kept = np.flatnonzero((labels >= 0) | ~(added | settings.class_agnostic))
    return GatheredEvidence(
        replace(table, labels=labels)[kept],
        source[kept],
        evidence[kept],
        prompts,
        in_range[source[kept]],
        (rescored_class[source] | added)[kept],
        plan.without_photo,
        plan.degenerate,
        plan.unreadable,
        crops,
        tiles,
        best_names[kept],
    )


def _said_by_shots(
    photo: Photo,
    embeddings: NDArray[np.float32],
    prototypes: Prototypes,
    compared: NDArray[np.int64],
    settings: RescoreSettings,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines and scores of a photo's crops with every class, (n, C) each, NaN of the unknown."""
    own, cosine = sha256_of(photo.path), settings.support_score == "cosine"
    cosines = prototypes.similarities(embeddings, photo=None if cosine else own)  # PCB leaves no support out
    if cosine:
        scores = np.full_like(cosines, np.nan)
        scores[:, compared] = cosines[:, compared]
        return cosines, scores
    return cosines, prototypes.probabilities(embeddings, photo=own, classes=compared)


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
