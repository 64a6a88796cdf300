"""What a run trains on and is evaluated on, from a split or from COCO files of one's own."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from risf_core.config import DataConfig
from risf_core.datasets import AnnotatedDataset, read_coco_dataset
from risf_core.errors import ConfigError, DataError, listing
from risf_core.records import RecordSet, dataset_records
from risf_core.splits.manifest import MANIFEST_NAME, read_manifest
from risf_core.splits.reading import BASE_NAME, image_folders_of, read_base, read_split, read_test_data, seed_name
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records
from risf_core.training.held_out import HeldOutSet, held_out_set
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The records of a run, the classes that its weights may be of, and the files that it stands on."""

    records: RecordSet
    whole: ClassVocabulary  # of the split: base and novel
    held_out: Callable[[int | None], HeldOutSet | None]  # read only when it is evaluated on
    files: dict[str, Path]  # what was read -> where

    @property
    def fewest_boxes(self) -> int:
        """How many boxes the rarest class has."""
        labels = np.concatenate([record.labels for record in self.records.records])
        return int(np.bincount(labels, minlength=len(self.records.vocabulary)).min())


def read_training_data(data: DataConfig) -> TrainingData:
    """The data of a config. Raises ConfigError where it names none, DataError where a class has no box."""
    if data.coco:
        return _of_coco(data)
    if data.split is None:
        raise ConfigError(
            "there is nothing to train on: pass --split DIR (what risf prepare-splits wrote) or --coco FILE, "
            "or write `split: ...` into risf.yaml of the working folder"
        )
    return _of_split(data, data.split)


def _of_split(data: DataConfig, split: Path) -> TrainingData:
    manifest = read_manifest(split) if (split / MANIFEST_NAME).is_file() else None
    folders = (*data.images, *(image_folders_of(manifest) if manifest is not None else ()))
    if data.setting == "base":
        dataset = read_base(split)
        whole = manifest.vocabulary if manifest is not None else dataset.vocabulary
        records = base_records(dataset, image_folders=folders)
        file = split / BASE_NAME
    else:
        if data.shots is None:
            raise ConfigError("how many shots? pass --shots K, one that the split holds")
        shots = read_split(split, seed=data.seed, novel=data.novel, voc_root=_voc_root(data.images))
        whole = shots.boxes.vocabulary
        make = few_shot_records if data.setting == "few-shot" else generalised_records
        records = make(shots, count=data.shots, image_folders=folders, form=data.records)
        file = split / seed_name(data.seed)

    def held_out(most: int | None) -> HeldOutSet | None:
        if data.held_out is not None:
            test = read_coco_dataset(data.held_out)
        elif manifest is not None and (manifest.held_out is not None or manifest.kind == "voc"):
            test = read_test_data(manifest)
        else:
            return None
        return _held_out(test, records.vocabulary, folders, most)

    return TrainingData(records, whole, held_out, _files(data, split=file))


def _of_coco(data: DataConfig) -> TrainingData:
    dataset = read_coco_dataset(data.coco)
    counts = dataset.boxes_per_class()
    empty = [name for name, count in zip(dataset.vocabulary.names, counts.tolist(), strict=True) if not count]
    if empty:
        raise DataError(
            f"{listing(data.coco)}: {len(empty)} of {len(counts)} classes have no box to train on "
            f"({listing(empty, most=3)}); label some, or take the classes out of the file"
        )
    folders = data.images or tuple(dict.fromkeys(path.parent for path in data.coco))
    records = dataset_records(dataset, image_folders=folders, form=data.records)

    def held_out(most: int | None) -> HeldOutSet | None:
        if data.held_out is None:
            return None
        return _held_out(read_coco_dataset(data.held_out), records.vocabulary, folders, most)

    files = {f"coco{number}" if number else "coco": path for number, path in enumerate(data.coco)}
    return TrainingData(records, dataset.vocabulary, held_out, _files(data, **files))


def _held_out(
    dataset: AnnotatedDataset, vocabulary: ClassVocabulary, folders: tuple[Path, ...], most: int | None
) -> HeldOutSet:
    return held_out_set(dataset, vocabulary, image_folders=folders, most=most)


def _files(data: DataConfig, **named: Path) -> dict[str, Path]:
    return {**named, "held_out": data.held_out} if data.held_out is not None else named


def _voc_root(folders: tuple[Path, ...]) -> Path | None:
    return next((folder for folder in folders if os.path.isdir(folder / "VOC2007")), None)
