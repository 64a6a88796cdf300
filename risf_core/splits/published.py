"""The published seed 0, found among a data set's own boxes: no script drew it, it can only be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from risf_core.datasets import AnnotatedDataset, read_coco_document
from risf_core.errors import DataError
from risf_core.splits.drawing import LADDERS, Rule
from risf_core.splits.split import ClassShots, MarkKind, Rows
from risf_core.splits.tfa_reading import Files, freeze_voc_files, tfa_files

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
    for annotation in read_coco_document(path).get("annotations", []):
        row = row_of.get(annotation.get("id"))
        if row is None or dataset.labels[row] != label or dataset.boxes_xywh[row].tolist() != annotation.get("bbox"):
            raise DataError(
                f"{path}: annotation {annotation.get('id')!r} is not in the training data as it stands there; is it of "
                "other data? (--published none draws seed 0 instead)"
            )
        rows.append(row)
    return np.array(rows, dtype=np.int64)


def _in_order(positions: Rows) -> Rows:
    return np.array(list(dict.fromkeys(positions.tolist())), dtype=np.int64)
