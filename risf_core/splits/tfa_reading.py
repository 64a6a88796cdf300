"""Reading TFA's folders of splits, cocosplit and vocsplit, and the published seed 0 in them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import coco_dataset_of
from risf_core.datasets.index import read_coco_document
from risf_core.datasets.voc import read_voc_dataset
from risf_core.errors import DataError, counted, did_you_mean, listing
from risf_core.files import read_text
from risf_core.splits.classes import NovelChoice, benchmark_of, novel_vocabulary
from risf_core.splits.drawing import LADDERS, Rule, seed_shots
from risf_core.splits.pools import class_pools, freeze_lists
from risf_core.splits.split import ClassShots, MarkKind, Rows, SeedShots
from risf_core.vocabulary import ClassVocabulary

# box_10shot_cow_train.txt, full_box_10shot_cow_trainval.json: names of others, so they have to be parsed
_COCO_NAME = re.compile(r"full_box_(\d+)shot_(.+)_trainval\.json")
_VOC_NAME = re.compile(r"box_(\d+)shot_(.+)_train\.txt")

_FETCH = "draw or fetch the split again"

Files = Mapping[int, Mapping[str, Path]]  # shots -> class name -> file
Classes = tuple[ClassVocabulary, str]  # a vocabulary and the name of its novel set


def tfa_files(folder: Path, seed: int) -> tuple[str, Files]:
    """The form ("coco", "voc" or "" where there are none) and the files of a seed; seed 0 may be in the root."""
    for place in (folder / f"seed{seed}", *([folder] if seed == 0 else [])):
        names = sorted(os.listdir(place)) if place.is_dir() else []
        for form, pattern in (("coco", _COCO_NAME), ("voc", _VOC_NAME)):
            found: dict[int, dict[str, Path]] = {}
            for name in names:
                if match := pattern.fullmatch(name):
                    found.setdefault(int(match[1]), {})[match[2]] = place / name
            if found:
                return form, found
    return "", {}


def tfa_seeds(folder: Path) -> list[int]:
    """The seeds that a folder in TFA's layout holds."""
    names = os.listdir(folder) if folder.is_dir() else []
    numbers = {0, *(int(match[1]) for name in names if (match := re.fullmatch(r"seed(\d+)", name)))}
    return [seed for seed in sorted(numbers) if tfa_files(folder, seed)[0]]


def read_tfa_split(
    folder: Path,
    *,
    seed: int,
    novel: NovelChoice = None,
    classes: Classes | None = None,
    voc_root: Path | None = None,
) -> SeedShots:
    """The boxes of a seed in TFA's layout, frozen; a class without files has none.

    COCO's files hold the boxes themselves. VOC's name images alone: the boxes are read below `voc_root`, and K of them
    are chosen as `freeze_lists` does. `classes` are the vocabulary and the name of its novel set where they are known;
    else all classes that the files know count, with those of `novel`.

    Raises DataError where the folder holds no such seed, a file is broken, or VOC's annotations are missing.
    """
    form, files = tfa_files(folder, seed)
    if form == "coco":
        return _read_coco(files, seed=seed, novel=novel, classes=classes)
    if form == "voc":
        return _read_voc(files, seed=seed, novel=novel, classes=classes, root=voc_root)
    raise DataError(f"{folder}: holds no files of seed {seed} in TFA's layout; {_FETCH}")


def stems_of_list(path: Path) -> list[str]:
    """The stems of the image paths in one of TFA's VOC lists."""
    lines = read_text(path, what="list of images").splitlines()
    return [PurePosixPath(line.strip().replace("\\", "/")).stem for line in lines if line.strip()]


def freeze_voc_files(files: Files, dataset: AnnotatedDataset, *, seed: int) -> dict[int, ClassShots]:
    """Label -> the frozen boxes that a seed's lists mean. Raises DataError where a listed image is unknown."""
    position_of = {info.image_id: position for position, info in enumerate(dataset.images)}
    pools = class_pools(dataset)
    frozen = {}
    for label, name in enumerate(dataset.vocabulary.names):
        lists = {}
        for shots, by_class in files.items():
            if name in by_class:
                stems = stems_of_list(by_class[name])
                unknown = [stem for stem in stems if stem not in position_of]
                if unknown:
                    raise DataError(f"{by_class[name]}: {listing(unknown, most=3)} not among the training images")
                lists[shots] = np.array([position_of[stem] for stem in stems], dtype=np.int64)
        if lists:
            frozen[label] = freeze_lists(lists, pools[label].usable, seed=seed, fill=False)
            short = sorted(set(lists).difference(frozen[label].rows))
            if short:
                raise DataError(
                    f"{files[short[0]][name]}: its images hold fewer than {counted(short[0], 'box')} of {name!r} "
                    "below the VOC folder; is it the data of this split?"
                )
    return frozen


def _read_coco(files: Files, *, seed: int, novel: NovelChoice, classes: Classes | None) -> SeedShots:
    documents = {
        (k, name): read_coco_document(path) for k, by_class in files.items() for name, path in by_class.items()
    }
    rows: dict[Any, dict[str, Any]] = {}  # Any: JSON
    for (shots, name), document in documents.items():
        for row in _annotations(document, files[shots][name]):
            if rows.setdefault(row["id"], row) != row:
                raise DataError(
                    f"{files[shots][name]}: annotation {row['id']} is another than in the other files of seed {seed}; "
                    f"{_FETCH}"
                )
    first = next(iter(documents.values()))
    images = {image["id"]: image for document in documents.values() for image in document["images"]}
    whole = {"images": [*images.values()], "annotations": [*rows.values()], "categories": first["categories"]}
    some_file = next(iter(next(iter(files.values())).values()))
    dataset = coco_dataset_of(whole, path=some_file)
    vocabulary, novel_set = classes or novel_vocabulary(dataset.vocabulary, novel, alphabetical=False)
    dataset = dataset.with_vocabulary(vocabulary)
    _check_classes(files, vocabulary.names)
    row_of = {annotation_id: row for row, annotation_id in enumerate(dataset.annotation_ids.tolist())}

    def rows_of(shots: int, name: str) -> list[int]:
        ids = [row["id"] for row in documents.get((shots, name), {}).get("annotations", [])]
        unknown = [annotation_id for annotation_id in ids if annotation_id not in row_of]
        if unknown:
            raise DataError(
                f"{files[shots][name]}: annotation {unknown[0]} is not of an image and a category that the file lists; "
                f"{_FETCH}"
            )
        return [row_of[annotation_id] for annotation_id in ids]

    by_shots = {
        k: tuple(np.array(rows_of(k, name), dtype=np.int64) for name in vocabulary.names) for k in sorted(files)
    }
    return SeedShots(benchmark_of(dataset, novel_set), novel_set, seed, dataset, by_shots)


def _annotations(document: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:  # Any: JSON
    """The annotations of one of TFA's files, each with its id."""
    rows = document.get("annotations", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and type(row.get("id")) is int for row in rows):
        raise DataError(f"{path}: its annotations are not a list of boxes with whole numbers as ids; {_FETCH}")
    return rows


def _read_voc(files: Files, *, seed: int, novel: NovelChoice, classes: Classes | None, root: Path | None) -> SeedShots:
    some_file = next(iter(next(iter(files.values())).values()))
    if root is None:
        raise DataError(
            f"{some_file.parent}: lists images alone; name the folder that holds VOC2007 and VOC2012 with `voc`, "
            "for their boxes"
        )
    stems = dict.fromkeys(
        stem for by_class in files.values() for path in by_class.values() for stem in stems_of_list(path)
    )
    dataset = read_voc_dataset(root, stems=list(stems))
    vocabulary, novel_set = classes or novel_vocabulary(dataset.vocabulary, novel, alphabetical=True)
    dataset = dataset.with_vocabulary(vocabulary)
    _check_classes(files, vocabulary.names)
    frozen = freeze_voc_files(files, dataset, seed=seed)
    return seed_shots(dataset, frozen, seed=seed, shots=sorted(files), novel_set=novel_set)


def _check_classes(files: Files, names: Sequence[str]) -> None:
    for by_class in files.values():
        for name, path in by_class.items():
            if name not in names:
                raise DataError(
                    f"{path}: class {name!r} is not among the {counted(len(names), 'class')}{did_you_mean(name, names)}"
                )


PUBLISHED_SEED = 0


def read_published_seed(folder: Path | None, dataset: AnnotatedDataset, *, rule: Rule) -> dict[int, ClassShots]:
    """Label -> the published shots of seed 0 below `folder` (in seed0/ or in its root); nothing where there are none.

    Raises DataError where a file names a box or an image that the dataset does not have.
    """
    form, files = tfa_files(folder, PUBLISHED_SEED) if folder is not None else ("", {})
    if form != rule:
        return {}
    files = {shots: by_class for shots, by_class in files.items() if shots in LADDERS[rule]}
    return freeze_voc_files(files, dataset, seed=PUBLISHED_SEED) if rule == "voc" else _find_boxes(files, dataset)


def _find_boxes(files: Files, dataset: AnnotatedDataset) -> dict[int, ClassShots]:
    row_of = {annotation_id: row for row, annotation_id in enumerate(dataset.annotation_ids.tolist())}
    found: dict[int, ClassShots] = {}
    for label, name in enumerate(dataset.vocabulary.names):
        rows: dict[int, Rows] = {}
        for shots, by_class in files.items():
            if name in by_class:
                rows[shots] = _rows_of(by_class[name], dataset, label, row_of)
        if rows:
            images = {k: _in_order(dataset.image_positions[these]) for k, these in rows.items()}
            nothing: tuple[MarkKind, ...] = ()
            found[label] = ClassShots(rows, images, dict.fromkeys(rows, nothing))
    return found


def _rows_of(path: Path, dataset: AnnotatedDataset, label: int, row_of: Mapping[int, int]) -> Rows:
    rows = []
    for annotation in _annotations(read_coco_document(path), path):
        row = row_of.get(annotation["id"])
        if row is None or dataset.labels[row] != label or dataset.boxes_xywh[row].tolist() != annotation.get("bbox"):
            raise DataError(
                f"{path}: annotation {annotation['id']} is not in the training data as it is there; is it of "
                "other data? (`published=none` draws seed 0 instead)"
            )
        rows.append(row)
    return np.array(rows, dtype=np.int64)


def _in_order(positions: Rows) -> Rows:
    return np.array(list(dict.fromkeys(positions.tolist())), dtype=np.int64)
