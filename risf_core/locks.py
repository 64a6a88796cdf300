"""Locks that end with their process, however it ends: on a folder that is in use, on files that are being written."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from risf_core.errors import ConfigError

PART = ".risf.part"  # how the name of a file ends that is being written
LOCK_NAME = ".lock"
_FAR = 1 << 30  # Windows locks bytes, and nobody could read those that are locked


def try_lock(descriptor: int, *, wait: bool = False) -> bool | None:
    """Whether an open file is now locked for this process; None where its file system has no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, _FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """A folder, made if need be, for this process alone. Raises ConfigError that says who has it, OSError."""
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_NAME
    descriptor = _taken(path, folder)
    try:
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}".encode())
        yield
    finally:
        if sys.platform == "win32":  # it removes no open file
            os.close(descriptor)
        with contextlib.suppress(OSError):
            path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)
        if made:
            with contextlib.suppress(OSError):  # something was written, as it should be
                folder.rmdir()


def _taken(path: Path, folder: Path) -> int:
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if try_lock(descriptor) is False:
            holder = os.read(descriptor, 200).decode(errors="replace")
            os.close(descriptor)
            raise ConfigError(
                f"{folder}: is in use by {holder or 'another process'}; wait until that ends, or name another folder"
            )
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # whoever had it before removed it in this very moment


@contextlib.contextmanager
def part_of(target: Path) -> Iterator[tuple[int, Path]]:
    """A new file beside `target`: its descriptor and path; it is removed at the end if it still has that name.

    What killed processes left in the folder is removed first.
    """
    remove_leftovers(target.parent)
    while True:
        # 40 characters of the name: the whole of a long one would not fit beside the additions
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", suffix=PART, dir=target.parent)
        if sys.platform == "win32":  # an open file cannot be removed there
            lock = None
            break
        try_lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:  # else another process took it for a leftover
            lock = os.dup(descriptor)
            break
        os.close(descriptor)
    try:
        yield descriptor, Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


@contextlib.contextmanager
def part_folder_of(target: Path) -> Iterator[Path]:
    """A new folder beside `target`, as `part_of` makes a file."""
    remove_leftovers(target.parent)
    place = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", suffix=PART, dir=target.parent))
    lock = None if sys.platform == "win32" else os.open(place, os.O_RDONLY)
    try:
        if lock is not None:
            try_lock(lock)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock is not None:
            os.close(lock)


@lru_cache(maxsize=64)
def remove_leftovers(folder: Path) -> None:
    """Remove, once a process, what killed processes were writing in a folder; what one still writes is locked."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.startswith(".") and entry.name.endswith(PART):
                with contextlib.suppress(OSError):
                    _remove_unlocked(Path(entry.path))


def _remove_unlocked(path: Path) -> None:
    if sys.platform == "win32":
        path.unlink()
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        if try_lock(descriptor):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(descriptor)
