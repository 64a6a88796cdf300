"""COCO's forms behind the protocol: the results list, the dataset dict with scores, the list nested by image, LVIS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import CategoryConvention
from risf_core.detections import ImageId, factorize, image_id_array
from risf_core.errors import DataError
from risf_core.formats.coco import Columns, rows_of, write_detections
from risf_core.formats.form import LIKELY, MAYBE, NO, SURE, Form, Output, first_entry_keys, is_json_list, json_keys
from risf_core.formats.pickled import is_pickle, load_pickled
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, Rows, check_photos_once
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

_Key = TypeVar("_Key", PhotoKey, ClassKey)
_ROW_KEYS = {"image_id", "category_id", "bbox", "score"}
_LVIS_MOST = 300  # detections an image that its evaluation looks at


def rows_of_coco(
    content: Sequence[Any],
    source: str,
    *,
    photo_names: Literal["file_name"] | None = None,
    class_names: Mapping[int, str] | None = None,
    category_ids: CategoryConvention | None = "dataset",
    notes: tuple[str, ...] = (),
) -> Rows:
    """The rows of a COCO results list; `photo_names` is a key that names the photo, where the form has one."""
    columns = Columns.of(content, source)
    photo_codes, image_ids = factorize(image_id_array(columns.image_ids))
    photos = tuple(PhotoKey(None, image_id) for image_id in image_ids)
    if photo_names is not None:
        names = [row.get(photo_names) for row in content]
        columns.extras[:] = [_without(extras, photo_names) for extras in columns.extras]
        photo_codes, photos = _coded(map(PhotoKey, names, columns.image_ids))
    class_codes, category_ids_there = factorize(np.array(columns.category_ids, dtype=object))
    known = class_names or {}
    classes = tuple(ClassKey(known.get(int(number)), int(number)) for number in category_ids_there)
    if any(extras is not None and "category_name" in extras for extras in columns.extras):  # SAHI's
        own = [(extras or {}).get("category_name") for extras in columns.extras]
        keys = zip(own, columns.category_ids, strict=True)
        class_codes, classes = _coded(
            ClassKey(n if isinstance(n, str) else known.get(number), number) for n, number in keys
        )
    return Rows(
        source=source,
        photo_codes=photo_codes,
        class_codes=class_codes,
        photos=photos,
        classes=classes,
        boxes=columns.boxes,
        scores=columns.scores,
        box_convention="xywh",
        category_ids=category_ids,
        extras=columns.extras,
        notes=notes,
    )


def _coded(keys: Iterable[_Key]) -> tuple[NDArray[np.int64], tuple[_Key, ...]]:
    """The number of each key among the distinct ones, (N,), and these."""
    codes: Codes[_Key] = Codes()
    return np.array([codes.of(key) for key in keys], dtype=np.int64), codes.keys


def _without(extras: Mapping[str, Any] | None, key: str) -> Mapping[str, Any] | None:
    kept = {name: value for name, value in (extras or {}).items() if name != key}
    return kept or None


def _read_list(source: Source) -> Rows:
    content = source.json()
    rows, envelope = rows_of(content, source.name)
    if envelope is not None:
        raise DataError(f"{source.name}: is a COCO dataset, not a results list; its `format` is coco-dataset")
    return rows_of_coco(rows, source.name)


def _read_dataset(source: Source) -> Rows:
    rows, envelope = rows_of(source.json(), source.name)
    if envelope is None:
        raise DataError(f"{source.name}: is a list, not a COCO dataset; its `format` is coco")
    class_names = {category["id"]: category["name"] for category in envelope.get("categories", ())}
    file_names = {image["id"]: image.get("file_name") for image in envelope.get("images", ())}
    read = rows_of_coco(rows, source.name, class_names=class_names)
    photos = tuple(PhotoKey(file_names.get(photo.image_id), photo.image_id) for photo in read.photos)
    return replace(read, photos=photos, envelope=envelope)


def _read_nested(source: Source) -> Rows:
    pickled = is_pickle(source.head)
    content = load_pickled(source) if pickled else source.json()
    return rows_of_nested(content, source.name, category_ids=None)


def rows_of_nested(content: object, source: str, *, category_ids: CategoryConvention | None) -> Rows:
    """The rows of `[{"image_id", "instances": [COCO results]}]`."""
    if not isinstance(content, list):
        raise DataError(f"{source}: holds {type(content).__name__}, not a list with an entry for each image")
    flat: list[Any] = []
    entries: list[PhotoKey] = []
    for position, entry in enumerate(content):
        if not isinstance(entry, dict) or not isinstance(entry.get("instances"), list) or "image_id" not in entry:
            raise DataError(
                f'{source}: entry {position} is not {{"image_id": ..., "instances": [COCO results]}}, '
                "as all entries of this form are"
            )
        entries.append(PhotoKey(None, entry["image_id"]))
        for row in entry["instances"]:
            own = row.get("image_id", entry["image_id"]) if isinstance(row, dict) else entry["image_id"]
            if own != entry["image_id"]:
                raise DataError(
                    f"{source}: entry {position}: image_id {own!r} in it differs from its own {entry['image_id']!r}"
                )
            flat.append({"image_id": own, **row} if isinstance(row, dict) else row)
    check_photos_once(entries, source)
    read = rows_of_coco(flat, source, category_ids=category_ids)
    all_photos = (*read.photos, *(entry for entry in entries if entry not in set(read.photos)))
    return replace(read, photos=all_photos)


def _sniff_list(source: Source) -> int:
    keys = json_keys(source.head)
    if not is_json_list(source.head):
        return NO
    if keys >= _ROW_KEYS and not _is_nested(source.head):
        return LIKELY
    if keys & {"image_id", "category_id"}:
        return MAYBE  # its reader says which key is missing
    return MAYBE if source.head.split() == [b"[]"] or source.head.split() == [b"[", b"]"] else NO


def _sniff_dataset(source: Source) -> int:
    keys = json_keys(source.head)
    typical = {"annotations", "images", "categories", "info", "licenses"} & keys
    return LIKELY if typical and not is_json_list(source.head) and not keys & {"predictions", "result"} else NO


def _sniff_nested(source: Source) -> int:
    if is_pickle(source.head):
        return LIKELY if b"instances" in source.head and b"bbox" in source.head and b"pred_" not in source.head else NO
    return SURE if _is_nested(source.head) else NO


def _is_nested(head: bytes) -> bool:
    """Whether entries hold rows; a row may hold a key of that name beside its own box."""
    first = first_entry_keys(head)
    if not is_json_list(head) or (first is not None and "bbox" in first):
        return False
    return (json_keys(head) if first is None else first) >= {"image_id", "instances"}


def _write_list(target: Path | str, output: Output) -> None:
    write_detections(target, output.detections, output.vocabulary)


def _write_dataset(target: Path | str, output: Output) -> None:
    envelope = output.envelope
    if envelope is None:
        envelope = images_and_categories(output.images, output.vocabulary)
    write_detections(target, output.detections, output.vocabulary, envelope)


def images_and_categories(images: Mapping[ImageId, ImageInfo], vocabulary: ClassVocabulary) -> dict[str, Any]:
    """What a COCO dataset says beside its annotations. Any: JSON."""
    rows = []
    for image_id, info in images.items():
        stated = {"id": image_id, "file_name": info.file_name, "height": info.height, "width": info.width}
        rows.append({key: value for key, value in stated.items() if value is not None})
    pairs = zip(vocabulary.category_ids, vocabulary.names, strict=True)
    return {"images": rows, "categories": [{"id": number, "name": name} for number, name in pairs]}


def _write_lvis(target: Path | str, output: Output) -> None:
    detections = output.detections
    kept = np.ones(len(detections), dtype=bool)
    for _, rows in detections.by_image():
        kept[rows[np.argsort(-detections.scores[rows], kind="stable")[_LVIS_MOST:]]] = False
    write_detections(target, detections[kept], output.vocabulary)


COCO = Form(
    name="coco",
    title="COCO results list",
    written_by="detectron2, mmdetection, YOLOX, SAHI, pycocotools, risf",
    keeps="all digits, the order, other keys",
    loses="nothing",
    sniff=_sniff_list,
    read=_read_list,
    write=_write_list,
    keeps_unknown=True,
)
COCO_DATASET = Form(
    name="coco-dataset",
    title="COCO dataset with scores",
    written_by="FiftyOne, labelling tools, risf",
    keeps="all digits, the order, other keys, class names, file names",
    loses="nothing",
    sniff=_sniff_dataset,
    read=_read_dataset,
    write=_write_dataset,
    keeps_unknown=True,
)
NESTED = Form(
    name="coco-nested",
    title="COCO results nested by image (RF20-VL), JSON or pickle",
    written_by="RF20-VL and NTIRE challenge code",
    keeps="all digits, other keys",
    loses="nothing",
    sniff=_sniff_nested,
    read=_read_nested,
)
LVIS = Form(
    name="lvis",
    title="LVIS results",
    written_by="LVIS evaluation code",
    keeps="all digits, the order, other keys",
    loses="rows beyond the 300 best of an image",
    sniff=lambda source: NO,  # a COCO results list in all but its ids
    read=_read_list,
    write=_write_lvis,
    keeps_unknown=True,
)
