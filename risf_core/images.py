"""Photos: finding the file of an image id, and decoding it to upright RGB."""

from __future__ import annotations

import contextlib
import os
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from risf_core.datasets import IMAGE_SUFFIXES, DatasetIndex, ImageInfo
from risf_core.detections import ImageId
from risf_core.errors import DataError, ImageError, listing

MOST_PIXELS = 1 << 30  # 3 GB as RGB

_ORIENTATION_TAG = 0x0112  # EXIF
_SIDEWAYS = (5, 6, 7, 8)  # the orientations that swap height and width
_TRAILING_NUMBER = re.compile(r"(?:^|_)0*(\d+)$")  # 000000000139, COCO_val2014_000000000139


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


def find_photos(image_ids: Iterable[ImageId], *, index: DatasetIndex | None, folders: Sequence[Path]) -> FoundPhotos:
    """The photo of each image id: by the file name in the annotations, without them by the file's stem.

    A file name that is not below a folder as it is stated is looked for without its folders, then by its stem, as far
    as the annotations have no other image of that name or stem. Without a file name an image's photo has the id for a
    stem: as it is, with leading zeros, or either behind a prefix (COCO_val2014_000000000139). Folders are searched in
    order, with their subfolders. Raises DataError where a folder is missing or two photos answer to the same id.
    """
    for folder in folders:
        if not folder.is_dir():
            raise DataError(f"{folder}: there is no such folder of images; check --images, or `images` in risf.yaml")
    stems = _Stems(folders)
    stated = _StatedNames(index)
    photos: dict[ImageId, Photo] = {}
    missing: list[ImageId] = []
    unknown: list[ImageId] = []
    ways: Counter[str] = Counter()
    for image_id in image_ids:
        info = index.images.get(image_id) if index is not None else None
        if index is not None and info is None:
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
        raise DataError(f"{folder}: there is no such folder of images; check --images, or `images` in risf.yaml")
    found = sorted(_walk(folder))
    if not found:
        raise DataError(_no_photo_in([folder]))
    return found


def decode_rgb(path: Path, expected_size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The photo as RGB, (H, W, 3), turned as its EXIF orientation says.

    Args:
        expected_size: (height, width) that the annotations state. A photo that fits only unturned is left unturned.

    Raises ImageError where the file is missing, is no whole image, or fits `expected_size` neither way.
    """
    with _opened(path) as opened:
        turn = _should_turn(_stored_size(opened), _orientation(opened), expected_size, path)
        upright = ImageOps.exif_transpose(opened) if turn else opened
        return np.asarray(_to_rgb(upright))


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) that `decode_rgb` would give, read from the file's head alone."""
    with _opened(path) as opened:
        height, width = _stored_size(opened)
        return (width, height) if _orientation(opened) in _SIDEWAYS else (height, width)


def is_turned(path: Path, expected_size: tuple[int, int] | None = None) -> bool:
    """Whether `decode_rgb` turns the photo's stored pixels, read from the file's head alone."""
    with _opened(path) as opened:
        orientation = _orientation(opened)
        return _should_turn(_stored_size(opened), orientation, expected_size, path) and orientation != 1


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

    def __init__(self, index: DatasetIndex | None) -> None:
        self._index = index

    def is_only_name(self, name: str) -> bool:
        return self._names[name] == 1

    def is_only_stem(self, stem: str) -> bool:
        return self._stems[stem] == 1

    def has_stem(self, stem: str) -> bool:
        return self._index is not None and self._stems[stem] > 0

    @cached_property
    def _paths(self) -> list[PurePath]:
        images = self._index.images.values() if self._index is not None else ()
        return [PurePath(name) for name in {info.file_name for info in images} if name is not None]

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


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image file, open; what goes wrong with it inside the block becomes an ImageError that names it."""
    try:
        with _open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ImageError(
                    f"{path}: has {opened.width}x{opened.height} pixels, more than the {MOST_PIXELS} that are decoded; "
                    "cut it into tiles"
                )
            yield opened
    except Image.DecompressionBombError as error:  # the plugins of TIFF and WebP ask once more
        size = str(error).partition(",")[0]
        raise ImageError(f"{path}: is too large ({size}); save it as PNG or JPEG, or cut it into tiles") from None
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such photo") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: is no image that can be decoded; replace the file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: the image is damaged and cannot be decoded ({error}); replace the file") from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """`Image.open` without Pillow's own limit (89 or 179 million pixels, global): aerial photos go beyond it."""
    try:
        opened = Image.open(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        with open(path, "rb") as handle, _identified(handle, path) as large:
            yield large
    else:
        with opened:
            yield opened


def _identified(handle: IO[bytes], path: Path) -> Image.Image:
    """The image by the first of Pillow's plugins that takes the file."""
    prefix = handle.read(16)
    for name in Image.ID:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(prefix) is not True:  # a text says why the format is not at hand
            continue
        handle.seek(0)
        try:
            return factory(handle, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error):  # what a plugin raises for another's file
            continue
    raise UnidentifiedImageError


def _stored_size(opened: Image.Image) -> tuple[int, int]:
    return opened.height, opened.width


def _orientation(opened: Image.Image) -> int:
    return int(opened.getexif().get(_ORIENTATION_TAG, 1))


def _should_turn(stored: tuple[int, int], orientation: int, expected: tuple[int, int] | None, path: Path) -> bool:
    turned = stored[::-1] if orientation in _SIDEWAYS else stored
    if expected is None or turned == expected:
        return True
    if stored == expected:
        return False
    raise ImageError(
        f"{path}: is {turned[1]}x{turned[0]} pixels, but the annotations say {expected[1]}x{expected[0]}; "
        "boxes and photo belong to different versions of the image"
    )


def _to_rgb(opened: Image.Image) -> Image.Image:
    if opened.mode == "I" or opened.mode.startswith("I;16"):  # 16-bit grey: Pillow would clip instead of scaling
        grey = np.asarray(opened).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    return opened.convert("RGB")
