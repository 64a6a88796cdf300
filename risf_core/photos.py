"""Which file is the photo of an image id."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from risf_core.detections import ImageId
from risf_core.errors import DataError, ImageError, listing
from risf_core.images import IMAGE_SUFFIXES

_TRAILING_NUMBER = re.compile(r"(?:^|_)0*(\d+)$")  # 000000000139, COCO_val2014_000000000139


@dataclass(frozen=True)
class ImageInfo:
    """One image as its dataset states it; what the file leaves out is None."""

    image_id: ImageId
    file_name: str | None = None
    height: int | None = None
    width: int | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width), or None where the dataset does not say."""
        return None if self.height is None or self.width is None else (self.height, self.width)


@dataclass(frozen=True)
class Photo:
    """The file of an image, and the size (height, width) that the annotations state for it, if any."""

    path: Path
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class FoundPhotos:
    """Which image ids have a file, which have none, and how the files were found."""

    photos: Mapping[ImageId, Photo]
    missing: Sequence[ImageId]  # in the annotations (or there are none), but no file is there
    unknown: Sequence[ImageId]  # not in the annotations
    ways: Mapping[str, int]  # "file name" | "file stem" | "number in the file name" -> images


def find_photos(
    image_ids: Iterable[ImageId], *, images: Mapping[ImageId, ImageInfo] | None, folders: Sequence[Path]
) -> FoundPhotos:
    """The photo of each image id: by the file name in the annotations, without them by the file's stem.

    A file name that is not below a folder as it is stated is looked for without its folders, then by its stem, as far
    as the annotations have no other image of that name or stem. Without a file name an image's photo has the id for a
    stem: as it is, with leading zeros, or either behind a prefix (COCO_val2014_000000000139). Folders are searched in
    order, with their subfolders. Raises DataError where a folder is missing or two photos answer to the same id.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder of images; check --images, or images: in risf.yaml")
    stems = _Stems(folders)
    stated = _StatedNames(images)
    photos: dict[ImageId, Photo] = {}
    missing: list[ImageId] = []
    unknown: list[ImageId] = []
    ways: Counter[str] = Counter()
    for image_id in image_ids:
        info = images.get(image_id) if images is not None else None
        if images is not None and info is None:
            unknown.append(image_id)
            continue
        path, way = _find(image_id, info, folders, stems, stated)
        if path is None:
            missing.append(image_id)
            continue
        photos[image_id] = Photo(path, info.size if info is not None else None)
        ways[way] += 1
    return FoundPhotos(photos, missing, unknown, dict(ways))


def refuse_empty(folders: Sequence[Path]) -> None:
    """Raises ImageError where none of the folders holds any photo; to be asked before missing ones are named."""
    if folders and not any(True for folder in folders for _ in _walk(folder)):
        raise ImageError(f"{_no_photo_in(folders)}; name the folder that holds them with --images")


def list_photos(folder: Path) -> list[Path]:
    """Every photo below a folder, sorted by path. Raises DataError where there is none."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of images; check --images, or images: in risf.yaml")
    found = sorted(_walk(folder))
    if not found:
        raise DataError(_no_photo_in([folder]))
    return found


def _no_photo_in(folders: Sequence[Path]) -> str:
    names = listing([str(folder) for folder in folders])
    return f"{names}: {'holds' if len(folders) == 1 else 'hold'} no photo ({', '.join(sorted(IMAGE_SUFFIXES))})"


def _find(
    image_id: ImageId, info: ImageInfo | None, folders: Sequence[Path], stems: _Stems, stated: _StatedNames
) -> tuple[Path | None, str]:
    if info is not None and info.file_name is not None:
        path = PurePath(info.file_name)
        names = [info.file_name, path.name] if stated.is_only_name(path.name) else [info.file_name]
        for folder in folders:
            for name in dict.fromkeys(names):
                if (folder / name).is_file():
                    return folder / name, "file name"
        return (stems.get(path.stem) if stated.is_only_stem(path.stem) else None), "file stem"
    exact = stems.get(str(image_id))
    if exact is not None:
        return (None if stated.has_stem(exact.stem) else exact), "file stem"
    number = str(image_id).lstrip("0") or "0"
    found = stems.get_number(number) if number.isdigit() else None
    return (None if found is None or stated.has_stem(found.stem) else found), "number in the file name"


class _StatedNames:
    """How many different file names of the annotations end in a name or a stem; counted on first use."""

    def __init__(self, images: Mapping[ImageId, ImageInfo] | None) -> None:
        self._images = images

    def is_only_name(self, name: str) -> bool:
        return self._names[name] == 1

    def is_only_stem(self, stem: str) -> bool:
        return self._stems[stem] == 1

    def has_stem(self, stem: str) -> bool:
        return self._images is not None and self._stems[stem] > 0

    @cached_property
    def _paths(self) -> list[PurePath]:
        infos = self._images.values() if self._images is not None else ()
        return [PurePath(name) for name in {info.file_name for info in infos} if name is not None]

    @cached_property
    def _names(self) -> Counter[str]:
        return Counter(path.name for path in self._paths)

    @cached_property
    def _stems(self) -> Counter[str]:
        return Counter(path.stem for path in self._paths)


class _Stems:
    """The photos of some folders by stem and by the number that a stem ends in; listed on first use."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._by_stem: dict[str, list[Path]] | None = None
        self._by_number: dict[str, list[Path]] = {}

    def get(self, stem: str) -> Path | None:
        return self._only(self._listed().get(stem, []), stem)

    def get_number(self, number: str) -> Path | None:
        self._listed()
        return self._only(self._by_number.get(number, []), number)

    def _listed(self) -> dict[str, list[Path]]:
        if self._by_stem is None:
            self._by_stem = {}
            for folder in self._folders:
                for path in sorted(_walk(folder)):
                    self._by_stem.setdefault(path.stem, []).append(path)
                    ending = _TRAILING_NUMBER.search(path.stem)
                    if ending:
                        self._by_number.setdefault(ending.group(1), []).append(path)
        return self._by_stem

    @staticmethod
    def _only(paths: Sequence[Path], asked: str) -> Path | None:
        if len(paths) > 1:
            raise DataError(
                f"image id {asked}: {len(paths)} photos answer to it ({listing(paths, most=2)}); "
                "pass --annotations, whose file names tell them apart, or one folder"
            )
        return paths[0] if paths else None


def _walk(folder: Path) -> Iterable[Path]:
    for root, _, names in os.walk(folder):
        for name in names:
            if os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:
                yield Path(root, name)
