"""Which file is the photo of an image id."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from risf_core.detections import ImageId
from risf_core.errors import DataError, ImageError, listing
from risf_core.images import image_suffixes

ANYWHERE = Path(os.sep)  # as a folder of photos: file names may lead anywhere; it is not searched

_TRAILING_NUMBER = re.compile(r"(?:^|_)0*(\d+)$")  # 000000000139, COCO_val2014_000000000139
_UPLOAD_MARK = re.compile(r"^[0-9a-f]{8}-(?=.)")  # Label Studio stores cat.jpg as 1a2b3c4d-cat.jpg
_ROBOFLOW_HASH = re.compile(r"_[a-z0-9]+\.rf\.[0-9a-zA-Z]+$")  # Roboflow exports cat.jpg as cat_jpg.rf.1f2e3d.jpg
_Form = Callable[[str], str]  # _plain or loose_stem: how stems are compared
_MOST_COMPARED = 5000  # file names among which the nearest is looked for


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
    ways: Mapping[str, int]  # "file name" | "file stem" | "similar file name" | "number in the file name" -> images
    folders: Sequence[Path]
    hint: str = ""  # the file looked for of the first missing image, and the nearest that is there

    def describe_missing(self) -> str:
        """How many images have no photo, which, and what was looked for."""
        where = f"in {listing([str(f) for f in self.folders], most=3)}" if self.folders else "(no folder was named)"
        ids = listing([repr(image_id) for image_id in self.missing])
        count = len(self.missing) + len(self.photos)
        return f"{len(self.missing)} of {count} images have no photo {where}: image_id {ids} ({self.hint})"

    def refuse_missing(self, way_out: str, *, name: str = "") -> None:
        """Raises ImageError where an image has no photo; `name` comes first in it, `way_out` last."""
        if self.missing:
            refuse_empty(self.folders)
            raise ImageError(f"{name}{': ' if name else ''}{self.describe_missing()}; {way_out}")


def find_photos(
    image_ids: Iterable[ImageId],
    *,
    images: Mapping[ImageId, ImageInfo] | None,
    folders: Sequence[Path],
) -> FoundPhotos:
    """The photo of each image id: by the file name in the annotations, without them by the file's stem.

    A file name that is not below a folder as it is stated is looked for without its first folders, then by its stem,
    then by its stem in another Unicode form, another case, or with or without the hash that Roboflow adds, as far as
    only one image of the annotations and one photo can be meant. Backslashes, %20 and ?query are understood. A name
    that leads out of the folders (an absolute path, ..) is only followed with ANYWHERE among them. Without a file name
    an image's photo has the id for a stem: as it is, with leading zeros, or either behind a prefix
    (COCO_val2014_000000000139). Folders are searched in order, with their subfolders.

    Raises DataError where a folder is missing, two photos fit one id, or two images have one photo.
    """
    for folder in folders:
        _check_folder(folder)
    search = _Search(images, folders)
    photos: dict[ImageId, Photo] = {}
    missing: list[ImageId] = []
    unknown: list[ImageId] = []
    ways: Counter[str] = Counter()
    image_of: dict[Path, ImageId] = {}
    for image_id in image_ids:
        info = images.get(image_id) if images is not None else None
        if images is not None and info is None:
            unknown.append(image_id)
            continue
        path, way = search.find(image_id, info)
        if path is None:
            missing.append(image_id)
            continue
        if image_of.setdefault(path, image_id) != image_id:
            raise DataError(
                f"images {image_of[path]!r} and {image_id!r} have one photo, {path}; list it once, or correct the "
                "file_name of one"
            )
        photos[image_id] = Photo(path, info.size if info is not None else None)
        ways[way] += 1
    hint = search.hint(missing[0]) if missing else ""
    return FoundPhotos(photos, missing, unknown, dict(ways), folders, hint)


def refuse_empty(folders: Sequence[Path]) -> None:
    """Raises ImageError where none of the folders holds any photo; to be asked before missing ones are named."""
    if folders and not any(True for folder in folders for _ in iter_photos(folder)):
        names = listing([str(folder) for folder in folders])
        holds = "holds" if len(folders) == 1 else "hold"
        raise ImageError(f"{names}: {holds} no photo; name the folder that holds them with `images`")


def list_photos(folder: Path) -> list[Path]:
    """Every photo below a folder, sorted by path. Raises DataError where there is none."""
    _check_folder(folder)
    found = sorted(iter_photos(folder))
    if not found:
        raise DataError(f"{folder}: holds no photo")
    return found


def iter_photos(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is named as a photo; links are followed, what macOS adds is passed over."""
    seen = set()
    for root, subfolders, names in os.walk(folder, followlinks=True) if folder != ANYWHERE else ():
        real = os.path.realpath(root)
        if real in seen:  # a link that leads back up
            subfolders.clear()
            continue
        seen.add(real)
        subfolders[:] = [name for name in subfolders if name != "__MACOSX"]
        for name in names:
            if is_photo_name(name):
                yield Path(root, name)


def is_photo_name(name: str) -> bool:
    """Whether a file of that name is taken for a photo, by its suffix; macOS's ._name files are not."""
    return os.path.splitext(name)[1].lower() in image_suffixes() and not os.path.basename(name).startswith("._")


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder of images; check `images`")


def _readings(file_name: str) -> list[str]:
    """A stated file name as it is, with slashes, and without what is for the web."""
    slashed = file_name.replace("\\", "/")
    path, _, query = slashed.partition("?")
    local = query.removeprefix("d=") if query.startswith("d=") else path  # Label Studio's address of a local file
    return list(dict.fromkeys([file_name, slashed, unquote(local).strip()]))


def path_suffixes(path: str) -> list[str]:
    """A path as it may be below a folder: all of it, then without its first folder, and so on to the bare name."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _plain(stem: str) -> str:
    return unicodedata.normalize("NFC", stem)


def loose_stem(stem: str) -> str:
    """A stem without what tools change on the way: the Unicode form, case, Roboflow's hash, Label Studio's mark."""
    return _plain(_UPLOAD_MARK.sub("", _ROBOFLOW_HASH.sub("", stem))).casefold()


class _Search:
    """The photos of some folders and the names that annotations state; each is listed on first use."""

    def __init__(self, images: Mapping[ImageId, ImageInfo] | None, folders: Sequence[Path]) -> None:
        self._images = images
        self._folders = folders

    def find(self, image_id: ImageId, info: ImageInfo | None) -> tuple[Path | None, str]:
        """The photo of an image, if there is one, and how it was found."""
        if info is not None and info.file_name is not None:
            return self._by_name(info.file_name)
        stem = str(image_id)
        found = _only(self._files[_plain].get(_plain(stem), []), stem)
        found = found or _unique(self._files[loose_stem].get(loose_stem(stem), []))
        if found is not None:
            return (None if self._is_stated(found) else found), "file stem"
        number = stem.lstrip("0") or "0"
        found = _only(self._by_number.get(number, []), stem) if number.isdigit() else None
        return (None if found is None or self._is_stated(found) else found), "number in the file name"

    def hint(self, image_id: ImageId) -> str:
        """What was looked for, and the nearest that is there."""
        info = self._images.get(image_id) if self._images is not None else None
        name = info.file_name if info is not None and info.file_name is not None else str(image_id)
        if self._is_outside(name) and any(os.path.isfile(folder / name) for folder in self._folders):
            return f"{name!r} leads out of the folders; name its own with `images`, or pass `allow_outside`"
        wanted = _readings(name)[-1].rpartition("/")[2]
        there = sorted({path.name for paths in self._files[_plain].values() for path in paths})
        nearest = get_close_matches(wanted, there[:_MOST_COMPARED], n=1, cutoff=0.0)
        return f"looked for {name!r}, " + (f"the nearest there is {nearest[0]!r}" if nearest else "no photo is there")

    def _by_name(self, file_name: str) -> tuple[Path | None, str]:
        for folder in self._folders:
            for name in _readings(file_name):
                if os.path.isfile(folder / name) and not self._is_outside(name):
                    return folder / name, "file name"
            for name in _readings(file_name):
                for part in path_suffixes(name):
                    if self._stated_suffixes[part] == 1 and os.path.isfile(folder / part):
                        return folder / part, "file name"
        name = PurePosixPath(_readings(file_name)[-1]).name
        stem = PurePosixPath(name).stem
        if self._stated_stems[_plain][_plain(stem)] == 1:
            files = self._files[_plain].get(_plain(stem), [])
            found = _only([path for path in files if path.name == name] or files, file_name)
            if found is not None:
                return found, "file stem"
        if self._stated_stems[loose_stem][loose_stem(stem)] == 1:
            return _unique(self._files[loose_stem].get(loose_stem(stem), [])), "similar file name"
        return None, "file stem"

    def _is_outside(self, name: str) -> bool:
        """Whether a path leads out of all folders by how it is written; links inside are followed."""
        if not os.path.isabs(name) and ".." not in PurePosixPath(name).parts:
            return False
        roots = [os.path.abspath(folder) for folder in self._folders]
        paths = {os.path.abspath(os.path.join(root, name)) for root in roots}
        return not any(os.path.commonpath([root, path]) == root for root in roots for path in paths)

    def _is_stated(self, path: Path) -> bool:
        return self._images is not None and self._stated_stems[_plain][_plain(path.stem)] > 0

    @cached_property
    def _stated_paths(self) -> list[str]:
        infos = self._images.values() if self._images is not None else ()
        names = {info.file_name for info in infos if info.file_name is not None}
        return [_readings(name)[-1] for name in names]

    @cached_property
    def _stated_suffixes(self) -> Counter[str]:
        """How many different file names of the annotations end in a path."""
        return Counter(part for path in self._stated_paths for part in path_suffixes(path))

    @cached_property
    def _stated_stems(self) -> Mapping[_Form, Counter[str]]:
        """How many different file names of the annotations have a stem, in either form."""
        stems = [PurePosixPath(path).stem for path in self._stated_paths]
        return {form: Counter(map(form, stems)) for form in (_plain, loose_stem)}

    @cached_property
    def _files(self) -> Mapping[_Form, Mapping[str, list[Path]]]:
        """The photos of the folders by stem, in either form."""
        found: dict[_Form, dict[str, list[Path]]] = {_plain: {}, loose_stem: {}}
        for folder in self._folders:
            for path in sorted(iter_photos(folder)):
                for form, paths in found.items():
                    paths.setdefault(form(path.stem), []).append(path)
        return found

    @cached_property
    def _by_number(self) -> Mapping[str, list[Path]]:
        """The photos by the number that their stem ends in."""
        found: dict[str, list[Path]] = {}
        for stem, paths in self._files[loose_stem].items():
            ending = _TRAILING_NUMBER.search(stem)
            if ending:
                found.setdefault(ending.group(1), []).extend(paths)
        return found


def _only(paths: Sequence[Path], wanted: str) -> Path | None:
    if len(paths) > 1:
        raise DataError(
            f"image {wanted}: {len(paths)} photos fit it ({listing(paths, most=2)}); "
            "annotations whose file names hold their folders tell them apart, or name one folder"
        )
    return paths[0] if paths else None


def _unique(paths: Sequence[Path]) -> Path | None:
    return paths[0] if len(paths) == 1 else None
