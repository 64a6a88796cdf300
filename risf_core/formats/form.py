"""Form: one way in which detections are written, with its reader, its writer and how it is recognised."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections, ImageId, factorize
from risf_core.errors import DataError, OutputError, listing
from risf_core.files import STANDARD_STREAM, open_output
from risf_core.formats.rows import Rows
from risf_core.formats.source import Source
from risf_core.locks import part_folder_of
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

NO, MAYBE, LIKELY, SURE = 0, 1, 2, 3  # how strongly a form claims what it sees

_JSON_KEY = re.compile(rb'"([^"\\]{1,40})"\s*:')


@dataclass(frozen=True)
class Output:
    """Detections under a dataset's own ids, with what a form may need to write them."""

    detections: Detections
    vocabulary: ClassVocabulary
    images: Mapping[ImageId, ImageInfo] = field(default_factory=dict)
    envelope: Mapping[str, Any] | None = None  # what the COCO dataset that was read holds beside its annotations

    def file_name(self, image_id: ImageId) -> str:
        """The file name of an image; where the dataset states none, its id."""
        info = self.images.get(image_id)
        return str(image_id) if info is None or info.file_name is None else info.file_name

    def size(self, image_id: ImageId, form: str) -> tuple[int, int]:
        """(height, width) of an image. Raises DataError where it is not known."""
        info = self.images.get(image_id)
        if info is None or info.size is None:
            raise DataError(
                f"{form} needs the size of each image, and none is known for {image_id!r}; "
                "pass `annotations` with height and width"
            )
        return info.size

    def labels(self, rows: NDArray[np.int64] | slice = slice(None)) -> list[int]:
        """The labels of rows. Raises DataError for a row whose category is unknown."""
        labels: list[int] = self.detections.labels[rows].tolist()
        if labels and min(labels) < 0:
            raise DataError("a row of an unknown category can be written to COCO's forms only; leave such rows out")
        return labels

    def class_names(self, rows: NDArray[np.int64] | slice = slice(None)) -> list[str]:
        """The class names of rows. Raises DataError as `labels` does."""
        return [self.vocabulary.names[label] for label in self.labels(rows)]


@dataclass(frozen=True)
class Form:
    """A form of detections; `read` and `write` may be missing."""

    name: str  # what `format` and `to` say
    title: str  # what a person calls it
    written_by: str
    keeps: str
    loses: str
    sniff: Callable[[Source], int]  # NO .. SURE, from the first kilobytes and the name
    read: Callable[[Source], Rows] | None = None
    write: Callable[[Path | str, Output], None] | None = None
    is_text: bool = True  # and so can be written to stdout
    keeps_unknown: bool = False  # also rows of classes that the vocabulary lacks can be written
    needs_sizes: bool = False  # writing needs the size of each image

    @property
    def keeps_keys(self) -> bool:
        """Whether rows keep keys of their own, such as score_clip."""
        return "other keys" in self.keeps or "custom columns" in self.keeps

    def check_output(self, target: Path | str, output: Output) -> None:
        """Refuse, before any work, what writing would end in. Raises OutputError, DataError."""
        if not self.is_text:
            refuse_stdout(target, self.name)
        if not self.keeps_unknown:
            output.labels()
        if self.needs_sizes:
            for image_id in factorize(output.detections.image_ids)[1]:
                output.size(image_id, self.name)


def json_keys(head: bytes) -> frozenset[str]:
    """The keys in the first kilobytes of JSON; empty where it is none."""
    if head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] not in (b"[", b"{"):
        return frozenset()
    return frozenset(key.decode("utf-8", "replace") for key in _JSON_KEY.findall(head))


def first_entry_keys(head: bytes) -> frozenset[str] | None:
    """The keys of the first entry of a JSON list; None where it does not end in the first kilobytes."""
    text = head.decode("utf-8-sig", "ignore").lstrip()
    try:
        first, _ = json.JSONDecoder().raw_decode(text[1:].lstrip())
    except (ValueError, RecursionError):
        return None
    return frozenset(first) if isinstance(first, dict) else frozenset()


def is_json_list(head: bytes) -> bool:
    """Whether JSON begins with a list."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["


def put_json(target: Path | str, content: object) -> None:
    """Write compact JSON to a file, or to stdout for ``-``."""
    with open_output(target) as handle:
        handle.write(json.dumps(content, ensure_ascii=False) + "\n")


def refuse_stdout(target: Path | str, form: str) -> None:
    """Raises OutputError where a form that is not text should go to stdout."""
    if str(target) == STANDARD_STREAM:
        raise OutputError(f"stdout: {form} is written to a file or folder only; name one with `out`")


@contextlib.contextmanager
def new_folder(target: Path | str) -> Iterator[Path]:
    """A folder that becomes `target` when the block ends well. Raises OutputError where `target` holds anything."""
    refuse_stdout(target, "a form of several files")
    path = Path(target)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        found = listing([item.name for item in sorted(path.iterdir())]) if path.is_dir() else "a file"
        raise OutputError(f"{target}: must be a new or an empty folder ({found}); choose another name")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part_folder_of(path) as temporary:
            yield temporary
            temporary.chmod(0o755)
            if path.exists():
                path.rmdir()
            temporary.rename(path)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}") from None
