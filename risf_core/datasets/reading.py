"""A data set in whatever form it has: its labelled boxes, or its images and classes alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import coco_dataset_of, without_mask
from risf_core.datasets.index import DatasetIndex, read_coco_document, read_coco_index
from risf_core.datasets.voc import read_voc_dataset, read_voc_test
from risf_core.datasets.yolo import read_yolo_dataset, read_yolo_index
from risf_core.datasets.yolo_layout import TRAINING_PARTS, is_yolo, read_yolo_layout
from risf_core.files import display_name

Purpose = Literal["test", "train"]

ROBOFLOW_COCO = "_annotations.coco.json"
_YOLO_PARTS: Mapping[Purpose, Sequence[str]] = {"test": ("val", "valid", "test", "train"), "train": TRAINING_PARTS}
_EXPORT_PARTS: Mapping[Purpose, Sequence[str]] = {"test": ("test", "valid", "val", "train"), "train": ("train",)}

_log = logging.getLogger(__name__)


def read_ground_truth(path: Path | str, *, purpose: Purpose = "test") -> AnnotatedDataset:
    """The labelled boxes of a COCO JSON, a folder in Pascal VOC's form, a YOLO data.yaml, or the root of an export.

    Of data with parts the boxes to test on are those of data.yaml's val, else test, else train; of another export's
    test folder, else valid, else train; and of VOC's test list, else its val list. Which was read is logged. For
    training they are the train part. The image ids of a VOC folder are the file stems, its category ids count the class
    names of its annotation files from 1. What reading left out or changed is logged.

    Raises DataError, in one line, where a file is at fault.
    """
    path = coco_file(Path(path), purpose)
    if is_yolo(path):
        parts = _YOLO_PARTS[purpose]
        dataset = read_yolo_dataset(path, parts=parts)
        _log.info("%s: read by its %s, %d images", path, read_yolo_layout(path, parts=parts).part, len(dataset.images))
    elif path.is_dir():
        dataset = read_voc_test(path) if purpose == "test" else read_voc_dataset(path)
    else:
        dataset = _read_coco(path)
    for note in dataset.notes:
        _log.warning("%s: %s", display_name(path), note)
    return dataset


def _read_coco(path: Path) -> AnnotatedDataset:
    document = read_coco_document(path, object_hook=without_mask)
    if any("neg_category_ids" in image for image in document["images"]):
        _log.warning(
            "%s: LVIS's images are labelled for some classes only, but detections of all classes are judged here: "
            "AP is lower than LVIS's own",
            display_name(path),
        )
    return coco_dataset_of(document, path=path)


def read_dataset_index(path: Path) -> DatasetIndex:
    """The images and classes of what `read_ground_truth` reads; the boxes of a COCO JSON are not looked at."""
    path = coco_file(path, "test")
    if is_yolo(path):
        return read_yolo_index(path, parts=_YOLO_PARTS["test"])
    if not path.is_dir():
        return read_coco_index(path)
    dataset = read_voc_test(path)
    return DatasetIndex(dataset.vocabulary, dataset.images_by_id)


def coco_file(path: Path, purpose: Purpose) -> Path:
    """The COCO JSON of a folder that Roboflow exported (RF20-VL and RF100-VL are such), its part by purpose.

    Any other path comes back as it is. Which part was chosen is logged.
    """
    if not path.is_dir() or is_yolo(path):
        return path
    found = [path / part / ROBOFLOW_COCO for part in ("", *_EXPORT_PARTS[purpose])]
    file = next((file for file in found if file.is_file()), None)
    if file is None:
        return path
    _log.info("%s: read by its %s", path, file.relative_to(path))
    return file
