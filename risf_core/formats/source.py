"""Source: the file, folder or stream that detections are read from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from risf_core.errors import DataError
from risf_core.files import STANDARD_STREAM, display_name, is_stream, read_bytes, read_json, read_text

HEAD_BYTES = 1 << 14  # what a form is recognised by


@dataclass(frozen=True)
class Source:
    """A file, a folder, or stdin for ``-``."""

    path: Path | str

    @property
    def name(self) -> str:
        """How it is named in messages."""
        return display_name(self.path)

    @property
    def suffix(self) -> str:
        """The ending of its name in lower case, with the dot."""
        return Path(self.path).suffix.lower()

    @cached_property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return str(self.path) != STANDARD_STREAM and os.path.isdir(self.path)

    @cached_property
    def _stream(self) -> bytes | None:
        """All of stdin or of a pipe, which can be read once only; None for a file or folder."""
        return read_bytes(self.path, what="detections file") if is_stream(self.path) else None

    @cached_property
    def head(self) -> bytes:
        """The first kilobytes; of a folder, those of its first file in the order of names."""
        if self._stream is not None:
            return self._stream[:HEAD_BYTES]
        try:
            path = next((path for path in self.files() if path.stat().st_size), None) if self.is_folder else self.path
            if path is None:
                return b""
            with open(path, "rb") as handle:
                return handle.read(HEAD_BYTES)
        except OSError:
            return b""  # reading it says what is wrong

    def files(self, suffix: str = "") -> Iterator[Path]:
        """The files of a folder and of those in it with that ending, in the order of their names."""
        for folder, folders, names in os.walk(self.path):
            folders.sort()
            yield from (Path(folder, name) for name in sorted(names) if name.lower().endswith(suffix))

    def files_or_refuse(self, suffix: str) -> Sequence[Path]:
        """The files with that ending. Raises DataError where there are none."""
        found = list(self.files(suffix))
        if not found:
            raise DataError(f"{self.name}: the folder holds no {suffix} file, so there are no detections to read")
        return found

    def json(self) -> Any:  # Any: JSON is of any shape until its reader has checked it
        """Its content as JSON."""
        return read_json(self.path, what="detections file", content=self._stream)

    def text(self) -> str:
        """Its content as text."""
        return read_text(self.path, what="detections file", content=self._stream)
