"""Which image of a dataset a name stands for: its file name, base name or stem, with folders where these are shared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.photos import ImageInfo, is_photo_name, loose_stem


class PhotoNames:
    """The names of a dataset's images, looked up in the order: path, base name, stem, joined folders, id as text."""

    def __init__(self, images: Mapping[ImageId, ImageInfo]) -> None:
        self._paths: dict[ImageId, str] = {}
        self._exact: dict[str, list[ImageId]] = defaultdict(list)
        self._base: dict[str, list[ImageId]] = defaultdict(list)
        self._stem: dict[str, list[ImageId]] = defaultdict(list)
        self._loose: dict[str, list[ImageId]] = defaultdict(list)  # without case, Unicode form, Roboflow's hash
        self._joined: dict[str, list[ImageId]] = defaultdict(list)  # a/1.jpg -> a_1, as `yolo val` names its txt files
        for image_id, info in images.items():
            path = _posix(info.file_name if info.file_name is not None else str(image_id))
            self._paths[image_id] = path
            self._exact[path].append(image_id)
            self._base[path.rpartition("/")[2]].append(image_id)
            self._stem[_stem(path.rpartition("/")[2])].append(image_id)
            self._loose[loose_stem(_stem(path.rpartition("/")[2]))].append(image_id)
            self._joined[_stem(path).replace("/", "_")].append(image_id)
        self._text = {str(image_id): [image_id] for image_id in images}

    def find(self, name: str, source: str) -> ImageId | None:
        """The image of that name, None where there is none. Raises DataError where several have it alike."""
        path = _posix(name)
        base = path.rpartition("/")[2]
        candidates = (
            self._exact.get(path)
            or self._base.get(base)
            or self._stem.get(base)
            or (self._stem.get(_stem(base)) if _stem(base) != base else None)
            or self._joined.get(base)
            or self._text.get(name)
            or _only(self._loose.get(loose_stem(_stem(base)), []))
        )
        if not candidates:
            return None
        if len(candidates) == 1:
            return candidates[0]
        shared = [_shared_folders(path, self._paths[image_id]) for image_id in candidates]
        best = [image_id for image_id, count in zip(candidates, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise DataError(
                f"{source}: photo {name!r} may be {self._paths[best[0]]!r} or {self._paths[best[1]]!r} of the "
                "annotations; write its folder too, or match by ids with `image_ids`"
            )
        return best[0]

    def is_loose(self, name: str, image_id: ImageId) -> bool:
        """Whether a name is that of the image only without case, Unicode form and Roboflow's hash."""
        mine, own = (_stem(path.rpartition("/")[2]) for path in (_posix(name), self._paths[image_id]))
        return mine != own and loose_stem(mine) == loose_stem(own)


def _only(candidates: list[ImageId]) -> list[ImageId]:
    return candidates if len(candidates) == 1 else []


def _posix(name: str) -> str:
    path = name.replace("\\", "/")
    return PurePosixPath(path).as_posix() if "./" in path or "//" in path else path


def _stem(name: str) -> str:
    """The name without the ending of a photo; other dots are part of it (``a.rf.1f2e``)."""
    return name.rpartition(".")[0] if is_photo_name(name) else name


def _shared_folders(one: str, other: str) -> int:
    """How many folders above the file two paths share, counted from the file."""
    count = 0
    for mine, theirs in zip(reversed(one.split("/")[:-1]), reversed(other.split("/")[:-1]), strict=False):
        if mine != theirs:
            break
        count += 1
    return count
