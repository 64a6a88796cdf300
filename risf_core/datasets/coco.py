"""Reading COCO-form ground truth, one file or several joined, into an AnnotatedDataset."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import copies
from risf_core.datasets.annotated import AnnotatedDataset, Source, refuse_stdin
from risf_core.datasets.box_checks import check_truth
from risf_core.datasets.coco_values import annotation_place, as_float, check_annotations
from risf_core.datasets.index import check_categories, image_info, read_coco_document
from risf_core.detections import ImageId
from risf_core.errors import DataError, counted, excerpt, listing
from risf_core.files import display_name, sha256_of
from risf_core.vocabulary import ClassVocabulary

_MOST_COPIES = 0.05  # share of annotations that may repeat another without a note

Row = Mapping[str, Any]  # Any: what an annotation or an image holds is its file's affair


@dataclass(frozen=True)
class _Joined:
    """Several COCO documents as one: every annotation with the id of its image in the whole."""

    images: dict[ImageId, Row]
    annotations: list[Row]
    image_ids: list[ImageId]  # one an annotation
    category_ids: dict[int, Row]
    notes: tuple[str, ...]


def read_coco_dataset(paths: Path | Sequence[Path]) -> AnnotatedDataset:
    """The boxes of a COCO instances file, or of several as one dataset; segmentation masks are not kept.

    Nothing but `images`, `annotations` (with `image_id`, `category_id`, `bbox`) and `categories` is needed: without
    `iscrowd` no box is crowd, an `area` that is missing is width x height, without `id` an annotation is numbered.
    Where files are joined, an image that is in both under the same id and file name is one image; clashing ids of
    other images and of annotations are renumbered.
    Annotations of images or categories that no file lists are left out; the notes count them.

    Raises DataError, in one line, where a file is not what it should be or two files disagree on a category.
    """
    files = [paths] if isinstance(paths, Path) else list(paths)
    refuse_stdin(files, field="coco")
    joined = _join(files, [read_coco_document(path, object_hook=without_mask) for path in files])
    return _table(joined, Source("coco", tuple(files), tuple(sha256_of(path) for path in files)))


def coco_dataset_of(document: Mapping[str, Any], *, path: Path) -> AnnotatedDataset:
    """The boxes of a COCO document that is already read; `path` says in errors where it came from."""
    return _table(_join([path], [document]), Source("coco", (path,), ("",)))


@dataclass(frozen=True)
class CocoRows:
    """The file's own rows of chosen annotations, whole, and what a COCO file holds around them."""

    annotations: Mapping[int, Row]  # by their place among all annotations of the files
    images: Mapping[ImageId, Row]
    categories: tuple[Row, ...]
    info: Any  # Any: whatever the first file holds
    licenses: Any  # Any: likewise


def read_coco_rows(dataset: AnnotatedDataset, rows: Sequence[int]) -> CocoRows:
    """The annotations of some rows of a dataset, as its files have them.

    A second pass over the files: keeping every annotation with its mask would take gigabytes for COCO.
    """
    paths, wanted = dataset.source.paths, set(dataset.file_rows[rows].tolist())
    boxes = set(map(tuple, dataset.boxes_xywh[rows].tolist()))

    def only_wanted(row: dict[str, Any]) -> dict[str, Any] | None:
        if "image_id" not in row or "category_id" not in row:
            return row
        box = row.get("bbox")
        if not isinstance(box, list) or not all(type(number) in (int, float) for number in box):
            return row  # the dataset may have it in another form
        return row if tuple(box) in boxes else None

    documents = [read_coco_document(path, object_hook=only_wanted) for path in paths]
    joined = _join(paths, documents)
    return CocoRows(
        annotations={place: row for place, row in enumerate(joined.annotations) if place in wanted},
        images=joined.images,
        categories=tuple(joined.category_ids.values()),
        info=documents[0].get("info", {}),
        licenses=documents[0].get("licenses", []),
    )


def _table(joined: _Joined, source: Source) -> AnnotatedDataset:
    files = source.paths
    categories = list(joined.category_ids.values())
    if len(files) > 1:  # each alone was checked as it was read
        check_categories(categories, " + ".join(map(str, files)))
    vocabulary = ClassVocabulary.from_categories(categories)
    boxes, areas = _boxes(joined.annotations)
    position_of = {image_id: position for position, image_id in enumerate(joined.images)}
    label_of = vocabulary.label_by_id
    positions = np.array([position_of.get(image_id, -1) for image_id in joined.image_ids], dtype=np.int64)
    labels = np.array([label_of.get(row["category_id"], -1) for row in joined.annotations], dtype=np.int64)
    kept = (positions >= 0) & (labels >= 0)
    notes = joined.notes
    name = listing([display_name(path) for path in files])
    if len(kept) and not kept.any():
        first = joined.annotations[0]
        image_ids, category_ids = [repr(i) for i in joined.images], vocabulary.category_ids
        raise DataError(
            f"{name}: no annotation is of a listed image and category: the first has image_id "
            f"{excerpt(first['image_id'])} and category_id {excerpt(first['category_id'])}; the images are "
            f"{listing(image_ids, most=3)}, the categories {listing(category_ids, most=3)}"
        )
    if not kept.all():
        strangers = [annotation_place(i, joined.annotations[i]) for i in np.flatnonzero(~kept).tolist()]
        notes += (
            f"{len(strangers)} of {counted(len(kept), 'annotation')} are of images or categories that are not listed "
            f"({listing(strangers, most=3)}): left out",
        )
    ids, taken, unnumbered = _distinct_ids([row.get("id") for row in joined.annotations])
    if taken:
        notes += (f"{taken} annotations had an id that was taken: renumbered",)
    if unnumbered:
        notes += (f"{unnumbered} annotations had no whole-numbered id: numbered anew",)
    images = tuple(map(image_info, joined.images.values()))
    notes += check_truth(boxes[kept], [images[position] for position in positions[kept].tolist()], name)
    twice = copies(boxes[kept], positions[kept], labels[kept])
    if twice > _MOST_COPIES * kept.sum():
        notes += (f"{twice} of {len(boxes)} annotations repeat another's image, class and box; each counts again",)
    crowd = np.array([bool(row.get("iscrowd", 0)) for row in joined.annotations], dtype=bool)
    if len(crowd) > 1 and crowd.all():
        notes += (f"all {len(crowd)} boxes are crowd regions (iscrowd), which are neither measured nor trained on",)
    return AnnotatedDataset(
        vocabulary=vocabulary,
        images=images,
        annotation_ids=ids[kept],
        image_positions=positions[kept],
        labels=labels[kept],
        boxes_xywh=boxes[kept],
        areas=areas[kept],
        crowd=crowd[kept],
        difficult=difficult_of(joined.annotations)[kept],
        file_rows=np.flatnonzero(kept),
        source=source,
        notes=notes,
    )


def difficult_of(annotations: Sequence[Row]) -> NDArray[np.bool_]:
    """Which annotations are Pascal VOC's difficult boxes (M,): VOC in COCO's form says `difficult`, or `ignore`.

    Only VOC's protocol asks for it. COCO's knows crowds alone: pycocotools writes `iscrowd` over a file's own `ignore`
    (COCOeval._prepare).
    """
    return np.array([bool(row.get("difficult") or row.get("ignore")) for row in annotations], dtype=bool)


def without_mask(row: dict[str, Any]) -> dict[str, Any]:
    """The object of a COCO file without its mask, most of its memory; the mask stays where there is no box."""
    if row.get("bbox"):
        row.pop("segmentation", None)
    return row


def _join(files: Sequence[Path], documents: Sequence[Mapping[str, Any]]) -> _Joined:
    real = [os.path.realpath(path) for path in files]
    if len(set(real)) < len(files):
        twice = sorted({str(path) for path, one in zip(files, real, strict=True) if real.count(one) > 1})
        raise DataError(f"`coco`: {' and '.join(twice)} {'is' if len(twice) == 1 else 'are one file,'} given twice")
    images: dict[ImageId, Row] = {}
    annotations: list[Row] = []
    image_ids: list[ImageId] = []
    categories: dict[int, Row] = {}
    renumbered = 0
    value_notes: tuple[str, ...] = ()
    for path, document in zip(files, documents, strict=True):
        value_notes += check_annotations(document, display_name(path))
        for category in document["categories"]:
            known = categories.setdefault(category["id"], category)
            if known["name"] != category["name"]:
                raise DataError(
                    f"{path}: category id {category['id']} is {category['name']!r}, but {known['name']!r} in "
                    f"{files[0]}; files that are joined must number their categories alike"
                )
        new_ids = _join_images(images, document["images"])
        renumbered += len(new_ids)
        annotations += document["annotations"]
        image_ids += [_image_id(row, new_ids) for row in document["annotations"]]
    renumbered_images = f"{counted(renumbered, 'image')} of the joined files had an id that was taken: renumbered"
    notes = (renumbered_images,) if renumbered else ()
    return _Joined(images, annotations, image_ids, categories, value_notes + notes)


def _join_images(images: dict[ImageId, Row], more: Sequence[Row]) -> dict[ImageId, ImageId]:
    """Adds a file's images; returns the new id of each whose own id stood for another image already."""
    taken = dict(images)
    new_ids: dict[ImageId, ImageId] = {}
    numbers = (image["id"] for image in (*images.values(), *more) if isinstance(image["id"], int))
    next_id = max(numbers, default=0) + 1
    seen: set[ImageId] = set()
    for image in more:
        image_id = image["id"]
        if image_id in seen:
            continue  # listed twice in the same words
        seen.add(image_id)
        if image_id in taken and taken[image_id].get("file_name") != image.get("file_name"):
            new_ids[image_id] = next_id
            image = {**image, "id": next_id}
            next_id += 1
        images.setdefault(image["id"], image)
    return new_ids


def _image_id(row: Row | None, new_ids: Mapping[ImageId, ImageId]) -> ImageId:
    if row is None:  # a row that a second pass does not want
        return -1
    image_id: ImageId = row["image_id"]
    return new_ids.get(image_id, image_id)


def _distinct_ids(stated: Sequence[Any]) -> tuple[NDArray[np.int64], int, int]:  # Any: ids as the files have them
    """The ids with free ones for those that were taken and those that were no whole number; how many these were."""
    free = max((i for i in stated if type(i) is int and i < 2**62), default=0) + 1
    seen: set[int] = set()
    ids = []
    taken = unnumbered = 0
    for annotation_id in stated:
        is_number = type(annotation_id) is int and -(2**63) <= annotation_id < 2**63
        if not is_number or annotation_id in seen:
            taken, unnumbered = taken + is_number, unnumbered + (not is_number)
            annotation_id, free = free, free + 1
        seen.add(annotation_id)
        ids.append(annotation_id)
    return np.array(ids, dtype=np.int64), taken, unnumbered


def _boxes(annotations: Sequence[Row]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The boxes (M, 4) of annotations and their areas (M,), width x height where a row states none that can be."""
    boxes = np.array([row["bbox"] for row in annotations], dtype=np.float64).reshape(len(annotations), 4)
    stated = [math.nan if row.get("area") is None else as_float(row["area"]) for row in annotations]
    areas = np.array(stated, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # absurd boxes are refused where images are known
        own = boxes[:, 2] * boxes[:, 3]
    return boxes, np.where(np.isfinite(areas) & (areas >= 0), areas, own)
