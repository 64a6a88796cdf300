"""What a dataset says of its images: ids, files, sizes and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.files import read_json
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class ImageInfo:
    """One image as its dataset states it; what the file leaves out is None."""

    image_id: ImageId
    file_name: str | None = None
    height: int | None = None
    width: int | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width), or None where the dataset does not say."""
        return None if self.height is None or self.width is None else (self.height, self.width)


@dataclass(frozen=True)
class DatasetIndex:
    """The images and classes of a dataset, without its boxes."""

    vocabulary: ClassVocabulary
    images: Mapping[ImageId, ImageInfo]

    @cached_property
    def image_sizes(self) -> dict[ImageId, tuple[int, int]]:
        """(height, width) by image id, where stated."""
        return {image_id: info.size for image_id, info in self.images.items() if info.size is not None}


def read_coco_document(path: Path | str) -> dict[str, Any]:
    """A COCO JSON of ground truth as it is, checked for its lists of images and categories."""
    content = read_json(path, what="annotations file")
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: holds {type(content).__name__}, not a COCO dataset (an object with images, annotations and "
            "categories); a list is a detections file"
        )
    for key in ("images", "categories"):
        if not isinstance(content.get(key), list):
            raise DataError(f"{path}: has no list of {key}; a COCO dataset has images, annotations and categories")
    for category in content["categories"]:
        if not isinstance(category, dict) or type(category.get("id")) is not int or "name" not in category:
            raise DataError(f"{path}: category {category!r} needs a whole-numbered id and a name")
    for image in content["images"]:
        if not isinstance(image, dict) or type(image.get("id")) not in (int, str):
            raise DataError(f"{path}: image {image!r} needs an id (a whole number or a string)")
    return content


def read_coco_index(path: Path | str) -> DatasetIndex:
    """The images and categories of a COCO JSON; its boxes are not looked at."""
    return index_of(read_coco_document(path))


def index_of(document: Mapping[str, Any]) -> DatasetIndex:
    """The images and categories of a COCO dataset that `read_coco_document` has checked."""
    return DatasetIndex(
        vocabulary=ClassVocabulary.from_categories(document["categories"]),
        images={image["id"]: _image_info(image) for image in document["images"]},
    )


def _image_info(image: Mapping[str, Any]) -> ImageInfo:
    file_name = image.get("file_name")
    if file_name is None and image.get("coco_url"):  # LVIS names its images by their address alone
        file_name = "/".join(str(image["coco_url"]).split("/")[-2:])
    return ImageInfo(image["id"], file_name, image.get("height"), image.get("width"))
