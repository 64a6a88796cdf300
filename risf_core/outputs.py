"""What is written is checked before the work: that it can be, and that nothing which is read would be lost."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from risf_core.errors import ConfigError, OutputError
from risf_core.files import SETTINGS_FILE, STANDARD_STREAM, is_stream, write_failure

# What commands write: below a folder of photos or of Pascal VOC, where nothing of this kind is read, it may be replaced
_RESULTS = frozenset({".json", ".jsonl", ".csv", ".html"})
_OF_A_SPLIT = re.compile(r"split\.json|seed\d+|full_box_.+|box_\d+shot_.+")


def check_outputs(outputs: Mapping[str, Path | str | None], *, inputs: Iterable[Path | str | None]) -> None:
    """Refuse, before the work, outputs (by field) that would overwrite an input, cannot be written or are one file.

    Args:
        outputs: all files that are written, also those beside others (``"record": "out.json.record.json"``).
        inputs: every file and folder that the command reads: photos, lists, splits, the cache, weights. What is not a
            path, such as a list of class names, is passed over; the folder's risf.yaml counts always.

    Streams and None are passed over, on both sides, but stdin is read once only. Raises ConfigError, OutputError.
    """
    read = list(inputs)
    check_stdin_once(read)
    named = {field: Path(path) for field, path in outputs.items() if path is not None and not is_stream(path)}
    for field, path in named.items():
        check_not_read(path, read, field=field)
        check_writable(path)
    if len(named) > len({path.resolve() for path in named.values()}):
        fields = " and ".join(f"`{field}`" for field in named)
        raise ConfigError(f"{fields} name the same file, {next(iter(named.values()))}; choose two names")


def check_not_read(out: Path | str, inputs: Iterable[Path | str | None], *, field: str = "out") -> None:
    """Refuse a file, or a folder that is replaced whole, which a command reads. Raises ConfigError."""
    lost = [source for source in (*inputs, SETTINGS_FILE) if source is not None and _would_destroy(out, source)]
    if lost:
        where = f" in {lost[0]}" if all(os.path.isdir(source) for source in lost) else ""
        raise ConfigError(f"`{field}={out}` would overwrite an input{where}; choose another name")


def check_stdin_once(inputs: Iterable[Path | str | None]) -> None:
    """Refuse stdin for more than one input: whatever is read second finds it empty. Raises ConfigError."""
    if [str(source) for source in inputs].count(STANDARD_STREAM) > 1:
        raise ConfigError("- (stdin) can be read once only; write the other inputs to files")


def check_writable(path: Path) -> None:
    """Raises the OutputError that writing `path` would end in, before the work; its folder is made, the file is not."""
    if is_stream(path):
        return
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        folder = Path(os.path.realpath(path)).parent
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OutputError(write_failure(path, error)) from error


def _would_destroy(target: Path | str, source: Path | str) -> bool:
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
