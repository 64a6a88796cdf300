"""Reading and writing whole files: nothing half-written ever stands under its final name."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from risf_core.errors import DataError, OutputError

STANDARD_STREAM = "-"  # the name under which a detections file is stdin or stdout


@contextlib.contextmanager
def atomic_writer(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file handle whose content replaces `path` when the block ends well; else the old file stays whole.

    The text form is UTF-8 with plain newlines on every system. Raises OutputError where the folder cannot be made
    or written, or where the disk is full.
    """
    folder = path.parent
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle_number, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=folder)
        temporary = Path(name)
        encoding = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
        with open(handle_number, mode, **encoding) as handle:  # type: ignore[call-overload]
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.chmod(temporary, _mode_of_new_file(path))
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise OutputError(_write_failure(path, error)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_writer(path) as handle:
        handle.write(text)


def write_json(path: Path, content: object, *, indent: int | None = 2) -> None:
    """Write `content` as JSON with a final newline, whole or not at all."""
    with atomic_writer(path) as handle:
        json.dump(content, handle, indent=indent, ensure_ascii=False)
        handle.write("\n")


def read_text(path: Path | str, *, what: str) -> str:
    """The text of a file (or of stdin for ``-``), byte order mark removed; `what` names it in errors."""
    if str(path) == STANDARD_STREAM:
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such {what}; check the path") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is not UTF-8 text (byte {error.start}), so it is no {what}; is it a pickle or an archive?"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: the {what} cannot be read: {error.strerror or error}") from None


def read_json(path: Path | str, *, what: str) -> Any:  # Any: JSON is of any shape until its reader has checked it
    """The parsed content of a JSON file (or of stdin for ``-``). Raises DataError where it is cut short or no JSON."""
    text = read_text(path, what=what)
    name = display_name(path)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if not text.strip():
            raise DataError(f"{name}: is empty; a {what} holds JSON (an empty list is written [])") from None
        if text[error.pos :].strip() == "" or error.msg.startswith("Unterminated string"):
            raise DataError(
                f"{name}: the JSON ends too early (line {error.lineno}, column {error.colno}): "
                "the file is cut short; write or copy it again"
            ) from None
        raise DataError(
            f"{name}: is not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}; "
            f"a {what} in JSON form is needed"
        ) from None


def display_name(path: Path | str) -> str:
    """How a file is named in messages.

    >>> display_name("-")
    'stdin'
    """
    return "stdin" if str(path) == STANDARD_STREAM else str(path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _mode_of_new_file(path: Path) -> int:
    """The permissions `path` has, or those an ordinary new file would get (mkstemp's own are private)."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def _write_failure(path: Path, error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        kept = "; the file that was there is unchanged" if path.exists() else ""
        return f"{path}: no space left on the disk{kept}; free some or write elsewhere"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"{path}: cannot be written, because {_blocking_file(path)} is a file and not a folder; choose another path"
        )
    if error.errno == errno.EISDIR or path.is_dir():
        return f"{path}: is a folder; name a file in it"
    return f"{path}: cannot be written: {error.strerror or error}; choose another path"


def _blocking_file(path: Path) -> Path:
    return next((parent for parent in path.parents if parent.exists() and not parent.is_dir()), path.parent)
