"""What `rescore` reads: detections under a dataset's own ids, and the photos they are of."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.choices import OnUnmatched
from risf_core.datasets.index import DatasetIndex
from risf_core.datasets.reading import read_dataset_index
from risf_core.detections import Detections, ImageId, factorize
from risf_core.errors import ConfigError, DataError, ImageError, counted, listing
from risf_core.files import display_name
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import RecognisedDetections, read_detections_file
from risf_core.images import upright_size
from risf_core.photos import FoundPhotos, Photo, find_photos
from risf_core.vocabulary import ClassVocabulary, read_classes

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RescoreInputs:
    """A detections file, its classes, and where its photos are."""

    file: RecognisedDetections
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
    def unknown_categories(self) -> Sequence[int | str]:
        """What the file calls the categories that the classes lack: ids ascending, then names."""
        extras = self.file.detections.extras[self.file.detections.labels < 0]
        own = {row["category_name"] if row["category_id"] is None else row["category_id"] for row in extras}
        return sorted(own, key=lambda category: (isinstance(category, str), category))

    def with_sizes_of_photos(self) -> RescoreInputs:
        """The same with the size of each photo where the annotations state none, as relative boxes need it."""
        lacking = {i: photo for i, photo in self.photos.items() if self.file.images[i].size is None}
        sizes = _photo_sizes(replace(self.found, photos=lacking))
        sized = {i: replace(self.file.images[i], height=height, width=width) for i, (height, width) in sizes.items()}
        return replace(self, file=replace(self.file, images={**self.file.images, **sized}))

    def matching(self) -> dict[str, Any]:
        """What was matched and what was not, as plain JSON values."""
        return {
            "recognised": self.file.outcome,
            "folders": [str(folder) for folder in self.folders],
            "images_found": len(self.found.photos),
            "found_by": dict(self.found.ways),
            "images_without_photo": list(self.found.missing),
            "images_not_in_annotations": list(self.found.unknown),
            "rows_of_unknown_category": int((self.file.detections.labels < 0).sum()),
            "unknown_categories": list(self.unknown_categories),
        }


def read_inputs(
    detections: Path | str,
    *,
    annotations: Path | DatasetIndex | None = None,
    classes: Path | None = None,
    first_id: int | None = None,
    images: Sequence[Path] = (),
    need_photos: bool = True,
    novel: str | None = None,
    conventions: Conventions | None = None,
    on_unmatched: OnUnmatched = "error",
    class_agnostic: bool = False,
) -> RescoreInputs:
    """Detections of a file of any form (``-``: stdin) with their classes and photos.

    Classes come from `annotations` (what `read_dataset_index` reads, or what was read of it), from `classes` (names
    whose ids the file states, or else count from `first_id`, by default 1), or from the detections file itself. Photos
    are looked for in the folders `images`, unless `need_photos` is false. Boxes are checked against the sizes that the
    annotations state, and else against those of the photos. Rows whose category, image or photo is unknown raise an
    error that names the likely cause, are kept as they are, or are dropped, as `on_unmatched` says.

    With `class_agnostic` all rows are of category 1, which means nothing: their labels are -1.

    Raises DataError also under "keep" and "drop" where the ids are plainly those of another convention, under "keep"
    where a row kept as it is would come to mean another image or class, and always where rows are re-scored ones: the
    detector's own scores would be lost.
    """
    if annotations is not None and classes is not None:
        raise ConfigError("`annotations` and `classes` both name the classes; pass one of them")
    if first_id is not None and classes is None:
        raise ConfigError("`first_id` counts the names of `classes`; pass both")
    if not images and need_photos:
        raise ConfigError("`images` is missing: name the folder of the photos, or write `images: ...` into risf.yaml")
    name = display_name(detections)
    index = read_dataset_index(annotations) if isinstance(annotations, Path) else annotations
    vocabulary = index.vocabulary if index is not None else None
    if classes is not None:
        vocabulary = read_classes(classes, first_id=first_id)
    if class_agnostic and vocabulary is None:
        raise ConfigError("`class_agnostic` needs the names of classes to find: pass `annotations` or `classes`")
    file = read_detections_file(
        detections,
        None if index is None else index.images,
        ClassVocabulary(("object",), (1,)) if class_agnostic else vocabulary,
        conventions=conventions,
        sizes_of=lambda image_ids, stated: _photo_sizes(find_photos(image_ids, images=stated, folders=images)),
        on_unmatched=on_unmatched,
    )
    if class_agnostic and vocabulary is not None:
        rows = np.arange(len(file.detections))
        nameless = replace(file.detections, labels=np.full_like(rows, -1))
        nameless = nameless.with_extras(rows, {"category_id": np.ones_like(rows)})
        file = replace(file, detections=nameless, vocabulary=vocabulary)
    if not len(file.detections):
        _log.warning("%s: holds no detections", name)
    _refuse_rescored(file.detections, name=name)
    if novel is not None:
        file = replace(file, vocabulary=file.vocabulary.with_novel_choice(novel))
    wanted = factorize(file.detections.image_ids)[1] if need_photos else []
    found = find_photos(wanted, images=file.images, folders=images)
    if need_photos and (on_unmatched == "error" or not found.photos):
        found.refuse_missing("pass every folder with `images`, or `on_unmatched=keep` to leave their rows as they are")
    elif found.missing:
        what = "stay as they are" if on_unmatched == "keep" else "are dropped"
        _log.warning("%s; their rows %s", found.describe_missing(), what)
        if on_unmatched == "drop":
            kept = np.array([image_id in found.photos for image_id in file.detections.image_ids.tolist()], dtype=bool)
            file = file.with_detections(file.detections[kept])
    read = RescoreInputs(file, found, images)
    for what, strangers in (("image_id", found.unknown), ("category_id", read.unknown_categories)):
        if strangers and on_unmatched == "keep" and not class_agnostic:
            listed = listing([repr(stranger) for stranger in strangers])
            _log.warning("%s %s unknown to the annotations or classes; their rows stay as they are", what, listed)
    return read


def _refuse_rescored(detections: Detections, *, name: str) -> None:
    shares = {"score_detector", "score_clip", "score_support", "score_photo", "clip_names"}
    again = sum(1 for extras in detections.extras if extras and extras.keys() & shares)
    if again:
        raise DataError(
            f"{name}: {counted(again, 'row')} with score_detector or score_clip: this file has been re-scored before; "
            "pass the detector's own file (its scores are score_detector in the re-scored one)"
        )


def _photo_sizes(found: FoundPhotos) -> dict[ImageId, tuple[int, int]]:
    """(height, width) by image id, from the heads of the photos."""
    sizes = {}
    for image_id, photo in found.photos.items():
        with contextlib.suppress(ImageError):  # reported when the photo is decoded, if it comes to that
            sizes[image_id] = upright_size(photo.path)
    return sizes
