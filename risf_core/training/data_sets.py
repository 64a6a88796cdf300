"""What a run trains on and is evaluated on, from a split or from your own COCO files."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from risf_core.config import DataConfig
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.errors import ConfigError, DataError, listing
from risf_core.processes import started_processes
from risf_core.records import RecordSet, dataset_records
from risf_core.splits.classes import without_empty_classes
from risf_core.splits.folder import SplitFolder, open_split
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records
from risf_core.training.held_out import HeldOutSet, held_out_set
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The records of a run, the classes that its weights may be of, and digests of what was read."""

    records: RecordSet
    whole: ClassVocabulary  # of the split: base and novel; of COCO files: also the classes without a box
    held_out: Callable[[int | None], HeldOutSet | None]  # read only when it is evaluated on
    inputs: dict[str, str]  # what was read for the records -> its SHA-256

    @property
    def fewest_boxes(self) -> int:
        """How many boxes the rarest class has."""
        labels = np.concatenate([record.labels for record in self.records.records])
        return int(np.bincount(labels, minlength=len(self.records.vocabulary)).min())


def read_training_data(data: DataConfig, split: SplitFolder | None = None) -> TrainingData:
    """The data of a config; `split` is its split where that is open already.

    Raises ConfigError where the config names none, DataError where a class has no box.
    """
    if data.coco:
        return _of_coco(data)
    if data.split is None:
        raise ConfigError(
            "there is nothing to train on: give `split` (what risf prepare-splits wrote) or `coco`, "
            "or write `split: ...` into risf.yaml of the working folder"
        )
    return _of_split(data, split if split is not None and split.path == data.split else open_split(data.split))


def _of_split(data: DataConfig, split: SplitFolder) -> TrainingData:
    folders = (*data.images, *split.image_folders)
    if data.setting == "base":
        dataset = split.base()
        whole = dataset.vocabulary if split.vocabulary is None else split.vocabulary
        records = base_records(dataset, image_folders=folders)
        digests = split.digests(dataset)
    else:
        if data.shots is None:
            raise ConfigError("how many shots? give `shots`, a count that the split holds")
        voc_root = _voc_root(data.images)
        if split.vocabulary is None and split.kind == "voc" and voc_root is None:
            raise DataError(
                f"{split.path}: lists images alone; name the folder that holds VOC2007 and VOC2012 in `images`, for "
                "their boxes"
            )
        split.check_novel(data.novel)
        shots = split.read(data.seed, novel=data.novel, voc_root=voc_root)
        whole = shots.boxes.vocabulary
        make = few_shot_records if data.setting == "few-shot" else generalised_records
        records = make(shots, count=data.shots, image_folders=folders, form=data.records)
        digests = split.digests(shots.boxes, seed=data.seed)

    def held_out(most: int | None) -> HeldOutSet | None:
        test = split.test_data() if data.held_out is None else read_coco_dataset(data.held_out)
        return None if test is None else _held_out(test, records.vocabulary, folders, most)

    return TrainingData(records, whole, held_out, digests)


def _of_coco(data: DataConfig) -> TrainingData:
    stated = read_coco_dataset(data.coco)
    try:
        dataset = without_empty_classes(stated)
    except DataError as error:
        raise DataError(f"{listing(data.coco)}: {error}; label some") from None
    if started_processes().is_first:
        for note in dataset.notes[len(stated.notes) :]:
            _log.warning("%s: %s", listing(data.coco), note)
    folders = data.images or tuple(dict.fromkeys(path.parent for path in data.coco))
    records = dataset_records(dataset, image_folders=folders, form=data.records)

    def held_out(most: int | None) -> HeldOutSet | None:
        if data.held_out is None:
            return None
        return _held_out(read_coco_dataset(data.held_out), records.vocabulary, folders, most)

    inputs = {f"coco{number}" if number else "coco": digest for number, digest in enumerate(dataset.source.sha256)}
    return TrainingData(records, stated.vocabulary, held_out, inputs)


def _held_out(
    dataset: AnnotatedDataset, vocabulary: ClassVocabulary, folders: tuple[Path, ...], most: int | None
) -> HeldOutSet:
    return held_out_set(dataset, vocabulary, image_folders=folders, most=most)


def _voc_root(folders: tuple[Path, ...]) -> Path | None:
    return next((folder for folder in folders if os.path.isdir(folder / "VOC2007")), None)
