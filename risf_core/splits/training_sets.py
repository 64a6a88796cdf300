"""From splits to the records that training reads: few-shot, generalised and base sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from risf_core.choices import Group, RecordForm
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import DataError, counted, listing
from risf_core.records import RecordSet, dataset_records
from risf_core.splits.split import SeedShots


def few_shot_records(
    shots: SeedShots, *, count: int, image_folders: Sequence[Path], form: RecordForm = "image"
) -> RecordSet:
    """K boxes of each novel class and nothing else; labels count the novel classes.

    Args:
        count: K.
        image_folders: where the images are looked for.
        form: "image": one record per image (COCO as published); "box": one record per box, in which the other boxes of
            the image are background (VOC as published).

    Raises DataError where the split lacks K or a class has no box at K, ImageError where images are missing.
    """
    return _records(shots, "novel", count=count, image_folders=image_folders, form=form)


def generalised_records(
    shots: SeedShots, *, count: int, image_folders: Sequence[Path], form: RecordForm = "image"
) -> RecordSet:
    """K boxes of each class, base and novel; labels count all classes in the published order. See few_shot_records."""
    return _records(shots, "all", count=count, image_folders=image_folders, form=form)


def base_records(dataset: AnnotatedDataset, *, image_folders: Sequence[Path]) -> RecordSet:
    """All training images with their base boxes alone; labels count the base classes.

    `dataset` is a whole dataset under a vocabulary with novel classes, or the base set that `read_base` returns.
    """
    return dataset_records(base_dataset(dataset), image_folders=image_folders)


def _records(
    shots: SeedShots, group: Group, *, count: int, image_folders: Sequence[Path], form: RecordForm
) -> RecordSet:
    by_label = shots.rows_of(count)
    labels = shots.boxes.vocabulary.labels(group).tolist()
    names = shots.boxes.vocabulary.names
    empty = [names[label] for label in labels if not len(by_label[label])]
    if empty:
        raise DataError(
            f"the split has no box of {len(empty)} of {len(labels)} classes at {counted(count, 'shot')} "
            f"({listing(empty, most=3)}); prepare it for all of them, or train on fewer classes"
        )
    rows = np.concatenate([by_label[label] for label in labels]) if labels else np.empty(0, dtype=np.int64)
    table = shots.boxes.select(rows).with_vocabulary(shots.boxes.vocabulary.restrict(group))
    return dataset_records(table, image_folders=image_folders, form=form)


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
