"""What datasets say: their images, classes and boxes, whatever form their files have."""

from risf_core.choices import DatasetKind
from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.datasets.coco import read_coco_dataset, read_coco_rows
from risf_core.datasets.held_out import HeldOut, read_held_out
from risf_core.datasets.index import (
    DatasetIndex,
    check_categories,
    check_images,
    images_by_id,
    index_of,
    read_coco_document,
    read_coco_index,
)
from risf_core.datasets.reading import read_dataset_index, read_ground_truth
from risf_core.datasets.voc import VOC_TEST, VOC_TRAINVAL, read_voc_dataset, read_voc_test
from risf_core.datasets.yolo import read_yolo_dataset
from risf_core.photos import ImageInfo

__all__ = [
    "VOC_TEST",
    "VOC_TRAINVAL",
    "AnnotatedDataset",
    "DatasetIndex",
    "DatasetKind",
    "HeldOut",
    "ImageInfo",
    "Source",
    "check_categories",
    "check_images",
    "images_by_id",
    "index_of",
    "read_coco_dataset",
    "read_coco_document",
    "read_coco_index",
    "read_coco_rows",
    "read_dataset_index",
    "read_ground_truth",
    "read_held_out",
    "read_voc_dataset",
    "read_voc_test",
    "read_yolo_dataset",
]
