"""Reading YOLO folders (data.yaml with images and labels) into an AnnotatedDataset."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.datasets.index import check_categories
from risf_core.detections import ImageId
from risf_core.errors import DataError, listing
from risf_core.files import read_text
from risf_core.images import upright_size  # the labels state no sizes
from risf_core.photos import ImageInfo, iter_photos
from risf_core.vocabulary import ClassVocabulary

Labelled = tuple[int, tuple[float, float, float, float]]  # class number; centre x, centre y, width, height in 0..1

_PART = "train"  # of data.yaml: what shots are drawn from


def read_yolo_dataset(path: Path, *, on_progress: Callable[[int, int], None] | None = None) -> AnnotatedDataset:
    """The boxes of a YOLO data set's training images; `path` is its data.yaml or the folder that holds it.

    A label file lies where the image lies, with the last folder `images` of its path read as `labels`; an image
    without one has no boxes. Lines of polygons count as the boxes around them. Category ids are YOLO's class numbers
    (from 0); an image's id is its stem, as a number where it is one. Sizes are read from the images themselves.

    Raises DataError where data.yaml or a label line is at fault, ImageError where an image cannot be read.
    """
    file = path / "data.yaml" if path.is_dir() else path
    content = _read_settings(file)
    vocabulary = _vocabulary(content, file)
    root = _root(content, file)
    images = _images(content, root=root, file=file)
    digest = hashlib.sha256(file.read_bytes())
    infos, rows = [], []
    ids = _image_ids(images, root)
    for position, (image, image_id) in enumerate(zip(images, ids, strict=True)):
        height, width = upright_size(image)
        name = _below(image, root)
        infos.append(ImageInfo(image_id, name, height, width))
        labels = _label_file(image)
        text = read_text(labels, what="label file") if labels.is_file() else ""
        digest.update(f"{name}\0{text}\0".encode())
        for class_number, (x, y, w, h) in _parse(text, labels, class_count=len(vocabulary)):
            rows.append((position, class_number, ((x - w / 2) * width, (y - h / 2) * height, w * width, h * height)))
        if on_progress is not None:
            on_progress(position + 1, len(images))
    return AnnotatedDataset.from_columns(
        vocabulary,
        infos,
        np.array([position for position, _, _ in rows], dtype=np.int64),
        np.array([class_number for _, class_number, _ in rows], dtype=np.int64),
        np.array([box for _, _, box in rows], dtype=np.float64).reshape(len(rows), 4),
        source=Source("yolo", (file,), (digest.hexdigest(),)),
    )


def yolo_root(path: Path) -> Path:
    """The folder below which the images of a YOLO data set are named."""
    file = path / "data.yaml" if path.is_dir() else path
    return _root(_read_settings(file), file)


def _read_settings(file: Path) -> dict[str, Any]:  # Any: YAML
    import yaml

    try:
        content = yaml.safe_load(read_text(file, what="data.yaml"))
    except yaml.YAMLError as error:
        raise DataError(f"{file}: is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds {type(content).__name__}, not keys and values; train: and names: are needed")
    return content


def _vocabulary(content: dict[str, Any], file: Path) -> ClassVocabulary:
    names = content.get("names")
    if isinstance(names, dict):
        numbers = sorted(names)
        if numbers != list(range(len(numbers))):
            raise DataError(f"{file}: names: must be numbered 0 to {len(numbers) - 1}, got {listing(numbers)}")
        names = [names[number] for number in numbers]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: has no class names; write names: [first, second, ...]")
    categories = [{"id": number, "name": str(name)} for number, name in enumerate(names)]
    check_categories(categories, str(file))
    return ClassVocabulary.from_categories(categories)


def _root(content: dict[str, Any], file: Path) -> Path:
    """The folder that relative paths start from: `path:`, itself relative to data.yaml, where it is there."""
    stated = content.get("path")
    if stated is None:
        return file.parent
    for root in (file.parent / str(stated), Path(str(stated))):
        if root.is_dir():
            return root
    return file.parent  # exported sets often state the folder of the machine that exported them


def _images(content: dict[str, Any], *, root: Path, file: Path) -> list[Path]:
    stated = content.get(_PART)
    if stated is None:
        raise DataError(f"{file}: has no {_PART!r}; write {_PART}: images/{_PART}")
    places = [str(place) for place in (stated if isinstance(stated, list) else [stated])]
    images = [image for place in places for image in _images_of(place, root=root, file=file)]
    if not images:
        raise DataError(f"{file}: {_PART}: {listing(places)} holds no image")
    return images


def _images_of(place: str, *, root: Path, file: Path) -> list[Path]:
    # exporters write ../train/images even where the folder lies beside data.yaml
    candidates = [root / place, file.parent / place, file.parent / place.removeprefix("../")]
    found = next((candidate for candidate in candidates if candidate.exists()), None)
    if found is None:
        raise DataError(f"{file}: {place} is not there (looked below {root}); correct path: or the entry")
    if found.is_dir():
        return sorted(iter_photos(found))
    lines = [line.strip() for line in read_text(found, what="list of images").splitlines() if line.strip()]
    return [found.parent / line if line.startswith("./") else root / line for line in lines]


def _image_ids(images: Sequence[Path], root: Path) -> list[ImageId]:
    """Stems, as numbers where they are (so Ultralytics writes them in its predictions); paths where stems clash."""
    ids: list[ImageId] = [int(image.stem) if image.stem.isdecimal() else image.stem for image in images]
    return ids if len(set(ids)) == len(ids) else [_below(image, root) for image in images]


def _below(image: Path, root: Path) -> str:
    try:
        return image.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        return image.as_posix()


def _label_file(image: Path) -> Path:
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


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
                f"{path}, line {number}: {line.strip()[:60]!r} is no label; write class, centre x, centre y, width, "
                "height, the last four as parts of the image size"
            )
        if not (values[0].is_integer() and 0 <= values[0] < class_count):
            raise DataError(f"{path}, line {number}: class {words[0]} is not among names: (0 to {class_count - 1})")
        rows.append((int(values[0]), _around(values[1:]) if polygon else (values[1], values[2], values[3], values[4])))
    return rows


def _around(polygon: Sequence[float]) -> tuple[float, float, float, float]:
    """Centre, width and height of the box around x0 y0 x1 y1 ..."""
    xs, ys = polygon[0::2], polygon[1::2]
    return (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2, max(xs) - min(xs), max(ys) - min(ys)
