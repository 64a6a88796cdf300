"""What a run trains on and is evaluated on, from a split or from your own COCO files."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from risf_core.config import DataConfig
from risf_core.datasets import AnnotatedDataset, read_coco_dataset
from risf_core.errors import ConfigError, DataError, listing
from risf_core.files import sha256_of
from risf_core.processes import started_processes
from risf_core.records import RecordSet, dataset_records
from risf_core.splits.classes import without_empty_classes
from risf_core.splits.folder import MANIFEST_NAME, Manifest, read_manifest
from risf_core.splits.reading import (
    BASE_NAME,
    check_novel_choice,
    image_folders_of,
    read_base,
    read_split,
    read_test_data,
    seed_name,
)
from risf_core.splits.split import SeedShots
from risf_core.splits.tfa_reading import tfa_files
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records
from risf_core.training.held_out import HeldOutSet, held_out_set
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The records of a run, the classes that its weights may be of, and what it stands on."""

    records: RecordSet
    whole: ClassVocabulary  # of the split: base and novel; of COCO files: also the classes without a box
    held_out: Callable[[int | None], HeldOutSet | None]  # read only when it is evaluated on
    inputs: dict[str, str]  # what was read for the records -> its SHA-256

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
            "there is nothing to train on: give `split` (what risf prepare-splits wrote) or `coco`, "
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
        inputs = _base_inputs(split, manifest, dataset)
    else:
        if data.shots is None:
            raise ConfigError("how many shots? give `shots`, a count that the split holds")
        voc_root = _voc_root(data.images)
        if manifest is None and voc_root is None and tfa_files(split, data.seed)[0] == "voc":
            raise DataError(
                f"{split}: lists images alone; name the folder that holds VOC2007 and VOC2012 in `images`, for their "
                "boxes"
            )
        check_novel_choice(split, data.novel)
        shots = read_split(split, seed=data.seed, novel=data.novel, voc_root=voc_root)
        inputs = _shot_inputs(split, manifest, shots, seed=data.seed)
        whole = shots.boxes.vocabulary
        make = few_shot_records if data.setting == "few-shot" else generalised_records
        records = make(shots, count=data.shots, image_folders=folders, form=data.records)

    def held_out(most: int | None) -> HeldOutSet | None:
        if data.held_out is not None:
            test = read_coco_dataset(data.held_out)
        elif manifest is not None and (manifest.held_out is not None or manifest.kind == "voc"):
            test = read_test_data(manifest)
        else:
            return None
        return _held_out(test, records.vocabulary, folders, most)

    return TrainingData(records, whole, held_out, inputs)


def _base_inputs(split: Path, manifest: Manifest | None, dataset: AnnotatedDataset) -> dict[str, str]:
    """Of the split's own file of the base set; where it has none, of the split and of what it was drawn from."""
    if manifest is None or BASE_NAME in manifest.files:
        return {"split": sha256_of(split / BASE_NAME)}
    return {"split": sha256_of(split / MANIFEST_NAME), "annotations": " ".join(dataset.source.sha256)}


def _shot_inputs(split: Path, manifest: Manifest | None, shots: SeedShots, *, seed: int) -> dict[str, str]:
    """Of the one file of a seed; in TFA's layout of all its files, and of the annotations that VOC's lists need."""
    if split.is_file():
        return {"split": sha256_of(split)}
    if manifest is not None and "risf" in manifest.layouts:
        return {"split": sha256_of(split / seed_name(seed))}
    form, by_shots = tfa_files(split, seed)
    files = [path for by_class in by_shots.values() for path in by_class.values()]
    inputs = {"split": _digest_of(files if manifest is None else [split / MANIFEST_NAME, *files])}
    return {**inputs, "annotations": shots.boxes.source.sha256[0]} if form == "voc" else inputs


def _digest_of(files: Sequence[Path]) -> str:
    """One SHA-256 of several files of one split: of their names and their own."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()


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
