"""The base set: the training images with the boxes of base classes alone."""

from __future__ import annotations

import numpy as np

from risf_core.datasets import AnnotatedDataset
from risf_core.errors import DataError


def base_dataset(dataset: AnnotatedDataset, *, drop_images_with_novel: bool = False) -> AnnotatedDataset:
    """The usable boxes of base classes and their images, under the vocabulary of base classes.

    Objects of novel classes stay in the images, unlabelled, as published; `drop_images_with_novel` leaves out every
    image that holds one (a crowd of them too). Raises DataError where there is no base class or no box is left.
    """
    vocabulary = dataset.vocabulary
    if not len(vocabulary.labels("base")):
        raise DataError(f"all {len(vocabulary)} classes are novel: there is no base set to train on")
    novel = np.isin(dataset.labels, vocabulary.labels("novel"))
    kept = dataset.usable & ~novel
    if drop_images_with_novel:
        kept &= ~np.isin(dataset.image_positions, dataset.image_positions[novel])
    if not kept.any():
        raise DataError("no image holds a base class without a novel one, so the base set is empty; train with them")
    return dataset.select(kept).with_vocabulary(vocabulary.restrict("base"))
