"""The folder that a split is written to: never mixed with another, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from risf_core.errors import DataError, OutputError, listing
from risf_core.splits.manifest import MANIFEST_NAME, Manifest, read_manifest

PREVIEW_PREFIX = "preview"  # pictures in a split's folder that belong to no manifest


def refuse_other_split(folder: Path, manifest: Manifest, *, force: bool) -> None:
    """Raises OutputError where `folder` holds another split (unless `force`) or anything that is no split of risf."""
    if folder.resolve() == Path.cwd():
        raise OutputError("--out names the working folder; a split needs a folder of its own")
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; name a folder with --out")
    present = sorted(path for path in folder.rglob("*") if not path.is_dir()) if folder.is_dir() else []
    if not present:
        return
    if not (folder / MANIFEST_NAME).is_file():
        names = listing([path.relative_to(folder).as_posix() for path in present], most=2)
        raise OutputError(
            f"{folder}: holds files that no `risf prepare-splits` wrote ({names}), which are never touched or mixed; "
            "choose another --out"
        )
    try:
        other = read_manifest(folder)
    except DataError as error:
        raise OutputError(f"{error} (or remove the folder)") from None
    differences = manifest.differences(other)
    if differences and not force:
        raise OutputError(
            f"{folder}: holds another split ({listing(differences, most=2)}); choose another --out, or replace it "
            "whole with --force"
        )
    own = {folder / name for name in other.files}
    strangers = [path for path in present if path not in own and not path.name.startswith(PREVIEW_PREFIX)]
    if strangers:
        names = listing([path.relative_to(folder).as_posix() for path in strangers], most=2)
        raise OutputError(f"{folder}: also holds {names}, of no split; move that away or choose another --out")


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder` that takes its place when the block ends well; else the old one stays whole."""
    folder = folder.absolute()
    place: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        yield place
        _open_to_readers(place)
        _swap(place, folder)
        place = None
    except OSError as error:
        reason = "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror or str(error)
        raise OutputError(f"{folder}: cannot be written: {reason}; choose another --out") from error
    finally:
        if place is not None:
            shutil.rmtree(place, ignore_errors=True)


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
