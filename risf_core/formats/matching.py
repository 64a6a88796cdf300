"""Rows matched to a dataset: photos by file name, then id; classes by name, then id; and one line on how."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import BoxConvention, CategoryConvention, ImageIdConvention
from risf_core.detections import Detections, Extras, ImageId
from risf_core.errors import DataError, counted, did_you_mean, listing
from risf_core.formats.conventions import check_boxes, labels_of, to_xywh
from risf_core.formats.image_ids import fit_image_ids
from risf_core.formats.photo_names import PhotoNames
from risf_core.formats.rows import ClassKey, PhotoKey, Rows, names_listed
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

OnUnmatched = Literal["error", "drop", "keep"]

_ID_READINGS: Mapping[CategoryConvention, str] = {
    "dataset": "the annotations' own",
    "positions": "positions from 0",
    "positions-from-1": "positions from 1",
}


@dataclass(frozen=True)
class Matched:
    """Detections under a dataset's own ids and labels."""

    detections: Detections
    outcome: str  # what was matched by what, and what was left out, in one line
    dropped: int  # rows left out


def match(
    rows: Rows,
    images: Mapping[ImageId, ImageInfo],
    vocabulary: ClassVocabulary,
    *,
    image_ids: ImageIdConvention | None = None,
    category_ids: CategoryConvention | None = None,
    boxes: BoxConvention | None = None,
    aliases: Mapping[str, str] | None = None,
    sizes: Mapping[ImageId, tuple[int, int]] | None = None,
    on_unmatched: OnUnmatched = "error",
    on_unknown_category: Literal["error", "keep"] = "error",
) -> Matched:
    """The detections of `rows` under the ids of `images` and the labels of `vocabulary`, boxes as x, y, width, height.

    Args:
        image_ids: what the rows' image ids are; photos are then matched by them even where they have names.
        category_ids: what the rows' class ids are; classes are then matched by them even where they have names.
        boxes: the convention of the boxes, instead of the form's own.
        aliases: the name of a class in the file -> its name in the vocabulary.
        sizes: (height, width) by image id, where `images` do not state it.
    Raises DataError, in one line, where something cannot be matched or decided.
    """
    labels, by_class = _labels_of_classes(
        rows, vocabulary, convention=category_ids, aliases=aliases or {}, unknown=on_unknown_category
    )
    found, by_photo = _images_of_photos(rows, images, convention=image_ids, on_unmatched=on_unmatched)
    row_labels = labels[rows.class_codes] if len(labels) else np.empty(0, dtype=np.int64)
    table = Detections.from_rows(
        [found[code] for code in rows.photo_codes.tolist()],
        rows.boxes,
        rows.scores,
        row_labels,
        _with_unknown_ids(rows, row_labels),
    )
    dropped = 0
    if found.is_name_based:
        kept = np.array([code in found.known for code in range(len(rows.photos))], dtype=bool)[rows.photo_codes]
        if on_unmatched == "drop" and not kept.all():
            table = table[kept]
    else:
        table = fit_image_ids(table, images, convention=found.convention, on_unmatched=on_unmatched, name=rows.source)
    dropped = len(rows) - len(table)
    convention = boxes or rows.box_convention
    all_sizes = {**{i: info.size for i, info in images.items() if info.size is not None}, **(sizes or {})}
    check_boxes(table.boxes_xywh, table.image_ids, all_sizes, convention=convention, name=rows.source)
    xywh = to_xywh(table.boxes_xywh, table.image_ids, all_sizes, convention=convention, name=rows.source)
    photos = len(set(table.image_ids.tolist()))
    parts = [
        f"{counted(len(table), 'detection')} of {counted(photos, 'photo')} ({by_photo}), classes {by_class}",
        *([f"{counted(dropped, 'row')} left out: their photos are not in the annotations"] if dropped else []),
        *rows.notes,
    ]
    return Matched(replace(table, boxes_xywh=xywh), "; ".join(parts), dropped)


@dataclass(frozen=True)
class _FoundPhotos:
    """What stands for each photo code, and whether it is an id of the dataset already."""

    ids: Sequence[ImageId]
    known: frozenset[int]  # codes that were matched by name
    is_name_based: bool
    convention: ImageIdConvention = "dataset"

    def __getitem__(self, code: int) -> ImageId:
        return self.ids[code]


def _images_of_photos(
    rows: Rows,
    images: Mapping[ImageId, ImageInfo],
    *,
    convention: ImageIdConvention | None,
    on_unmatched: OnUnmatched,
) -> tuple[_FoundPhotos, str]:
    named = [code for code, photo in enumerate(rows.photos) if photo.name is not None]
    if convention is None and len(named) == len(rows.photos) and named:
        names = PhotoNames(images)
        known = {
            code: image_id
            for code in named
            if (image_id := names.find(str(rows.photos[code].name), rows.source)) is not None
        }
        have_ids = all(photo.image_id is not None for photo in rows.photos)
        if known or not have_ids:
            return _by_name(rows, known, images, on_unmatched=on_unmatched)
    ids = [_id_of(photo) for photo in rows.photos]
    if convention is None and rows.photos_by_position:
        if len(rows.photos) != len(images):
            raise DataError(
                f"{rows.source}: names no photos and has {counted(len(rows.photos), 'list')} of "
                f"detections, but the annotations have {counted(len(images), 'image')}; they must be those of the same "
                "photos in the same order; `image_ids=positions` allows fewer"
            )
        return _FoundPhotos(ids, frozenset(), False, "positions"), "by position in the annotations"
    reading = "dataset" if convention is None else convention
    return _FoundPhotos(ids, frozenset(), False, reading), f"by image id, `image_ids={reading}`"


def _id_of(photo: PhotoKey) -> ImageId:
    return photo.image_id if photo.image_id is not None else str(photo.name)


def _by_name(
    rows: Rows, known: Mapping[int, ImageId], images: Mapping[ImageId, ImageInfo], *, on_unmatched: OnUnmatched
) -> tuple[_FoundPhotos, str]:
    strangers = [str(photo.name) for code, photo in enumerate(rows.photos) if code not in known]
    if (strangers and on_unmatched == "error") or not known:
        files = [info.file_name or str(image_id) for image_id, info in images.items()]
        raise DataError(
            f"{rows.source}: photo {names_listed(strangers)} not among the {len(images)} images of the annotations "
            f"({names_listed(files)}){did_you_mean(strangers[0], files) if len(files) < 10000 else ''}"
        )
    first: dict[ImageId, int] = {}
    for code, image_id in known.items():
        other = first.setdefault(image_id, code)
        if other != code:
            raise DataError(
                f"{rows.source}: photos {rows.photos[other].name!r} and {rows.photos[code].name!r} are both image "
                f"{image_id!r} of the annotations; each photo must have one name"
            )
    ids = [known[code] if code in known else _id_of(photo) for code, photo in enumerate(rows.photos)]
    return _FoundPhotos(ids, frozenset(known), True), "by file name"


def _labels_of_classes(
    rows: Rows,
    vocabulary: ClassVocabulary,
    *,
    convention: CategoryConvention | None,
    aliases: Mapping[str, str],
    unknown: Literal["error", "keep"],
) -> tuple[NDArray[np.int64], str]:
    """The label of each class of the rows, and by what it was found."""
    if not rows.classes:
        return np.empty(0, dtype=np.int64), "none"
    if convention is None and all(key.name is not None for key in rows.classes):
        return _by_class_name(rows, vocabulary, aliases, unknown), "by name"
    ids = [key.category_id for key in rows.classes]
    if any(category_id is None for category_id in ids):
        raise DataError(f"{rows.source}: some classes have no id ({names_listed([k.name for k in rows.classes])})")
    numbers = [category_id for category_id in ids if category_id is not None]
    reading = convention or rows.category_ids or _only_reading(numbers, vocabulary, rows.source)
    labels = labels_of(numbers, vocabulary, convention=reading, unknown=unknown, name=rows.source)
    return labels, f"by id as {_ID_READINGS[reading]}, `category_ids={reading}`"


def _by_class_name(
    rows: Rows, vocabulary: ClassVocabulary, aliases: Mapping[str, str], unknown: Literal["error", "keep"]
) -> NDArray[np.int64]:
    label_by_name = {name: label for label, name in enumerate(vocabulary.names)}
    loose: dict[str, int] = {}
    for name, label in label_by_name.items():
        loose[_loosely(name)] = -1 if _loosely(name) in loose else label  # two that differ by case: neither
    labels = []
    strangers = []
    for key in rows.classes:
        name = aliases.get(str(key.name), str(key.name))
        label = label_by_name.get(name, loose.get(_loosely(name), -1))
        labels.append(label)
        if label < 0:
            strangers.append(name)
    if strangers and (unknown == "error" or len(strangers) == len(labels)):
        raise DataError(
            f"{rows.source}: class {names_listed(strangers)} not among the {len(vocabulary)} classes"
            f"{did_you_mean(strangers[0], vocabulary.names)}; name it in `aliases`"
            f"{', or go by ids with `category_ids`' if all(k.category_id is not None for k in rows.classes) else ''}"
        )
    return np.array(labels, dtype=np.int64)


def _loosely(name: str) -> str:
    return name.strip().casefold().replace("_", " ").replace("-", " ")


def _only_reading(ids: Sequence[int], vocabulary: ClassVocabulary, name: str) -> CategoryConvention:
    """The one reading that the ids allow. Raises DataError where several differ, or there is none."""
    count = len(vocabulary)
    readings: dict[CategoryConvention, dict[int, int]] = {
        "dataset": dict(vocabulary.label_by_id),
        "positions": {position: position for position in range(count)},
        "positions-from-1": {position + 1: position for position in range(count)},
    }
    fitting = {reading: [table[i] for i in ids] for reading, table in readings.items() if all(i in table for i in ids)}
    distinct: dict[tuple[int, ...], CategoryConvention] = {}
    for reading, labels in fitting.items():
        distinct.setdefault(tuple(labels), reading)
    if len(distinct) == 1:
        return next(iter(distinct.values()))
    if not distinct:
        own = f"{min(vocabulary.category_ids)}..{max(vocabulary.category_ids)}" if count else "none"
        raise DataError(
            f"{name}: class ids {listing(sorted(set(ids)))} fit the {count} classes neither as their ids ({own}) "
            f"nor as positions; pass the detector's own annotations"
        )
    either = " or ".join(f"{_ID_READINGS[reading]} (`category_ids={reading}`)" for reading in distinct.values())
    raise DataError(f"{name}: class ids {listing(sorted(set(ids)))} may be {either}; pass `category_ids`")


def _with_unknown_ids(rows: Rows, labels: NDArray[np.int64]) -> list[Extras | None] | None:
    """The rows' other keys, and the file's own class where the vocabulary does not know it."""
    strangers = np.flatnonzero(labels < 0).tolist()
    if not strangers:
        return None if rows.extras is None else list(rows.extras)
    extras: list[Extras | None] = list(rows.extras) if rows.extras is not None else [None] * len(rows)
    for row in strangers:
        extras[row] = {**(extras[row] or {}), **_own_class(rows.classes[int(rows.class_codes[row])])}
    return extras


def _own_class(key: ClassKey) -> dict[str, Any]:  # Any: JSON
    named = {} if key.name is None else {"category_name": key.name}
    return {"category_id": key.category_id, **named}
