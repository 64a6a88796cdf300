"""Where a YOLO data set has its class names and its images: data.yaml, CVAT's obj.data, classes.txt."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.datasets.index import check_categories
from risf_core.documents import parse_yaml
from risf_core.errors import DataError, listing
from risf_core.files import read_text
from risf_core.photos import iter_photos, path_suffixes
from risf_core.vocabulary import ClassVocabulary

TRAINING_PARTS = ("train",)  # what shots are drawn from
# of Ultralytics and Roboflow, CVAT, Label Studio, Roboflow's Darknet
_FORMS = ("data.yaml", "data.yml", "obj.data", "classes.txt", "_darknet.labels")


@dataclass(frozen=True)
class YoloLayout:
    """What the files around images and labels say."""

    file: Path  # that names the classes, or the file that names them
    root: Path  # the folder below which images are named
    part: str  # the entry that names the images: train, val, test
    places: tuple[str, ...]  # folders of images, or lists of them, as stated
    vocabulary: ClassVocabulary  # category ids are YOLO's class numbers, from 0

    def images(self) -> list[Path]:
        """The images, in the order of their places. Raises DataError where there is none."""
        images = [image for place in self.places for image in _images_of(place, self)]
        if not images:
            raise DataError(f"{self.file}: {self.part}: {listing(self.places)} holds no image")
        return images


def read_yolo_layout(path: Path, *, parts: Sequence[str] = TRAINING_PARTS) -> YoloLayout:
    """The layout that data.yaml, obj.data or classes.txt states; `path` is that file or its folder.

    Images are those of the first of `parts` that is stated; classes.txt states no parts, and all images count.
    """
    file = path
    if path.is_dir():
        there = [path / name for name in _FORMS if (path / name).is_file()]
        if not there:
            raise DataError(f"{path}: holds none of {', '.join(_FORMS)}; write a data.yaml with train: and names:")
        file = there[0]
    if file.suffix in (".txt", ".labels"):
        place = "images" if (file.parent / "images").is_dir() else "."
        return YoloLayout(file, file.parent, place, (place,), _names_of(file))
    if file.suffix == ".data":
        content = _read_assignments(file)
        names = content.get("names")
        part = _stated_part(content, parts)
        if names is None or part is None:
            raise DataError(f"{file}: has no {'names' if names is None else parts[0]}; write {parts[0]} = train.txt")
        return YoloLayout(file, file.parent, part, (content[part],), _names_of(_existing(names, file.parent, file)))
    settings = _read_settings(file)
    part = _stated_part(settings, parts)
    if part is None:
        raise DataError(f"{file}: has no {parts[0]!r}; write {parts[0]}: images/{parts[0]}")
    stated = settings[part]
    places = tuple(str(place) for place in (stated if isinstance(stated, list) else [stated]))
    return YoloLayout(file, _root(settings, file), part, places, _vocabulary(settings.get("names"), file))


def is_yolo(path: Path) -> bool:
    """Whether a path is a file that says where a YOLO data set is, or a folder that holds one."""
    if path.is_dir():
        return any((path / name).is_file() for name in _FORMS)
    return path.suffix.lower() in (".yaml", ".yml", ".data")


def _stated_part(settings: Mapping[str, Any], parts: Sequence[str]) -> str | None:
    return next((part for part in parts if settings.get(part)), None)


def _read_settings(file: Path) -> dict[str, Any]:  # Any: YAML
    content = parse_yaml(read_text(file, what="data.yaml"), source=file, texts=True)  # no, off and null are names
    if not isinstance(content, dict):
        raise DataError(f"{file}: holds {type(content).__name__}, not keys and values; train: and names: are needed")
    return content


def _read_assignments(file: Path) -> dict[str, str]:
    lines = [line.partition("=") for line in read_text(file, what="obj.data").splitlines() if "=" in line]
    return {key.strip(): value.strip() for key, _, value in lines}


def _names_of(file: Path) -> ClassVocabulary:
    lines = [line.strip() for line in read_text(file, what="class list").splitlines()]
    return _vocabulary([line for line in lines if line], file)


def _vocabulary(names: Any, file: Path) -> ClassVocabulary:  # Any: YAML
    if isinstance(names, Mapping):
        numbers = [int(key) if str(key).isdecimal() else key for key in names]
        if sorted(numbers, key=str) != sorted(range(len(numbers)), key=str):
            raise DataError(f"{file}: names: must be numbered 0 to {len(numbers) - 1}, got {listing(numbers)}")
        by_number = dict(zip(numbers, names.values(), strict=True))
        names = [by_number[number] for number in range(len(numbers))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{file}: has no class names; write names: [first, second, ...]")
    for name in names:
        if type(name) not in (str, int, float):  # YAML reads a bare no, off or null as something else
            raise DataError(f"{file}: class name {name!r} is not text; put it in quotes")
    categories = [{"id": number, "name": str(name).strip()} for number, name in enumerate(names)]
    check_categories(categories, str(file))
    return ClassVocabulary.from_categories(categories)


def _root(settings: Mapping[str, Any], file: Path) -> Path:
    """The folder that relative paths start from: `path:`, itself relative to data.yaml, where it is there."""
    stated = settings.get("path")
    if stated is None:
        return file.parent
    slashed = str(stated).replace("\\", "/")
    for root in (file.parent / slashed, Path(slashed)):
        if root.is_dir():
            return root
    return file.parent  # exported sets often state the folder of the machine that exported them


def _existing(place: str, root: Path, file: Path) -> Path:
    """Where a stated path leads. Exporters write ../train/images or data/train.txt also where these are beside them."""
    slashed = place.replace("\\", "/")
    nearer = slashed.removeprefix("../").removeprefix("data/")
    candidates = [root / place, root / slashed, file.parent / slashed, root / nearer, file.parent / nearer]
    found = next((candidate for candidate in candidates if os.path.exists(candidate)), None)  # False for a long name
    if found is None:
        raise DataError(f"{file}: {place[:200]!r} is not there (looked below {root}); correct path: or the entry")
    return found


def _images_of(place: str, layout: YoloLayout) -> list[Path]:
    found = _existing(place, layout.root, layout.file)
    if found.is_dir():
        return sorted(iter_photos(found))
    lines = [line.strip() for line in read_text(found, what="list of images").splitlines()]
    return [_listed(line, found, layout) for line in lines if line]


def _listed(line: str, file: Path, layout: YoloLayout) -> Path:
    slashed = line.replace("\\", "/")
    if slashed.startswith("./"):
        return file.parent / slashed
    for place in (layout.root, file.parent):  # lists often hold the paths of the machine that wrote them
        for part in (slashed, *path_suffixes(slashed)):
            if (place / part).is_file():
                return place / part
    raise DataError(f"{file}: {line[:200]} is not there (looked below {layout.root}); correct path: or the list")


def image_names(images: Sequence[Path], root: Path) -> list[str]:
    """The path of each image below the root, or as it is where it is elsewhere."""
    roots = [Path(os.path.abspath(root)), root.resolve()]
    return [_below(image, roots) for image in images]


def _below(image: Path, roots: Sequence[Path]) -> str:
    for path in (Path(os.path.abspath(image)), image.resolve()):  # as written: a link inside may lead elsewhere
        for root in roots:
            if path.is_relative_to(root):
                return path.relative_to(root).as_posix()
    return image.as_posix()
