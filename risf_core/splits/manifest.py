"""A split's manifest: what was asked for, of which data, which files it made; and how its folder is replaced."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from risf_core.choices import Benchmark, DatasetKind, Layout
from risf_core.documents import typed
from risf_core.errors import DataError, OutputError, listing
from risf_core.files import write_json
from risf_core.locks import part_folder_of
from risf_core.splits.preview import PREFIX
from risf_core.splits.seed_files import Class, classes_from_json, classes_to_json, read_split_json
from risf_core.splits.split import number_ranges
from risf_core.vocabulary import ClassVocabulary

MANIFEST_NAME = "split.json"
FORMAT = "risf split"
VERSION = 1


@dataclass(frozen=True)
class HeldOutFile:
    """The list of test images that were kept out."""

    path: Path
    sha256: str
    left_out: int  # how many of them stood among the training images
    has_boxes: bool  # whether it is a COCO dataset that can be tested on


@dataclass(frozen=True)
class Manifest:
    """What a folder of splits holds; two manifests that agree in everything but `files` describe the same split."""

    benchmark: Benchmark
    novel_set: str
    vocabulary: ClassVocabulary  # in the published order
    kind: DatasetKind
    source_paths: tuple[Path, ...]
    source_sha256: tuple[str, ...]
    held_out: HeldOutFile | None
    published: bool  # whether published files of seed 0 were read
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    layouts: tuple[Layout, ...]
    drawn_classes: tuple[str, ...]  # whose shots were written
    at_least: bool
    drop_images_with_novel: bool
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # below the folder, all of them

    @property
    def settings(self) -> dict[str, Any]:  # Any: JSON
        """What was asked for, as the files state it."""
        return {
            "shots": list(self.shots),
            "seeds": list(self.seeds),
            "layouts": list(self.layouts),
            "drawn_classes": list(self.drawn_classes),
            "at_least": self.at_least,
            "drop_images_with_novel": self.drop_images_with_novel,
        }

    def differences(self, other: Manifest) -> list[str]:
        """In words, what sets another split apart from this one."""
        mine, theirs = self._shown(), other._shown()
        return [f"{key} {theirs[key]}, here {mine[key]}" for key in mine if mine[key] != theirs[key]]

    def _shown(self) -> dict[str, str]:
        return {
            "classes": f"of {self.novel_set} ({len(self.vocabulary)}, {len(self.vocabulary.novel)} novel)"
            + ("" if self.drawn_classes == self.vocabulary.names else f", {len(self.drawn_classes)} drawn"),
            "class list": " ".join(map(str, self.vocabulary.category_ids)),
            "source": " ".join(digest[:12] for digest in self.source_sha256),
            "held-out list": self.held_out.sha256[:12] if self.held_out else "none",
            "published seed 0": "read" if self.published else "not read",
            "shots": ",".join(map(str, self.shots)),
            "seeds": number_ranges(self.seeds),
            "layout": "+".join(self.layouts),
            "at-least": str(self.at_least).lower(),
            "drop-images-with-novel": str(self.drop_images_with_novel).lower(),
        }


def write_manifest(folder: Path, manifest: Manifest, *, at: Path) -> None:
    """Writes the manifest of a split whose final place is `folder` into the folder `at`."""
    held_out = manifest.held_out
    content = {
        "format": FORMAT,
        "version": VERSION,
        "benchmark": manifest.benchmark,
        "novel_set": manifest.novel_set,
        "source": {
            "kind": manifest.kind,
            "files": [
                {"path": _relative(path, folder), "sha256": digest}
                for path, digest in zip(manifest.source_paths, manifest.source_sha256, strict=True)
            ],
        },
        "held_out": held_out
        and {
            "path": _relative(held_out.path, folder),
            "sha256": held_out.sha256,
            "left_out": held_out.left_out,
            "has_boxes": held_out.has_boxes,
        },
        "published": manifest.published,
        "settings": manifest.settings,
        "classes": classes_to_json(manifest.vocabulary),
        "notes": list(manifest.notes),
        "files": list(manifest.files),
    }
    write_json(at / MANIFEST_NAME, content)


class _File(TypedDict):
    path: str
    sha256: str


class _Source(TypedDict):
    kind: DatasetKind
    files: list[_File]


class _HeldOut(_File):
    left_out: int
    has_boxes: bool


class _Settings(TypedDict):
    shots: tuple[int, ...]
    seeds: tuple[int, ...]
    layouts: tuple[Layout, ...]
    drawn_classes: tuple[str, ...]
    at_least: bool
    drop_images_with_novel: bool


class _Content(TypedDict):
    benchmark: Benchmark
    novel_set: str
    source: _Source
    held_out: _HeldOut | None
    published: bool
    settings: _Settings
    classes: list[Class]
    notes: tuple[str, ...]
    files: tuple[str, ...]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder that `risf prepare-splits` wrote. Raises DataError where it is not one."""
    path = folder / MANIFEST_NAME
    way_out = "draw the split again into another folder"
    content = typed(read_split_json(path, form=FORMAT), _Content, source=path, way_out=way_out)
    source, held_out = content["source"], content["held_out"]
    if not (source["files"] and content["classes"] and content["settings"]["seeds"]):
        raise DataError(f"{path}: is damaged (it names no source, class or seed); {way_out}")
    return Manifest(
        benchmark=content["benchmark"],
        novel_set=content["novel_set"],
        vocabulary=classes_from_json(content["classes"], path),
        kind=source["kind"],
        source_paths=tuple(_resolved(file["path"], folder) for file in source["files"]),
        source_sha256=tuple(file["sha256"] for file in source["files"]),
        held_out=HeldOutFile(
            _resolved(held_out["path"], folder), held_out["sha256"], held_out["left_out"], held_out["has_boxes"]
        )
        if held_out
        else None,
        published=content["published"],
        **content["settings"],
        notes=content["notes"],
        files=content["files"],
    )


def _relative(path: Path, folder: Path) -> str:
    """The path as seen from the folder, so that a tree that is moved whole stays right."""
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # Windows: on another drive
        return path.absolute().as_posix()


def _resolved(stated: str, folder: Path) -> Path:
    return Path(os.path.normpath(folder / stated))


def refuse_other_split(folder: Path, manifest: Manifest, *, force: bool) -> None:
    """Raises OutputError where `folder` holds another split (unless `force`) or anything that risf did not write."""
    if folder.resolve() == Path.cwd():
        raise OutputError("`out` names the working folder; a split needs a folder of its own")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder with `out`")
    files = folder.rglob("*") if folder.is_dir() else ()
    present = sorted(path for path in files if not (path.is_dir() or _is_unfinished(path)))
    present = [path for path in present if not (path.name.startswith(".") and path.name.endswith(".part"))]  # of a kill
    if not present:
        return
    if not (folder / MANIFEST_NAME).is_file():
        names = listing([path.relative_to(folder).as_posix() for path in present], most=2)
        raise OutputError(
            f"{folder}: is not empty and was not created by `risf prepare-splits` ({names}); choose another `out`"
        )
    try:
        other = read_manifest(folder)
    except DataError as error:
        raise OutputError(f"{error} (or remove the folder)") from None
    differences = manifest.differences(other)
    if differences and not force:
        raise OutputError(
            f"{folder}: holds another split ({listing(differences, most=2)}); choose another `out`, or replace it "
            "whole with `force`"
        )
    own = {folder / name for name in other.files}
    strangers = [path for path in present if path not in own and not path.name.startswith(PREFIX)]
    if strangers:
        names = listing([path.relative_to(folder).as_posix() for path in strangers], most=2)
        raise OutputError(f"{folder}: also holds {names}, not of this split; move that away or choose another `out`")


def _is_unfinished(path: Path) -> bool:
    """Whether a file is what a killed process was writing."""
    return path.name.startswith(".") and path.name.endswith(".part")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` that takes its place when the block ends well; else the old one stays whole."""
    folder = folder.absolute()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with part_folder_of(folder) as place:
            yield place
            _open_to_readers(place)
            _swap(place, folder)
    except UnicodeEncodeError as error:
        raise DataError(
            f"the data hold {error.object[error.start : error.end]!a} in a name, which is half a character and "
            "cannot be written; correct the name"
        ) from None
    except OSError as error:
        reason = "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise OutputError(f"{folder}: cannot be written: {reason}; choose another `out`") from error


def _open_to_readers(place: Path) -> None:
    """mkdtemp's folders are private: this one gets the permissions of an ordinary new folder."""
    mask = os.umask(0)
    os.umask(mask)
    place.chmod(0o777 & ~mask)


def _swap(place: Path, folder: Path) -> None:
    if not folder.exists():
        place.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent))
    folder.rename(old / folder.name)
    try:
        place.rename(folder)
    except OSError:
        (old / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
