"""How good the model is so far: AP on images that it does not train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from risf_core.datasets import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.detector.model import Detector
from risf_core.detector.prediction import PredictionSettings, predict
from risf_core.evaluation import GroundTruth, evaluate
from risf_core.images import Photo
from risf_core.records import locate_images
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """Images with their boxes of the model's classes."""

    photos: Mapping[ImageId, Photo]
    truth: GroundTruth  # under the model's vocabulary
    sha256: str  # of the annotations that it was read from


def held_out_set(
    dataset: AnnotatedDataset, vocabulary: ClassVocabulary, *, image_folders: tuple[Path, ...], most: int | None
) -> HeldOutSet:
    """The first `most` images of a dataset with their boxes of the classes. Raises ImageError where one is missing."""
    if most is not None and most < len(dataset.images):
        dataset = dataset.without_images(np.arange(most, len(dataset.images)))
    dataset = dataset.with_vocabulary(vocabulary)
    paths = locate_images(dataset.images, image_folders)
    photos = {info.image_id: Photo(path, info.size) for info, path in zip(dataset.images, paths, strict=True)}
    return HeldOutSet(photos, GroundTruth.of_dataset(dataset), " ".join(dataset.source.sha256))


def held_out_metrics(model: Detector, held_out: HeldOutSet, settings: PredictionSettings) -> dict[str, float]:
    """AP and its kin, with base and novel groups where there are both; the model is in training mode afterwards."""
    # sums over weights in another layout differ in their last bits: a run that was resumed after an evaluation would
    # not end like an undisturbed one
    settings = replace(settings, keep_layout=True)
    found = predict(model, held_out.photos, vocabulary=held_out.truth.vocabulary, settings=settings)
    model.train()
    assert found is not None
    truth = held_out.truth
    vocabulary = truth.vocabulary
    if len(vocabulary.novel) == len(vocabulary):  # one group: the figures of it are the figures of all
        truth = replace(truth, vocabulary=vocabulary.with_novel(()))
    return dict(evaluate(found.detections, truth).flat())
