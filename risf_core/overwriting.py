"""Whether writing a file or folder would destroy something that is read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

# What commands write: below a folder of photos or of Pascal VOC, where nothing of this kind is read, it may be replaced
_RESULTS = frozenset({".json", ".jsonl", ".csv", ".html"})
_OF_A_SPLIT = re.compile(r"split\.json|seed\d+|full_box_.+|box_\d+shot_.+")


def would_destroy(target: Path | str, source: Path | str) -> bool:
    """Whether writing `target` (a file, or a folder that is replaced whole) would destroy the file or folder `source`.

    Links are resolved. Of a folder that is read every file counts that may be input: all of a split, and anywhere else
    all but results (JSON, CSV, HTML).
    """
    if os.path.isdir(target):
        return os.path.exists(source) and _is_below(os.path.realpath(source), os.path.realpath(target))
    if not os.path.isfile(target):
        return False
    if os.path.isfile(source):
        return os.path.samefile(target, source)
    if not os.path.isdir(source):
        return False
    if os.path.splitext(target)[1].lower() in _RESULTS and not _is_split(source):
        return False
    place = os.path.realpath(target)
    return any(_is_below(place, found) for found in _places(source))


def _is_split(folder: Path | str) -> bool:
    with contextlib.suppress(OSError):
        return any(_OF_A_SPLIT.fullmatch(name) for name in os.listdir(folder))
    return False


def _places(folder: Path | str) -> Iterator[str]:
    """The real paths of the folder and of all that links below it lead to."""
    waiting, seen = [os.path.realpath(folder)], set[str]()
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        yield here
        with contextlib.suppress(OSError), os.scandir(here) as entries:
            for entry in entries:
                if entry.is_dir():
                    waiting.append(os.path.realpath(entry.path))
                elif entry.is_symlink():
                    yield os.path.realpath(entry.path)


def _is_below(place: str, folder: str) -> bool:
    return place == folder or place.startswith(folder.rstrip(os.sep) + os.sep)
