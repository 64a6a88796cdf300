"""Prototypes: what the K-shot crops of each class look like to the encoder, a second voice beside its name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import clip_boxes, has_area
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.errors import DataError
from risf_core.files import sha256_of
from risf_core.images import upright_size
from risf_core.photos import Photo
from risf_core.progress import Progress

# Of the softmax over prototypes where nothing is known of the encoder: 12 to 30 did about the same on held-out photos.
TEMPERATURE = 20.0
_SPREAD = 0.5  # standard deviation of its logarithm beforehand
_ODD = np.array([[0.02], [0.05], [0.1], [0.2], [0.3], [0.4], [0.5], [0.6]])  # shares of shots unlike their class


@dataclass(frozen=True, eq=False)
class Prototypes:
    """The embeddings of S support crops. A prototype is the mean of a class's crops, scaled to unit length.

    A crop is never compared with support of its own photo (the same bytes): its own box would answer for itself.
    """

    embeddings: NDArray[np.float32]  # (S, D) as the encoder gives them: of unit length, but for PCB's
    labels: NDArray[np.int64]  # (S,) positions in the vocabulary
    photos: tuple[str, ...]  # (S,) SHA-256 of each crop's photo
    boxes: NDArray[np.float64]  # (S, 4) corners inside the photo
    class_count: int
    temperature: float = TEMPERATURE  # of the softmax over the prototypes

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

    def similarities(self, embeddings: NDArray[np.float32], *, photo: str | None) -> NDArray[np.float64]:
        """The cosine of crops (n, D) of one photo to the prototype of each class, (n, C); NaN where there is none.

        Without a photo the crops are compared with all support.
        """
        return np.asarray(_unit(embeddings.astype(np.float64)) @ self._means_for(photo).T)

    def probabilities(
        self, embeddings: NDArray[np.float32], *, photo: str, classes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """softmax(temperature * cos(e - m, p_c - m)) over those of `classes` that have a prototype, (n, C), else NaN.

        m is the mean of those prototypes: what all crops have in common says nothing of their class, and it is most of
        an image embedding. Against a single prototype there is no telling classes apart: NaN.
        """
        result = np.full((len(embeddings), self.class_count), np.nan)
        cosines, known = self._centred(embeddings, photo, classes)
        if len(known) > 1:
            result[:, known] = _softmax(self.temperature * cosines)
        return result

    def nearest(
        self, embeddings: NDArray[np.float32], *, photo: str, classes: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """As `probabilities`, by the cosine to the nearest shot of each class in place of its prototype, (n, C)."""
        result = np.full((len(embeddings), self.class_count), np.nan)
        means = self._means_for(photo)
        known = classes[~np.isnan(means[classes, 0])]
        if len(known) > 1:
            others = np.flatnonzero(np.isin(self.labels, known) & (self._photo_of != photo))
            middle = means[known].mean(axis=0)
            shots = _unit(_unit(self.embeddings[others].astype(np.float64)) - middle)
            cosines = np.full((self.class_count, len(embeddings)), -np.inf)
            np.maximum.at(cosines, self.labels[others], shots @ _unit(_unit(embeddings.astype(np.float64)) - middle).T)
            result[:, known] = _softmax(self.temperature * cosines[known].T)
        return result

    def with_fitted_temperature(self) -> Prototypes:
        """The same prototypes with the temperature that makes the shots most probable, leaving out the photo of each.

        Log-normal around 20 beforehand. A share of the shots, fitted too, may look like nothing of their class: without
        it those few would choose a temperature far too small, for a prototype that lacks one of its few shots is poor.
        """
        labels = np.unique(self.labels)
        temperatures = TEMPERATURE * np.exp(np.linspace(-4 * _SPREAD, 4 * _SPREAD, 401))  # (T,)
        total = np.broadcast_to(-(np.log(temperatures / TEMPERATURE) ** 2) / (2 * _SPREAD**2), (len(_ODD), 401))
        for photo, places in self._crops_of.items():
            cosines, known = self._centred(self.embeddings[places], photo, labels)  # (n, P), (P,)
            for row, label in zip(cosines, self.labels[places].tolist(), strict=True):
                own = row[known == label]
                if len(own):
                    probability = 1 / np.exp(temperatures[:, None] * (row - own)).sum(axis=1)  # (T,)
                    total = total + np.log((1 - _ODD) * probability + _ODD / len(row))
        best = int(total.max(axis=0).argmax())
        return replace(self, temperature=float(f"{temperatures[best]:.3g}"))

    def _centred(
        self, embeddings: NDArray[np.float32], photo: str, classes: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The cosines (n, P) about the mean of the prototypes, and the classes (P,) that have one."""
        means = self._means_for(photo)
        known = classes[~np.isnan(means[classes, 0])]
        if not len(known):
            return np.empty((len(embeddings), 0)), known
        middle = means[known].mean(axis=0)
        return _unit(_unit(embeddings.astype(np.float64)) - middle) @ _unit(means[known] - middle).T, known

    def _means_for(self, photo: str | None) -> NDArray[np.float64]:
        """The prototypes (C, D) without the crops of a photo; NaN where a class has none left."""
        own = None if photo is None else self._crops_of.get(photo)
        if own is None:
            return self._all_means
        means = np.array(self._all_means, dtype=np.float64)
        # anew from the crops that are left: where none is, a difference of sums would not be exactly 0
        for label in np.unique(self.labels[own]).tolist():
            left = np.setdiff1d(self._crops_of_class[label], own, assume_unique=True)
            means[label] = _directions(self.embeddings[left].astype(np.float64).sum(axis=0, keepdims=True))[0]
        return means

    @property
    def several(self) -> bool:
        """Whether a class has more than one shot, so that the nearest is not the mean."""
        return bool(np.bincount(self.labels).max() > 1)

    @cached_property
    def _photo_of(self) -> NDArray[np.str_]:
        return np.array(self.photos)

    @cached_property
    def _crops_of(self) -> dict[str, NDArray[np.int64]]:
        """Photo -> the places of its crops."""
        places: dict[str, list[int]] = {}
        for place, photo in enumerate(self.photos):
            places.setdefault(photo, []).append(place)
        return {photo: np.array(own, dtype=np.int64) for photo, own in places.items()}

    @cached_property
    def _crops_of_class(self) -> dict[int, NDArray[np.int64]]:
        """Label -> the places of its crops."""
        return {label: np.flatnonzero(self.labels == label) for label in np.unique(self.labels).tolist()}

    @cached_property
    def _all_means(self) -> NDArray[np.float64]:
        sums = np.zeros((self.class_count, self.embeddings.shape[1]))
        np.add.at(sums, self.labels, self.embeddings.astype(np.float64))
        return _directions(sums)


def _directions(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors (C, D) at unit length; NaN where one has none."""
    norms = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(np.divide(sums, norms, out=np.full_like(sums, np.nan), where=norms > 0))


def make_prototypes(
    support: AnnotatedDataset,
    *,
    photos: Mapping[ImageId, Photo],
    encoder: CropEncoder,
    progress: Progress | None = None,
) -> Prototypes:
    """The prototypes of a dataset's usable boxes (no crowd, none without area).

    Raises DataError where there are no boxes, KeyError where an image has no entry in `photos`.
    """
    rows = np.flatnonzero(support.usable)
    _, first = np.unique(support.annotation_ids[rows], return_index=True)
    rows = rows[np.sort(first)]  # a box that a list names twice is one box
    rows = rows[np.argsort(support.image_positions[rows], kind="stable")]
    positions, starts = np.unique(support.image_positions[rows], return_index=True)
    jobs: list[ImageCrops] = []
    labels: list[NDArray[np.int64]] = []
    rows_of_images = np.split(rows, starts[1:]) if len(rows) else []
    for position, own in zip(positions.tolist(), rows_of_images, strict=True):
        photo = photos[support.images[position].image_id]
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
    return prototypes.with_fitted_temperature()


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the rows (n, C)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The rows scaled to unit length; a row of zeros stays one."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 1e-9))
