"""What `rescore` reads: detections under a dataset's own ids, and the photos they are of."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.choices import CategoryConvention, ImageIdConvention, OnUnmatched
from risf_core.datasets import DatasetIndex, images_by_id, read_dataset_index
from risf_core.detections import Detections, ImageId, factorize
from risf_core.errors import ConfigError, DataError, ImageError, counted, listing
from risf_core.files import display_name
from risf_core.formats.coco import DetectionsFile, read_detections, with_boxes_of
from risf_core.formats.conventions import Conventions
from risf_core.formats.image_ids import fit_image_ids
from risf_core.images import upright_size
from risf_core.photos import FoundPhotos, ImageInfo, Photo, find_photos
from risf_core.vocabulary import ClassVocabulary, read_class_list, read_classes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RescoreInputs:
    """A detections file, its classes, and where its photos are."""

    file: DetectionsFile
    found: FoundPhotos
    folders: Sequence[Path]

    @property
    def vocabulary(self) -> ClassVocabulary:
        """The classes, novel ones marked."""
        return self.file.vocabulary

    @property
    def photos(self) -> Mapping[ImageId, Photo]:
        """The photo of each image id that has one."""
        return self.found.photos

    @property
    def unknown_category_ids(self) -> Sequence[int]:
        """The file's own ids of the categories that the classes lack, ascending."""
        return _unknown_category_ids(self.file)

    def matching(self) -> dict[str, Any]:
        """What was matched and what was not, as plain JSON values."""
        return {
            "folders": [str(folder) for folder in self.folders],
            "images_found": len(self.found.photos),
            "found_by": dict(self.found.ways),
            "images_without_photo": list(self.found.missing),
            "images_not_in_annotations": list(self.found.unknown),
            "rows_of_unknown_category": int((self.file.detections.labels < 0).sum()),
            "unknown_category_ids": list(self.unknown_category_ids),
        }


def read_inputs(
    detections: Path | str,
    *,
    annotations: Path | DatasetIndex | None = None,
    classes: Path | None = None,
    first_id: int | None = None,
    images: Sequence[Path] = (),
    novel: str | None = None,
    conventions: Conventions | None = None,
    on_unmatched: OnUnmatched = "error",
    drop_other_images: bool = False,
) -> RescoreInputs:
    """Detections (``-``: stdin) with their classes and photos.

    Classes come from `annotations` (a COCO JSON or a folder in Pascal VOC's form, boxes unread, or what
    was read of one), from `classes` (names whose ids the file states, or else count from `first_id`, by default 1), or
    from the detections file itself where it is a COCO dataset dict. Photos are looked for in the folders `images`.
    Boxes are checked against the sizes that the annotations state, and else against those of the photos. Rows whose
    category, image or photo is unknown raise an error that names the likely cause, are kept as they are, or are
    dropped, as `on_unmatched` says.

    With `drop_other_images` rows of images that the annotations lack are left out with a warning, as long as some row
    is of an image that they have.

    Raises DataError also under "keep" and "drop" where the ids are plainly those of another convention, under "keep"
    where a row kept as it is would come to mean another image or class, and always where rows are re-scored ones: the
    detector's own scores would be lost.
    """
    conventions = conventions or Conventions()
    category_ids, image_ids = conventions.category_ids or "dataset", conventions.image_ids or "dataset"
    box_form = conventions.boxes or "xywh"
    if annotations is not None and classes is not None:
        raise ConfigError("`annotations` and `classes` both name the classes; pass one of them")
    if first_id is not None and classes is None:
        raise ConfigError("`first_id` counts the names of `classes`; pass both")
    if not images:
        raise ConfigError("`images` is missing: name the folder of the photos, or write `images: ...` into risf.yaml")
    name = display_name(detections)
    index = read_dataset_index(annotations) if isinstance(annotations, Path) else annotations
    vocabulary = index.vocabulary if index is not None else None
    if classes is not None:
        vocabulary = read_classes(classes, first_id=first_id)
    file = read_detections(
        detections,
        vocabulary,
        boxes=None,
        category_ids=category_ids,
        on_unknown_category="error" if on_unmatched == "error" else "keep",
        zero_based_option=_zero_based_option(classes),
    )
    if not len(file.detections):
        _log.warning("%s: holds no detections", name)
    _refuse_rescored(file.detections, name=name)
    if on_unmatched == "drop":
        file = file.with_detections(_of_known_categories(file.detections, name=name))
    if category_ids != "dataset":
        _refuse_taken_ids(file, category_ids, name=name)
    if novel is not None:
        named = file.vocabulary.with_novel_choice(novel)
        file = DetectionsFile(file.detections, named, file.envelope)
    if index is None and "images" in (file.envelope or {}):
        images_inside = images_by_id((file.envelope or {})["images"])  # a dataset dict knows its own images
        index = DatasetIndex(file.vocabulary, images_inside)
    if index is not None:
        if drop_other_images:
            table = _of_labelled(file.detections, index.images, convention=image_ids, name=name)
        else:
            table = fit_image_ids(
                file.detections, index.images, convention=image_ids, on_unmatched=on_unmatched, name=name
            )
        file = file.with_detections(table)
    elif image_ids != "dataset":
        raise ConfigError(f"`image_ids={image_ids}` needs `annotations`, whose images the ids are to be matched with")
    stated = None if index is None else index.images
    found = find_photos(factorize(file.detections.image_ids)[1], images=stated, folders=images)
    if on_unmatched == "error":
        found.refuse_missing("pass every folder with `images`, or `on_unmatched=keep` to leave their rows as they are")
    elif found.missing:
        what = "stay as they are" if on_unmatched == "keep" else "are dropped"
        _log.warning("%s; their rows %s", found.describe_missing(), what)
        if on_unmatched == "drop":
            kept = np.array([image_id in found.photos for image_id in file.detections.image_ids.tolist()], dtype=bool)
            file = file.with_detections(file.detections[kept])
    read = RescoreInputs(file, found, images)
    for what, strangers in (("image_id", found.unknown), ("category_id", read.unknown_category_ids)):
        if strangers and on_unmatched == "keep":
            listed = listing([repr(stranger) for stranger in strangers])
            _log.warning("%s %s unknown to the annotations or classes; their rows stay as they are", what, listed)
    sizes = _sizes(index, found, from_photos=box_form != "xyxy")  # pixel corners are read without
    table = with_boxes_of(file.detections, sizes, convention=box_form, name=name)
    return replace(read, file=file.with_detections(table))


def _of_labelled(
    detections: Detections, images: Mapping[ImageId, ImageInfo], *, convention: ImageIdConvention, name: str
) -> Detections:
    """The rows of images that have labels, the others left out with a warning; an error where there are only others."""
    table = fit_image_ids(detections, images, convention=convention, on_unmatched="drop", name=name)
    if len(detections) and not len(table):
        fit_image_ids(detections, images, convention=convention, name=name)  # which says what does not fit
    if len(table) < len(detections):
        left_out = len(detections) - len(table)
        _log.warning("%s: %d of %d rows are of images without labels; left out", name, left_out, len(detections))
    return table


def _refuse_rescored(detections: Detections, *, name: str) -> None:
    shares = {"score_detector", "score_clip", "score_support", "clip_names"}
    again = sum(1 for extras in detections.extras if extras and extras.keys() & shares)
    if again:
        raise DataError(
            f"{name}: {counted(again, 'row')} with score_detector or score_clip: this file has been re-scored before; "
            "pass the detector's own file (its scores are score_detector in the re-scored one)"
        )


def _of_known_categories(detections: Detections, *, name: str) -> Detections:
    kept = detections.labels >= 0
    if not kept.all():
        _log.warning("%s: %d of %d rows are of unknown categories; dropped", name, int((~kept).sum()), len(kept))
    return detections[kept]


def _zero_based_option(classes: Path | None) -> str:
    """What to pass where category ids turn out to count from 0: a plain list of names says nothing of its ids."""
    is_plain = classes is not None and read_class_list(classes)[1] is None
    return "`first_id=0`" if is_plain else "`category_ids=positions`"


def _unknown_category_ids(file: DetectionsFile) -> list[int]:
    return sorted({extras["category_id"] for extras in file.detections.extras[file.detections.labels < 0]})


def _refuse_taken_ids(file: DetectionsFile, convention: CategoryConvention, *, name: str) -> None:
    """A row that is left as it is keeps its category id, which in the output must not be the id of a class."""
    taken = [category_id for category_id in _unknown_category_ids(file) if category_id in file.vocabulary.label_by_id]
    if taken:
        meant = file.vocabulary.names[file.vocabulary.label_of(taken[0])]
        raise DataError(
            f"{name}: category_id {listing(taken)} is none of the {convention} of the {len(file.vocabulary)} classes, "
            f"and left as it is it would mean another class in the output ({taken[0]} is {meant!r}); leave these rows "
            "out"
        )


def _sizes(index: DatasetIndex | None, found: FoundPhotos, *, from_photos: bool) -> dict[ImageId, tuple[int, int]]:
    """(height, width) by image id: stated, or else read from the photo's head."""
    sizes = dict(index.image_sizes) if index is not None else {}
    for image_id, photo in found.photos.items() if from_photos else ():
        if image_id not in sizes:
            with contextlib.suppress(ImageError):  # reported when the photo is decoded, if it comes to that
                sizes[image_id] = upright_size(photo.path)
    return sizes
