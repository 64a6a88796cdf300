"""What a dataset says of its images: ids, files, sizes and classes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.datasets.coco_values import tidy_categories, tidy_images
from risf_core.detections import ImageId
from risf_core.errors import DataError, excerpt
from risf_core.files import display_name, read_json
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)

_NEVER_JSON = (".txt", ".csv", ".xml", ".names", ".zip")


@dataclass(frozen=True)
class DatasetIndex:
    """The images and classes of a dataset, without its boxes."""

    vocabulary: ClassVocabulary
    images: Mapping[ImageId, ImageInfo]


def read_coco_document(
    path: Path | str, *, object_hook: Callable[[dict[str, Any]], Any] | None = None
) -> dict[str, Any]:
    """A COCO JSON of ground truth as it is, checked for its lists of images and categories.

    `object_hook` maps each object of the file as it is read; it must leave images and categories as they are.
    """
    name = display_name(path)
    if Path(path).suffix.lower() in _NEVER_JSON and Path(path).is_file():
        raise DataError(
            f"{name}: is not a COCO JSON, a folder in Pascal VOC's form or a YOLO data.yaml, whose boxes and images "
            "are needed here; name one of these"
        )
    content = read_json(path, what="annotations file", object_hook=object_hook)
    if not isinstance(content, dict):
        raise DataError(
            f"{name}: holds {type(content).__name__}, not a COCO dataset (an object with images, annotations and "
            "categories); a list is a detections file"
        )
    for part, tidy in (("images", tidy_images), ("categories", tidy_categories)):
        if isinstance(content.get(part), list):
            tidy(content[part])
    check_images(content.get("images"), name)
    content["categories"] = _without_roots(content.get("categories"), content.get("annotations"), name)
    check_categories(content["categories"], name)
    return content


def read_coco_index(path: Path | str) -> DatasetIndex:
    """The images and categories of a COCO JSON; its boxes are not looked at."""
    return index_of(read_coco_document(path))


def index_of(document: Mapping[str, Any]) -> DatasetIndex:
    """The images and categories of a COCO dataset that `read_coco_document` has checked."""
    return DatasetIndex(
        vocabulary=ClassVocabulary.from_categories(document["categories"]),
        images=images_by_id(document["images"]),
    )


def images_by_id(images: Iterable[Mapping[str, Any]]) -> dict[ImageId, ImageInfo]:
    """What a COCO file's `images`, checked by `check_images`, say of each image."""
    return {image["id"]: image_info(image) for image in images}


def _without_roots(categories: Any, annotations: Any, name: str) -> Any:  # Any: JSON, not yet checked
    """The categories but for roots without boxes that only group others (Roboflow writes such), with a warning."""
    if not isinstance(categories, list) or not isinstance(annotations, list) or None in annotations:
        return categories
    rows = [row for row in categories if isinstance(row, dict) and isinstance(row.get("name"), str)]
    names = {row["name"] for row in rows}
    parents = {str(row.get("supercategory")) for row in rows}
    roots = [row for row in rows if row["name"] in parents and str(row.get("supercategory")) not in names]
    used = {str(row.get("category_id")) for row in annotations if isinstance(row, dict)} if roots else set()
    for root in (root for root in roots if not {str(root.get("id")), root["name"]} & used):
        _log.warning("%s: category %r (id %s) only groups others: left out", name, root["name"], root["id"])
        categories = [row for row in categories if row is not root]
    return categories


def check_categories(categories: object, name: str) -> None:
    """Raises DataError, `name` in it, where this is not a list of COCO categories, or two have one id or name."""
    if not isinstance(categories, list):
        raise DataError(f"{name}: has no list of categories; a COCO dataset has images, annotations and categories")
    for category in categories:
        if (
            not isinstance(category, dict)
            or type(category.get("id")) is not int
            or not isinstance(category.get("name"), str | int | float)
        ):
            raise DataError(f"{name}: category {excerpt(category)} needs a whole-numbered id and a name")
    try:
        ClassVocabulary.from_categories(categories)
    except DataError as error:
        raise DataError(f"{name}: {error}") from None


def check_images(images: object, name: str) -> None:
    """Raises DataError, `name` in it, where this is not a list of COCO images, or two of them have one id."""
    if not isinstance(images, list):
        raise DataError(f"{name}: has no list of images; a COCO dataset has images, annotations and categories")
    seen: dict[ImageId, Mapping[str, Any]] = {}
    for image in images:
        if not isinstance(image, dict) or type(image.get("id")) not in (int, str):
            raise DataError(f"{name}: image {excerpt(image)} needs an id (a whole number or a string)")
        if not {type(image.get("height")), type(image.get("width"))} <= {int, float, type(None)}:
            raise DataError(f"{name}: image {excerpt(image)}: height and width must be numbers")
        if type(image.get("file_name")) not in (str, type(None)):
            raise DataError(f"{name}: image {excerpt(image)}: file_name must be text")
        first = seen.setdefault(image["id"], image)
        if first is not image and first != image:
            pair = f"{excerpt(first.get('file_name'))} and {excerpt(image.get('file_name'))}"
            if first.get("file_name") == image.get("file_name"):
                raise DataError(f"{name}: image id {image['id']!r} is listed twice with different values; keep one")
            raise DataError(f"{name}: image id {image['id']!r} is both {pair}; give each image its own id")


def image_info(image: Mapping[str, Any]) -> ImageInfo:
    """What a COCO file's image says of itself; a side of 0, which some tools write, states nothing."""
    file_name = image.get("file_name")
    if file_name is None and image.get("coco_url"):  # LVIS names its images by their address alone
        file_name = "/".join(str(image["coco_url"]).split("/")[-2:])
    height, width = ((image.get(side) or 0) for side in ("height", "width"))
    return ImageInfo(image["id"], file_name, height if height > 0 else None, width if width > 0 else None)
