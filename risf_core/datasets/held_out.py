"""Images that must not be trained on: reading their list, finding them in a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import refuse_stdin
from risf_core.datasets.index import check_images, image_info
from risf_core.detections import ImageId
from risf_core.errors import DataError
from risf_core.files import read_json, read_text, sha256_of
from risf_core.photos import ImageInfo


@dataclass(frozen=True)
class HeldOut:
    """The images of a test set, by id as text; with their file names where the list states them."""

    path: Path
    sha256: str
    file_names: Mapping[str, str | None]
    is_coco: bool  # whether the file is a COCO dataset, so that boxes to test on can be read from it

    def positions(self, images: Sequence[ImageInfo]) -> tuple[NDArray[np.int64], int]:
        """Positions of the test set's images among `images`, (H,); and how many share nothing with it but the number.

        An image is in the test set where its id is and the file names do not contradict; a list without file names
        may hold ids, file names or stems.
        """
        entries = self._entries(images)
        chance = sum(
            not meant and str(info.image_id) in self.file_names for meant, info in zip(entries, images, strict=True)
        )
        return np.flatnonzero([bool(meant) for meant in entries]), chance

    def entries_among(self, images: Sequence[ImageInfo]) -> int:
        """How many entries of the list are among `images`."""
        return len(set().union(*self._entries(images)))

    def _entries(self, images: Sequence[ImageInfo]) -> list[set[str]]:
        """The entries that mean each image; an entry that is the id of one is not the name of another."""
        ids = [str(info.image_id) for info in images]
        if self.is_coco:
            related = (_related(info.file_name, self.file_names.get(i)) for i, info in zip(ids, images, strict=True))
            return [{i} if i in self.file_names and fits else set() for i, fits in zip(ids, related, strict=True)]
        names = self.file_names.keys() - set(ids)
        return [({i} & self.file_names.keys()) | (_names(info) & names) for i, info in zip(ids, images, strict=True)]


def read_held_out(path: Path) -> HeldOut:
    """The test images of a COCO JSON, a JSON list of ids, or a text file with one id or file name per line."""
    refuse_stdin([path], field="held_out")
    if path.suffix.lower() != ".json":
        lines = read_text(path, what="held-out list").splitlines()
        return _of_ids(path, [_without_voc_column(line) for line in lines if line.strip()])
    content = read_json(path, what="held-out list", object_hook=_images_only)
    if isinstance(content, list) and all(type(image_id) in (int, str) for image_id in content):
        return _of_ids(path, content)
    images = content.get("images") if isinstance(content, dict) else None
    if not isinstance(images, list):
        raise DataError(f"{path}: holds no images; a COCO JSON or a list of image ids is needed")
    check_images(images, str(path))
    file_names = {str(image["id"]): image_info(image).file_name for image in images}
    return HeldOut(path, sha256_of(path), file_names, is_coco=True)


def _of_ids(path: Path, ids: Sequence[ImageId]) -> HeldOut:
    return HeldOut(path, sha256_of(path), dict.fromkeys(map(str, ids)), is_coco=False)


def _images_only(row: dict[str, Any]) -> dict[str, Any] | None:  # Any: JSON
    return None if "image_id" in row else row  # annotations are not looked at


def _without_voc_column(line: str) -> str:
    """A line's entry; VOC's lists of a class say in a second column whether it is there (-1, 0 or 1)."""
    columns = line.split()
    return columns[0] if len(columns) == 2 and columns[1] in ("-1", "0", "1") else line.strip()


def _names(info: ImageInfo) -> set[str]:
    if info.file_name is None:
        return set()
    path = PurePosixPath(info.file_name)
    return {info.file_name, path.name, path.stem}


def _related(first: str | None, second: str | None) -> bool:
    """Whether two file names may be of one image: COCO_val2014_000000000042.jpg and val2017/000000000042.jpg are."""
    if first is None or second is None:
        return True
    stems = PurePosixPath(first).stem, PurePosixPath(second).stem
    return stems[0].endswith(stems[1]) or stems[1].endswith(stems[0])
