"""Rows matched to a dataset: photos by file name, then id; classes by name, then id; and one line on how."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import CategoryConvention, ImageIdConvention, OnUnmatched
from risf_core.detections import Detections, Extras, ImageId, factorize, image_id_array
from risf_core.errors import ConfigError, DataError, counted, did_you_mean, listing
from risf_core.formats.conventions import Conventions, check_boxes, labels_of, to_xywh
from risf_core.formats.image_ids import own_image_ids
from risf_core.formats.own_names import id_of, own_images, own_vocabulary
from risf_core.formats.photo_names import PhotoNames
from risf_core.formats.rows import ClassKey, Rows, names_listed
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

# image ids whose size is not stated, and the images -> (height, width) of those that are known
SizesOf = Callable[[Sequence[ImageId], Mapping[ImageId, ImageInfo]], Mapping[ImageId, tuple[int, int]]]

_ID_READINGS: Mapping[CategoryConvention, str] = {
    "dataset": "the annotations' own",
    "positions": "positions from 0",
    "positions-from-1": "positions from 1",
}


@dataclass(frozen=True)
class Matched:
    """Detections under a dataset's own ids and labels."""

    detections: Detections
    images: Mapping[ImageId, ImageInfo]
    vocabulary: ClassVocabulary
    outcome: str  # what was matched by what, and what was left out, in one line
    dropped: int  # rows left out


def match(
    rows: Rows,
    images: Mapping[ImageId, ImageInfo] | None,
    vocabulary: ClassVocabulary | None,
    *,
    conventions: Conventions | None = None,
    sizes_of: SizesOf | None = None,
    on_unmatched: OnUnmatched = "error",
) -> Matched:
    """The detections of `rows` under the ids of `images` and the labels of `vocabulary`, boxes as x, y, width, height.

    Args:
        images, vocabulary: those of a dataset; None takes what the file itself says.
        conventions: how the rows are read; photos and classes whose ids it states are matched by these, not by names.
        sizes_of: (height, width) of images that do not state it, where it is known otherwise.
        on_unmatched: what becomes of rows whose photo or class is unknown: "error", "keep" (as the file has them,
            with label -1 where the class is unknown) or "drop".
    Raises DataError, in one line, where something cannot be matched or decided.
    """
    conventions = conventions or Conventions()
    if images is None:
        if conventions.image_ids is not None:
            raise ConfigError(f"`image_ids={conventions.image_ids}` needs `annotations`, whose images the ids are of")
        images = own_images(rows)
    if vocabulary is None:
        vocabulary = own_vocabulary(rows)
    labels, by_class = _labels_of_classes(rows, vocabulary, conventions, on_unmatched)
    ids, is_known, by_photo = _images_of_photos(rows, images, conventions.image_ids, on_unmatched)
    row_labels = labels[rows.class_codes] if len(labels) else np.empty(0, dtype=np.int64)
    has_photo = is_known[rows.photo_codes] if len(is_known) else np.empty(0, dtype=bool)
    convention = conventions.boxes or rows.box_convention
    image_ids = image_id_array(ids)[rows.photo_codes] if len(rows) else np.empty(0, dtype=np.int64)
    all_sizes = {image_id: info.size for image_id, info in images.items() if info.size is not None}
    if sizes_of is not None and convention != "xyxy":
        known = factorize(image_ids[has_photo])[1]
        all_sizes |= sizes_of([image_id for image_id in known if image_id not in all_sizes], images)
    check_boxes(rows.boxes, image_ids, all_sizes, convention=convention, name=rows.source)
    table = Detections.from_rows(image_ids, rows.boxes, rows.scores, row_labels, _with_unknown_ids(rows, row_labels))
    has_class = row_labels >= 0
    if on_unmatched == "drop":
        table = table[has_photo & has_class]
    xywh = to_xywh(table.boxes_xywh, table.image_ids, all_sizes, convention=convention, name=rows.source)
    photos = len(set(table.image_ids.tolist()))
    read = f"{counted(len(table), 'detection')} of {counted(photos, 'photo')} ({by_photo}), classes {by_class}"
    parts = [read, *_misfits(has_photo, has_class, on_unmatched), *rows.notes]
    return Matched(replace(table, boxes_xywh=xywh), images, vocabulary, "; ".join(parts), len(rows) - len(table))


def _misfits(has_photo: NDArray[np.bool_], has_class: NDArray[np.bool_], on_unmatched: OnUnmatched) -> list[str]:
    """How many rows did not fit, and what became of them, as a clause; else nothing."""
    strangers = {"photo": int((~has_photo).sum()), "class": int((has_photo & ~has_class).sum())}
    if not any(strangers.values()):
        return []
    causes = [f"{count} of an unknown {what}" for what, count in strangers.items() if count]
    action = "left out" if on_unmatched == "drop" else "kept as they are"
    return [f"{counted(sum(strangers.values()), 'row')} {action} ({', '.join(causes)})"]


def _images_of_photos(
    rows: Rows,
    images: Mapping[ImageId, ImageInfo],
    convention: ImageIdConvention | None,
    on_unmatched: OnUnmatched,
) -> tuple[Sequence[ImageId], NDArray[np.bool_], str]:
    """The image id of each photo, whether the dataset has it, and by what it was found."""
    used = np.unique(rows.photo_codes).tolist()
    if convention is None and used and all(rows.photos[code].name is not None for code in used):
        names = PhotoNames(images)
        found: dict[int, ImageId | None] = {c: names.find(str(rows.photos[c].name), rows.source) for c in used}
        is_any_known = any(image_id is not None for image_id in found.values())
        if is_any_known or any(rows.photos[code].image_id is None for code in used):
            _check_names(rows, found, images, on_unmatched)
            return *_ids_and_known(rows, found), f"by file name{_loosely_matched(rows, found, names, images)}"
    if convention is None and rows.photos_by_position:
        if len(rows.photos) != len(images):
            raise DataError(
                f"{rows.source}: names no photos and has {counted(len(rows.photos), 'list')} of "
                f"detections, but the annotations have {counted(len(images), 'image')}; they must be those of the same "
                "photos in the same order; `image_ids=positions` allows fewer"
            )
        reading: ImageIdConvention = "positions"
        by_photo = "by position in the annotations"
    else:
        reading = convention or "dataset"
        by_photo = f"by `image_ids={reading}`"
    present = [id_of(rows.photos[code]) for code in used]
    own = own_image_ids(present, images, convention=reading, on_unmatched=on_unmatched, name=rows.source)
    return *_ids_and_known(rows, dict(zip(used, own, strict=True))), by_photo


def _loosely_matched(
    rows: Rows, found: Mapping[int, ImageId | None], names: PhotoNames, images: Mapping[ImageId, ImageInfo]
) -> str:
    """Which names fit loosely only, as a clause with the option that matches by ids instead; else nothing."""
    pairs = [(str(rows.photos[code].name), image_id) for code, image_id in found.items() if image_id is not None]
    loose = [(name, image_id) for name, image_id in pairs if names.is_loose(name, image_id)]
    if not loose:
        return ""
    name, image_id = loose[0]
    return (
        f", {len(loose)} of them only without case, accents' form or Roboflow's hash, such as {name!r} for "
        f"{images[image_id].file_name!r}; if that is wrong, match by ids with `image_ids`"
    )


def _ids_and_known(rows: Rows, found: Mapping[int, ImageId | None]) -> tuple[Sequence[ImageId], NDArray[np.bool_]]:
    """The image id of each photo (the file's own where none was found), and whether one was found, (photos,)."""
    own = [found.get(code) for code in range(len(rows.photos))]
    ids = [id_of(photo) if mine is None else mine for mine, photo in zip(own, rows.photos, strict=True)]
    return ids, np.array([mine is not None for mine in own], dtype=bool)


def _check_names(
    rows: Rows, found: Mapping[int, ImageId | None], images: Mapping[ImageId, ImageInfo], on_unmatched: OnUnmatched
) -> None:
    """Refuse photos that the dataset lacks, all of them or unless they may be, and two names for one photo."""
    strangers = [str(rows.photos[code].name) for code, image_id in found.items() if image_id is None]
    if strangers and (on_unmatched == "error" or len(strangers) == len(found)):
        files = [info.file_name or str(image_id) for image_id, info in images.items()]
        raise DataError(
            f"{rows.source}: photo {names_listed(strangers)} not among the "
            f"{counted(len(images), 'image')} of the annotations ({names_listed(files)})"
            f"{did_you_mean(strangers[0], files) if len(files) < 10000 else ''}; "
            "pass the annotations the detector ran on"
        )
    taken = [code for code, own in found.items() if own is None and id_of(rows.photos[code]) in images]
    if taken and on_unmatched == "keep":
        photo = rows.photos[taken[0]]
        raise DataError(
            f"{rows.source}: photo {photo.name!r} is not in the annotations, but its image id {photo.image_id!r} is "
            "another image's there; remove its rows, or pass `on_unmatched=drop`"
        )
    first: dict[ImageId, int] = {}
    for code, image_id in found.items():
        other = code if image_id is None else first.setdefault(image_id, code)
        if other != code:
            raise DataError(
                f"{rows.source}: photos {rows.photos[other].name!r} and {rows.photos[code].name!r} are both image "
                f"{image_id!r} of the annotations; each photo must have one name"
            )


def _labels_of_classes(
    rows: Rows,
    vocabulary: ClassVocabulary,
    conventions: Conventions,
    on_unmatched: OnUnmatched,
) -> tuple[NDArray[np.int64], str]:
    """The label of each class of the rows, and by what it was found."""
    if not rows.classes:
        return np.empty(0, dtype=np.int64), "none"
    if conventions.category_ids is None and all(key.name is not None for key in rows.classes):
        return _by_class_name(rows, vocabulary, conventions.rename, on_unmatched), "by name"
    if rows.class_count not in (None, len(vocabulary)) and conventions.category_ids is None:
        raise DataError(
            f"{rows.source}: has {counted(rows.class_count or 0, 'class')} without names, but the annotations have "
            f"{len(vocabulary)}; pass those the detector was trained with, or `category_ids=positions` if both begin "
            "alike"
        )
    ids = [key.category_id for key in rows.classes]
    if any(category_id is None for category_id in ids):
        raise DataError(f"{rows.source}: some classes have no id ({names_listed([k.name for k in rows.classes])})")
    numbers = [category_id for category_id in ids if category_id is not None]
    reading = conventions.category_ids or rows.category_ids or _only_reading(numbers, vocabulary, rows.source)
    is_any_known = reading != "dataset" or not vocabulary.label_by_id.keys().isdisjoint(numbers)
    unknown: Literal["error", "keep"] = "error" if on_unmatched == "error" or not is_any_known else "keep"
    labels = labels_of(
        numbers,
        vocabulary,
        convention=reading,
        unknown=unknown,
        name=rows.source,
    )
    taken = [n for n, label in zip(numbers, labels.tolist(), strict=True) if label < 0 and n in vocabulary.label_by_id]
    if taken and on_unmatched == "keep":
        meant = vocabulary.names[vocabulary.label_of(min(taken))]
        raise DataError(
            f"{rows.source}: category_id {listing(sorted(taken))} is not among the {reading} of the {len(vocabulary)} "
            f"classes, but {min(taken)} is the id of {meant!r}; remove these rows, or pass `on_unmatched=drop`"
        )
    return labels, f"by `category_ids={reading}`"


def _by_class_name(
    rows: Rows, vocabulary: ClassVocabulary, rename: Mapping[str, str], on_unmatched: OnUnmatched
) -> NDArray[np.int64]:
    label_by_name = {name: label for label, name in enumerate(vocabulary.names)}
    loose: dict[str, int] = {}
    for name, label in label_by_name.items():
        loose[_loosely(name)] = -1 if _loosely(name) in loose else label  # two that differ by case: neither
    labels = []
    strangers = []
    for key in rows.classes:
        name = rename.get(str(key.name), str(key.name))
        label = label_by_name.get(name, loose.get(_loosely(name), -1))
        labels.append(label)
        if label < 0:
            strangers.append(name)
    if strangers and (on_unmatched == "error" or len(strangers) == len(labels)):
        raise DataError(
            f"{rows.source}: class {names_listed(strangers)} not among the {counted(len(vocabulary), 'class')}"
            f"{did_you_mean(strangers[0], vocabulary.names)}; pass `rename` with OLD=NEW"
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
