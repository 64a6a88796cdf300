"""The images and classes that a file of detections names itself."""

from __future__ import annotations

from risf_core.datasets.index import images_by_id
from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.formats.rows import PhotoKey, Rows
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


def id_of(photo: PhotoKey) -> ImageId:
    """The id of a photo, else its name."""
    return photo.image_id if photo.image_id is not None else str(photo.name)


def own_images(rows: Rows) -> dict[ImageId, ImageInfo]:
    """The images that the file lists, else those of its rows."""
    if rows.envelope is not None and "images" in rows.envelope:
        return images_by_id(rows.envelope["images"])
    return {id_of(photo): ImageInfo(id_of(photo), photo.name) for photo in rows.photos}


def own_vocabulary(rows: Rows) -> ClassVocabulary:
    """The classes that the file lists, else the names of its rows' classes, under their own ids where it has them.

    Raises DataError where it names no classes.
    """
    if rows.envelope is not None and "categories" in rows.envelope:
        return ClassVocabulary.from_categories(rows.envelope["categories"])
    names = [key.name for key in rows.classes]
    if not names or None in names:
        raise DataError(f"{rows.source}: names no classes; pass `annotations` or `classes` (or set one in risf.yaml)")
    ids = [key.category_id for key in rows.classes]
    numbers = [number for number in ids if number is not None]
    own = tuple(numbers) if len(numbers) == len(names) else tuple(range(1, len(names) + 1))
    return ClassVocabulary(tuple(str(name) for name in names), own, counted=len(numbers) < len(names))
