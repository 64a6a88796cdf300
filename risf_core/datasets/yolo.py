"""Reading YOLO folders (images and label files) into an AnnotatedDataset."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.datasets.box_checks import check_relative_centres
from risf_core.datasets.index import DatasetIndex
from risf_core.datasets.yolo_layout import TRAINING_PARTS, image_names, read_yolo_layout
from risf_core.detections import ImageId
from risf_core.errors import DataError, counted, listing
from risf_core.files import read_text
from risf_core.images import upright_size  # the labels state no sizes
from risf_core.photos import ImageInfo, is_photo_name

Labelled = tuple[int, tuple[float, float, float, float]]  # class number; centre x, centre y, width, height in 0..1

_SLACK = 0.01  # how far numbers may leave 0..1, by rounding
_NOT_LABELS = {"classes.txt", "obj.names", "train.txt", "notes.json"}


def read_yolo_dataset(
    path: Path, *, parts: Sequence[str] = TRAINING_PARTS, on_progress: Callable[[int, int], None] | None = None
) -> AnnotatedDataset:
    """The boxes of a YOLO data set's images of the first of `parts` that it states.

    `path` is its data.yaml (Ultralytics, Roboflow), obj.data (CVAT) or classes.txt (Label Studio), or the folder that
    holds it. A label file is where the image is, with the last folder `images` of its path read as `labels`, or
    beside the image; an image without one has no boxes, and a note counts such images. Lines of polygons count as the
    boxes around them. Category ids are YOLO's class numbers (from 0); an image's id is its stem, as a number where it
    is one. Sizes are read from the images themselves.

    Raises DataError where one of the files is at fault, no image has a label file, or two images share one; ImageError
    where an image cannot be read.
    """
    layout = read_yolo_layout(path, parts=parts)
    images = layout.images()
    names = image_names(images, layout.root)
    labels = [_label_file(image) for image in images]
    notes = _check_label_files(images, labels)
    digest = hashlib.sha256(layout.file.read_bytes())
    infos, rows, stated, cut = [], [], [], 0
    for position, (image, image_id) in enumerate(zip(images, _image_ids(images, names), strict=True)):
        height, width = upright_size(image)
        infos.append(ImageInfo(image_id, names[position], height, width))
        file = labels[position]
        text = read_text(file, what="label file") if file is not None else ""
        digest.update(f"{names[position]}\0{text}\0".encode())
        for class_number, (x, y, w, h) in _parse(text, file or image, class_count=len(layout.vocabulary)):
            box = ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)
            within = _cut(box, width, height)
            cut += within != box
            stated.append((x, y, w, h))
            rows.append((position, class_number, within))
        if on_progress is not None:
            on_progress(position + 1, len(images))
    check_relative_centres(np.array(stated, dtype=np.float64).reshape(len(stated), 4), str(layout.file))
    if cut:
        notes.append(f"{cut} of {len(rows)} boxes reached beyond their image: cut at its edge")
    return AnnotatedDataset.from_columns(
        layout.vocabulary,
        infos,
        np.array([position for position, _, _ in rows], dtype=np.int64),
        np.array([class_number for _, class_number, _ in rows], dtype=np.int64),
        np.array([box for _, _, box in rows], dtype=np.float64).reshape(len(rows), 4),
        source=Source("yolo", (layout.file,), (digest.hexdigest(),)),
        notes=tuple(notes),
    )


def read_yolo_index(path: Path, *, parts: Sequence[str]) -> DatasetIndex:
    """The images of the first of `parts` that is stated, and the classes; labels are not looked at."""
    layout = read_yolo_layout(path, parts=parts)
    images = layout.images()
    names = image_names(images, layout.root)
    infos = {}
    for image, name, image_id in zip(images, names, _image_ids(images, names), strict=True):
        infos[image_id] = ImageInfo(image_id, name, *upright_size(image))
    return DatasetIndex(layout.vocabulary, infos)


def yolo_root(path: Path) -> Path:
    """The folder below which the images of a YOLO data set are named."""
    return read_yolo_layout(path).root


def _image_ids(images: Sequence[Path], names: Sequence[str]) -> list[ImageId]:
    """Stems, as numbers where they are (so Ultralytics writes them in its predictions); paths where stems clash."""
    ids: list[ImageId] = [int(image.stem) if image.stem.isdecimal() else image.stem for image in images]
    return ids if len(set(ids)) == len(ids) else list(names)


def _label_file(image: Path) -> Path | None:
    return next((path for path in _label_places(image) if path.is_file()), None)


def _label_places(image: Path) -> list[Path]:
    """Where an image's label file may be: below `labels` for the last `images` of its path, and beside it."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            return [Path(*parts).with_suffix(".txt"), image.with_suffix(".txt")]
    return [image.with_suffix(".txt")]


def _check_label_files(images: Sequence[Path], labels: Sequence[Path | None]) -> list[str]:
    """Notes on images without a label file and label files without an image. Raises DataError as the reader does."""
    for label, count in Counter(label for label in labels if label is not None).items():
        if count > 1:
            sharing = [str(image) for image, own in zip(images, labels, strict=True) if own == label]
            raise DataError(f"{label}: is the label file of {listing(sharing)}; rename all but one of the images")
    without = [image for image, label in zip(images, labels, strict=True) if label is None]
    if len(without) == len(images):
        places = " and ".join(map(str, _label_places(images[0])))
        raise DataError(f"none of the {len(images)} images has a label file; looked for {places}")
    notes = []
    if without:
        shown = listing([image.name for image in without], most=3)
        notes.append(f"{len(without)} of {len(images)} images have no label file and count as empty ({shown})")
    used = {label for label in labels if label is not None}
    there = {path for folder in {label.parent for label in used} for path in folder.glob("*.txt")}
    photos = {
        path.stem for folder in {i.parent for i in images} for path in folder.iterdir() if is_photo_name(path.name)
    }
    others = sorted(p.name for p in there - used if p.stem not in photos and p.name not in _NOT_LABELS)
    others = [name for name in others if not name.startswith("._")]
    if others:
        notes.append(
            f"{counted(len(others), 'label file')} without an image that can be read ({listing(others, most=3)})"
        )
    return notes


def _parse(text: str, path: Path, *, class_count: int) -> list[Labelled]:
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if not words:
            continue
        try:
            values = [float(word) for word in words]
        except ValueError:
            values = [math.nan]
        polygon = len(values) > 5 and len(values) % 2 == 1
        if not all(map(math.isfinite, values)) or not (len(values) == 5 or polygon):
            raise DataError(
                f"{path}, line {number}: {line.strip()[:60]!r} is not a label; write class, centre x, centre y, width, "
                "height, the last four as parts of the image size"
            )
        if not (values[0].is_integer() and 0 <= values[0] < class_count):
            raise DataError(f"{path}, line {number}: class {words[0]} is not among names: (0 to {class_count - 1})")
        if min(values[1:] if polygon else values[1:3]) < -_SLACK or max(values[1:]) > 1 + _SLACK:
            raise DataError(
                f"{path}, line {number}: {line.strip()[:60]!r} leaves 0..1 (pixels?); divide x and width by the "
                "image's width, y and height by its height"
            )
        rows.append((int(values[0]), _around(values[1:]) if polygon else (values[1], values[2], values[3], values[4])))
    return rows


def _cut(box: tuple[float, float, float, float], width: int, height: int) -> tuple[float, float, float, float]:
    """A box x, y, width, height inside the image; digit for digit where it is inside by a thousandth of a pixel."""
    x, y, w, h = box
    if min(x, y) >= -1e-3 and x + w <= width + 1e-3 and y + h <= height + 1e-3:
        return box
    x0, y0 = min(max(x, 0.0), width), min(max(y, 0.0), height)
    return x0, y0, min(x + w, width) - x0, min(y + h, height) - y0


def _around(polygon: Sequence[float]) -> tuple[float, float, float, float]:
    """Centre, width and height of the box around x0 y0 x1 y1 ..."""
    xs, ys = polygon[0::2], polygon[1::2]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)
