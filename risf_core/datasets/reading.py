"""The images and classes of a data set, whatever form it has."""

from __future__ import annotations

from pathlib import Path

from risf_core.datasets.index import DatasetIndex, read_coco_index
from risf_core.datasets.voc import read_voc_test


def read_dataset_index(path: Path) -> DatasetIndex:
    """The images and classes of a COCO JSON, or of a folder in Pascal VOC's form (its test list, else what it holds).

    The image ids of a VOC folder are the file stems, its category ids count from 1 in alphabetical order.
    """
    if not path.is_dir():
        return read_coco_index(path)
    dataset = read_voc_test(path)
    return DatasetIndex(dataset.vocabulary, {info.image_id: info for info in dataset.images})
