"""Prototypes: what the K-shot crops of each class look like to the encoder, a second voice beside its name."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.files import sha256_of
from risf_core.images import Photo, upright_size
from risf_core.rescore.boxes import clip_boxes, has_area
from risf_core.rescore.crop_encoder import CropEncoder, ImageCrops

DEFAULT_TEMPERATURE = 20.0  # of the softmax over prototypes, where the shots are too few to fit it

_TEMPERATURES = np.geomspace(2.0, 200.0, 41)  # tried, a factor of 1.12 apart


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The embeddings of S support crops. A prototype is the mean of a class's crops, scaled to unit length.

    A crop is never compared with support of its own photo (the same bytes): its own box would answer for itself.
    """

    embeddings: NDArray[np.float32]  # (S, D) of unit length
    labels: NDArray[np.int64]  # (S,) positions in the vocabulary
    photos: tuple[str, ...]  # (S,) SHA-256 of each crop's photo
    boxes: NDArray[np.float64]  # (S, 4) corners inside the photo
    class_count: int
    temperature: float = DEFAULT_TEMPERATURE  # of the softmax over the similarities

    @property
    def sha256(self) -> str:
        """What identifies the support: photos, boxes and classes, in whatever order they were read."""
        rows = sorted(
            (photo, label, box.astype("<f8").tobytes())
            for photo, label, box in zip(self.photos, self.labels.tolist(), self.boxes, strict=True)
        )
        digest = hashlib.sha256()
        for photo, label, box in rows:
            digest.update(f"{photo} {label} ".encode() + box)
        return digest.hexdigest()

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What a record says of the support."""
        classes = int((np.bincount(self.labels, minlength=self.class_count) > 0).sum())
        return {
            "crops": len(self.labels),
            "classes": classes,
            "photos": len(set(self.photos)),
            "temperature": self.temperature,
            "sha256": self.sha256,
        }

    def similarities(self, embeddings: NDArray[np.float32], *, photo: str) -> NDArray[np.float64]:
        """The cosine of crops (n, D) of one photo to the prototype of each class, (n, C); NaN where there is none."""
        means = self._all_means
        if photo in self.photos:
            means = self._means(np.array([own != photo for own in self.photos], dtype=bool))
        return np.asarray(embeddings.astype(np.float64) @ means.T)

    def probabilities(self, similarities: NDArray[np.float64], classes: NDArray[np.int64]) -> NDArray[np.float64]:
        """softmax(temperature * similarity) over those of `classes` that have a prototype, (n, C), NaN elsewhere."""
        result = np.full(similarities.shape, np.nan)
        known = np.zeros(self.class_count, dtype=bool)
        known[classes] = True
        known &= ~np.isnan(similarities).any(axis=0)
        if known.any():
            logits = self.temperature * similarities[:, known]
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            result[:, known] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return result

    @cached_property
    def _all_means(self) -> NDArray[np.float64]:
        return self._means(np.ones(len(self.labels), dtype=bool))

    def _means(self, used: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The prototypes (C, D) of some of the crops; NaN where a class has none."""
        sums = np.zeros((self.class_count, self.embeddings.shape[1]))
        np.add.at(sums, self.labels[used], self.embeddings[used].astype(np.float64))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        return np.asarray(np.divide(sums, norms, out=np.full_like(sums, np.nan), where=norms > 0))


def make_prototypes(
    support: AnnotatedDataset,
    *,
    photos: Mapping[ImageId, Photo],
    encoder: CropEncoder,
    progress: Callable[[int, int], None] | None = None,
) -> Prototypes:
    """The prototypes of a dataset's usable boxes (no crowd, none without area), the temperature fitted to them.

    The temperature is the one under which the crops are likeliest to be of their own classes, each judged by the crops
    of other photos. Raises DataError where there is no box, KeyError where an image has no entry in `photos`.
    """
    rows = np.flatnonzero(support.usable)
    _, first = np.unique(support.annotation_ids[rows], return_index=True)
    rows = rows[np.sort(first)]  # a box that a list names twice is one box
    jobs: list[ImageCrops] = []
    labels: list[NDArray[np.int64]] = []
    for position in np.unique(support.image_positions[rows]).tolist():
        photo = photos[support.images[position].image_id]
        own = rows[support.image_positions[rows] == position]
        boxes = clip_boxes(support.boxes[own], photo.size or upright_size(photo.path))
        sound = has_area(boxes)
        if sound.any():
            jobs.append(ImageCrops(photo, boxes[sound]))
            labels.append(support.labels[own[sound]])
    if not jobs:
        raise DataError("the support has no box inside its photos; give each class a few")
    parts = []
    total = sum(len(job.boxes) for job in jobs)
    for embeddings in encoder.encode_crops(iter(jobs)):
        parts.append(embeddings)
        if progress is not None:
            progress(sum(map(len, parts)), total)
    prototypes = Prototypes(
        embeddings=np.concatenate(parts),
        labels=np.concatenate(labels),
        photos=tuple(sha256_of(job.photo.path) for job in jobs for _ in job.boxes),
        boxes=np.concatenate([job.boxes for job in jobs]),
        class_count=len(support.vocabulary),
    )
    return replace(prototypes, temperature=_likeliest_temperature(prototypes))


def _likeliest_temperature(prototypes: Prototypes) -> float:
    """The temperature of largest likelihood of the support crops, or the default where none can be judged."""
    groups = []
    for photo in dict.fromkeys(prototypes.photos):
        own = np.array([other == photo for other in prototypes.photos], dtype=bool)
        cosines = prototypes.similarities(prototypes.embeddings[own], photo=photo)  # (n, C)
        groups.append((cosines, prototypes.labels[own]))
    likelihoods = [_log_likelihood(groups, temperature) for temperature in _TEMPERATURES.tolist()]
    judged = sum(len(labels) for cosines, labels in groups if _judgeable(cosines, labels).any())
    return float(_TEMPERATURES[int(np.argmax(likelihoods))]) if judged else DEFAULT_TEMPERATURE


def _judgeable(cosines: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which crops (n,) have a prototype of their own class and of another one to compare with."""
    known = ~np.isnan(cosines)
    return np.asarray(known[np.arange(len(labels)), labels] & (known.sum(axis=1) > 1))


def _log_likelihood(groups: list[tuple[NDArray[np.float64], NDArray[np.int64]]], temperature: float) -> float:
    total = 0.0
    for cosines, labels in groups:
        kept = _judgeable(cosines, labels)
        if not kept.any():
            continue
        logits = np.where(np.isnan(cosines), -np.inf, temperature * cosines)[kept]
        own = logits[np.arange(int(kept.sum())), labels[kept]]
        total += float((own - np.logaddexp.reduce(logits, axis=1)).sum())
    return total
