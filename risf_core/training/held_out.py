"""How good the model is so far: AP on images that it does not train on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.errors import DataError, counted, listing
from risf_core.evaluation import evaluate
from risf_core.photos import Photo
from risf_core.records import locate_images
from risf_core.vocabulary import ClassVocabulary

if TYPE_CHECKING:
    from risf_core.detector.model import Detector
    from risf_core.detector.prediction import PredictionSettings


@dataclass(frozen=True, eq=False)
class HeldOutSet:
    """Images with their boxes of the model's classes."""

    photos: Mapping[ImageId, Photo]
    truth: AnnotatedDataset  # under the model's vocabulary
    sha256: str  # of the annotations that it was read from


def held_out_set(
    dataset: AnnotatedDataset, vocabulary: ClassVocabulary, *, image_folders: tuple[Path, ...], most: int | None
) -> HeldOutSet:
    """The first `most` images of a dataset with their boxes of the classes.

    Raises ImageError where an image is missing, DataError where there are no boxes to find.
    """
    whole, dataset = dataset, dataset.with_vocabulary(vocabulary)
    if dataset.crowd.all():
        raise DataError(_no_box(whole, vocabulary))
    if most is not None and most < len(dataset.images):
        dataset = dataset.without_images(np.arange(most, len(dataset.images)))
        if dataset.crowd.all():
            raise DataError(
                f"{listing(whole.source.paths)}: the first {counted(most, 'image')} of {len(whole.images)} hold no box "
                f"of the run's classes ({listing(vocabulary.names, most=5)}); raise data.held_out_images, or set it to "
                "null to evaluate on all"
            )
    paths = locate_images(dataset.images, image_folders)
    photos = {info.image_id: Photo(path, info.size) for info, path in zip(dataset.images, paths, strict=True)}
    return HeldOutSet(photos, dataset, " ".join(dataset.source.sha256))


def held_out_metrics(model: Detector, held_out: HeldOutSet, settings: PredictionSettings) -> dict[str, float]:
    """AP and its kin, with base and novel groups where there are both; the model is in training mode afterwards."""
    from risf_core.detector.prediction import predict  # torch takes seconds to import, and data are read without it

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


def _no_box(dataset: AnnotatedDataset, vocabulary: ClassVocabulary) -> str:
    present = [dataset.vocabulary.names[label] for label in np.unique(dataset.labels[~dataset.crowd]).tolist()]
    return (
        f"{listing(dataset.source.paths)}: holds no box of the run's classes ({listing(vocabulary.names, most=5)}) to "
        f"evaluate on; its boxes are of {listing(present, most=5) or 'no class'}; name its classes as the training "
        "data does, give another `held_out`, or `solver.evaluate_every=0` to go without"
    )
