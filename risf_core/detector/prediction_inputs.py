"""What `predict` reads besides the weights: photos under their ids, and the classes of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from risf_core.choices import OnUnreadable
from risf_core.datasets.reading import read_dataset_index
from risf_core.detections import ImageId
from risf_core.errors import ConfigError, DataError
from risf_core.photos import Photo, find_photos, list_photos
from risf_core.vocabulary import ClassVocabulary, read_classes


@dataclass(frozen=True)
class PredictionInputs:
    """The photos to look at, and the classes that their dataset has."""

    photos: Mapping[ImageId, Photo]
    vocabulary: ClassVocabulary | None  # None: neither annotations nor a class list were given
    without_photo: Sequence[ImageId]  # images of the annotations that have no file


@dataclass(frozen=True)
class PhotoChoice:
    """Which photos are used, and where their classes are named."""

    images: Sequence[Path]  # folders
    annotations: Path | None = None  # that list the images and name the classes; None: every photo of the folders
    classes: Path | None = None  # class names in their place
    first_id: int | None = None  # the category id of the first of them
    novel: str | None = None
    on_unreadable: OnUnreadable = "error"  # keep: photos that are missing or cannot be read are counted


def read_prediction_inputs(choice: PhotoChoice) -> PredictionInputs:
    """The photos of `annotations` found in the folders `images`, or without annotations all that are there.

    Annotations are a COCO JSON, or a folder in Pascal VOC's form. Without them a photo's id is its file's stem, as a
    number where it is one. Category ids and class names come from the annotations, or from `classes` as
    `read_classes` reads them. Raises DataError, ConfigError.
    """
    annotations, images, classes, first_id = choice.annotations, choice.images, choice.classes, choice.first_id
    if annotations is not None and classes is not None:
        raise ConfigError("`annotations` and `classes` both name the classes; pass one of them (`annotations=none`)")
    if first_id is not None and classes is None:
        raise ConfigError("`first_id` counts the names of `classes`; pass it together with `classes`")
    if not images:
        raise ConfigError("risf predict needs `images`; pass it, or write `images: ...` into risf.yaml")
    vocabulary = None
    if classes is not None:
        vocabulary = read_classes(classes, first_id=first_id)
    photos: Mapping[ImageId, Photo]
    missing: Sequence[ImageId] = ()
    if annotations is None:
        photos = _photos_by_stem(images)
    else:
        index = read_dataset_index(annotations)
        vocabulary = index.vocabulary
        found = find_photos(index.images, images=index.images, folders=images)
        photos, missing = found.photos, found.missing
        if not index.images:
            raise DataError(f"{annotations}: lists no images, so there is nothing to predict on")
        if missing and not (choice.on_unreadable == "keep" and photos):
            found.refuse_missing(
                "pass every folder with `images`, `on_unreadable=keep` to continue without them, or `annotations=none` "
                "to take all photos of the folders",
                name=str(annotations),
            )
    if vocabulary is not None:
        vocabulary = vocabulary.with_novel_choice(choice.novel)
    return PredictionInputs(photos, vocabulary, missing)


def _photos_by_stem(folders: Sequence[Path]) -> dict[ImageId, Photo]:
    photos: dict[ImageId, Photo] = {}
    for path in (path for folder in folders for path in list_photos(folder)):
        stem = path.stem
        image_id: ImageId = int(stem) if stem.isascii() and stem.isdigit() else stem
        if image_id in photos:
            raise DataError(
                f"{photos[image_id].path} and {path} would both be image_id {image_id!r}; "
                "rename one, or pass `annotations`, which give each file its own id"
            )
        photos[image_id] = Photo(path)
    return photos
