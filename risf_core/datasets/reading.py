"""A data set in whatever form it has: its labelled boxes, or its images and classes alone."""

from __future__ import annotations

import logging
from pathlib import Path

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import coco_dataset_of, without_mask
from risf_core.datasets.index import DatasetIndex, read_coco_document, read_coco_index
from risf_core.datasets.voc import read_voc_test
from risf_core.files import display_name

_log = logging.getLogger(__name__)


def read_ground_truth(path: Path | str) -> AnnotatedDataset:
    """The labelled boxes of a COCO JSON, or of a folder in Pascal VOC's form (its test list, else what it holds).

    The image ids of a VOC folder are the file stems, its category ids count the class names of its annotation
    files from 1. What reading left out or changed is logged. Raises DataError, in one line, where a file is at fault.
    """
    path = Path(path)
    if path.is_dir():
        return read_voc_test(path)
    document = read_coco_document(path, object_hook=without_mask)
    if any("neg_category_ids" in image for image in document["images"]):
        _log.warning(
            "%s: LVIS's images are labelled for some classes only, but detections of all classes are judged here: "
            "AP is lower than LVIS's own",
            display_name(path),
        )
    dataset = coco_dataset_of(document, path=path)
    for note in dataset.notes:
        _log.warning("%s: %s", display_name(path), note)
    return dataset


def read_dataset_index(path: Path) -> DatasetIndex:
    """The images and classes of what `read_ground_truth` reads; the boxes of a COCO JSON are not looked at."""
    if not path.is_dir():
        return read_coco_index(path)
    dataset = read_voc_test(path)
    return DatasetIndex(dataset.vocabulary, dataset.images_by_id)
