"""Reading and writing whole files: no half-written file under its final name."""

from __future__ import annotations

import codecs
import contextlib
import errno
import gc
import hashlib
import io
import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from risf_core.errors import DataError, OutputError
from risf_core.locks import part_of

SETTINGS_FILE = "risf.yaml"  # of the working folder
STANDARD_STREAM = "-"  # the name under which a detections file is stdin or stdout
_NEVER_IN_TEXT = set(range(9)) | set(range(14, 27))  # control characters


@contextlib.contextmanager
def atomic_writer(path: Path, mode: str = "w") -> Iterator[IO[Any]]:
    """A file handle whose content replaces `path` when the block ends well; else the old file stays whole.

    A link stays a link: the file it leads to is replaced. What is not a file (a pipe, ``/dev/null``) is written to
    directly. The text form is UTF-8 with plain newlines on every system. Raises OutputError where the folder cannot be
    made or written, or where the disk is full.
    """
    try:
        if os.path.isdir(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if is_stream(path):
            with open(path, mode, **_text_form(mode)) as handle:
                yield handle
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        with part_of(target) as (descriptor, part):
            with open(descriptor, mode, **_text_form(mode)) as handle:
                yield handle
                handle.flush()
                os.fsync(handle.fileno())
            with contextlib.suppress(PermissionError):  # file systems without permissions refuse to set them
                os.chmod(part, _mode_of_new_file(target))
            os.replace(part, target)
    except OSError as error:
        raise OutputError(write_failure(path, error)) from error


def is_stdout(path: Path | str) -> bool:
    """Whether a target is the standard output, by any of its names."""
    return str(path) in (STANDARD_STREAM, "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def is_stream(path: Path | str) -> bool:
    """Whether a target is not a file that could be replaced: ``-``, a pipe, a device, an open descriptor."""
    if str(path) == STANDARD_STREAM or str(path).startswith(("/dev/std", "/dev/fd/", "/proc/self/fd/")):
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)


@contextlib.contextmanager
def open_output(target: Path | str) -> Iterator[IO[str]]:
    """A handle for UTF-8 text: stdout for ``-``, else that of `atomic_writer`. Raises OutputError as that does."""
    if not is_stdout(target):
        with atomic_writer(Path(target)) as handle:
            yield handle
        return
    if sys.stdout is None:
        raise OutputError("stdout is closed; give `out` a file")
    try:
        sys.stdout.flush()
        handle = io.TextIOWrapper(sys.stdout.buffer, **_text_form("w"))  # stdout's own encoding is the terminal's
        yield handle
        handle.detach().flush()
    except BrokenPipeError:
        raise  # whoever read has enough: the command line ends quietly
    except OSError as error:
        raise OutputError(f"stdout: cannot be written: {error.strerror or error}; give `out` a file") from error


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path`, whole or not at all."""
    with atomic_writer(path) as handle:
        handle.write(text)


def write_json(path: Path, content: object, *, indent: int | None = 2) -> None:
    """Write `content` as JSON with a final newline, whole or not at all; `indent` None is the compact form."""
    with atomic_writer(path) as handle:
        if indent is None:  # dumps, unlike dump, is one pass in C: seconds, not a minute, for a million rows
            handle.write(json.dumps(content, ensure_ascii=False, separators=(",", ":")))
        else:
            json.dump(content, handle, indent=indent, ensure_ascii=False)
        handle.write("\n")


def read_text(path: Path | str, *, what: str, content: bytes | None = None) -> str:
    """The text of a file (or of stdin for ``-``), byte order mark removed; `what` names it in errors.

    `content` is what the file holds, where it has been read already.
    """
    name = display_name(path)
    if content is None:
        content = read_bytes(path, what=what)
    fault = saved_instead(content[:200])
    if fault:
        raise DataError(f"{name}: {fault}")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in content[:2]:
        raise DataError(f"{name}: is UTF-16 text, as Windows writes it; save the {what} as UTF-8")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        is_text = not set(content[:1000]) & _NEVER_IN_TEXT
        why = f"save the {what} as UTF-8" if is_text else "is it a pickle or an archive?"
        of_what = "is text, but not UTF-8" if is_text else f"is not UTF-8 text, so it cannot be the {what}"
        raise DataError(f"{name}: {of_what} (byte {error.start}); {why}") from None


def saved_instead(start: bytes) -> str | None:
    """What a file's first bytes show that it is in place of the file itself, and what to do; else None."""
    start = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"version https://git-lfs"):
        return "is a pointer of Git LFS, not the file itself; fetch it with `git lfs pull`"
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "is a web page, not the file itself; download the file by its direct link"
    return None


def read_bytes(path: Path | str, *, what: str) -> bytes:
    """The bytes of a file, a pipe, or of stdin for ``-``; `what` names it in errors. Raises DataError."""
    name = display_name(path)
    try:
        return _stdin_bytes(what=what) if str(path) == STANDARD_STREAM else _bytes_of(Path(path))
    except FileNotFoundError:
        raise DataError(f"{name}: there is no such {what}; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        if os.path.isdir(path):
            raise DataError(f"{name}: is a folder; name a file in it") from None
        raise DataError(f"{name}: the {what} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _stdin_bytes(*, what: str) -> bytes:
    """All of stdin. Raises DataError where it is closed."""
    if sys.stdin is None:
        raise DataError(f"stdin is closed; pipe the {what} in, or name a file")
    return sys.stdin.buffer.read()


def _bytes_of(path: Path) -> bytes:
    with open(path, "rb") as handle:
        device = stat.S_ISCHR(os.fstat(handle.fileno()).st_mode)
        if device and not handle.isatty() and not os.path.samefile(path, os.devnull):
            raise OSError(errno.EINVAL, "it is a device without an end")
        return handle.read()


def read_json(
    path: Path | str,
    *,
    what: str,
    object_hook: Callable[[dict[str, Any]], Any] | None = None,
    content: bytes | None = None,
) -> Any:  # Any: JSON is of any shape until its reader has checked it
    """The parsed content of a JSON file (or of stdin for ``-``). Raises DataError where it is cut short or not JSON.

    `object_hook` maps each object as soon as it is read: what it drops never adds up in memory.
    As every reader does, NaN and Infinity are taken for numbers, and of a repeated key the last counts.
    """
    import msgspec  # takes half of json's time

    text = read_text(path, what=what, content=content)
    name = display_name(path)
    try:
        with _no_garbage_collection():
            if object_hook is None:
                with contextlib.suppress(msgspec.DecodeError):  # NaN, half a character, or a fault that json names
                    return msgspec.json.decode(text)
            return json.loads(text, object_hook=object_hook)
    except json.JSONDecodeError as error:
        if not text.strip():
            once = "; stdin can be read once only" if str(path) == STANDARD_STREAM else ""
            raise DataError(
                f"{name}: is empty; the {what} must hold JSON (an empty list is written []){once}"
            ) from None
        where = f"line {error.lineno}, column {error.colno}"
        if _is_cut_short(text, error):
            raise DataError(
                f"{name}: the JSON ends too early ({where}): the file is cut short; write or copy it again"
            ) from None
        if error.msg == "Extra data":
            raise DataError(
                f"{name}: the JSON ends before {where}, and more text follows; "
                f"the {what} must be one JSON value (JSON lines? put the rows between [ and ], with commas)"
            ) from None
        raise DataError(f"{name}: is not valid JSON at {where}: {error.msg}; the {what} must be JSON") from None
    except RecursionError:
        raise DataError(f"{name}: is nested too deeply to be read") from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise DataError(f"{name}: holds a number of thousands of digits, which cannot be read") from None


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Parsing makes millions of containers and no cycle; the collector would walk through them all, time and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def display_name(path: Path | str) -> str:
    """How a file is named in messages.

    >>> display_name("-")
    'stdin'
    """
    return "stdin" if str(path) == STANDARD_STREAM else str(path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal; a file that has not changed since is not read again."""
    state = path.stat()
    return _sha256_of(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256_of(path: Path, size: int, changed: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _text_form(mode: str) -> dict[str, Any]:  # Any: the keywords of open()
    """UTF-8 with plain newlines; half a surrogate pair, which UTF-8 lacks, as the escape that JSON has for it."""
    return {} if "b" in mode else {"encoding": "utf-8", "newline": "\n", "errors": "backslashreplace"}


def _is_cut_short(text: str, error: json.JSONDecodeError) -> bool:
    """Whether the JSON is faulty only because nothing follows: it ends within a string, a word, a number, a list."""
    rest = text[error.pos :].strip(" \t\r\n\0")  # zero bytes: what a crash leaves at the end
    if error.msg == "Extra data":
        return False
    if not rest or error.msg.startswith("Unterminated string"):
        return True
    if error.msg.startswith("Invalid \\u"):
        return len(rest) < 6 and '"' not in rest
    return any(word.startswith(rest) for word in ("true", "false", "null", "NaN", "Infinity", "-Infinity")) or bool(
        re.fullmatch(r"\.|[eE][-+]?", rest)
    )


def _mode_of_new_file(path: Path) -> int:
    """The permissions `path` has, or those an ordinary new file would get (mkstemp's own are private)."""
    try:
        return path.stat().st_mode & 0o777
    except OSError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def write_failure(path: Path, error: OSError) -> str:
    """Why a file or folder cannot be written, and what to do."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        why = "no space left on the disk" if error.errno == errno.ENOSPC else error.strerror
        kept = "; the file that was there is unchanged" if os.path.isfile(path) else ""
        return f"{path}: {why}{kept}; free some or write elsewhere"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return (
            f"{path}: cannot be written, because {_blocking_file(path)} is a file and not a folder; choose another path"
        )
    if error.errno == errno.EISDIR:
        return f"{path}: is a folder; name a file in it"
    return f"{path}: cannot be written: {error.strerror or error}; choose another path"


def _blocking_file(path: Path) -> Path:
    return next((parent for parent in path.parents if os.path.isfile(parent)), path.parent)
