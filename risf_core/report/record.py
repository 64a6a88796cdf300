"""The record beside a re-scored file, as far as it is there: the settings in force and the encoder that was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from risf_core.errors import DataError
from risf_core.files import STANDARD_STREAM, is_stream, read_json, sha256_of

Record = Mapping[str, Any]  # Any: JSON

# What a person looks for first: the keys of a record that stand in the page's table, with their titles
_SECTIONS = (
    ("settings", "Formula"),
    ("fitted", "Fitted fusion, in place of the formula"),
    ("support", "Shots"),
    ("encoder", "Encoder"),
    ("inputs", "Files"),
    ("counts", "Rows"),
    ("versions", "Versions"),
)
FITTED_TO_THESE = (
    "the fusion was fitted to these very annotations, so the figures flatter it; the table of risf tune, from "
    "cross-validation, does not"
)
_MOST_ITEMS = 12  # of a list that a cell shows


def read_record(after: Path | str) -> Record | None:
    """The record that `risf rescore` left beside a file; None where there is none. Raises DataError if it is broken."""
    if str(after) == STANDARD_STREAM or is_stream(after):
        return None
    path = Path(f"{after}.record.json")
    if not path.is_file():
        return None
    content = read_json(path, what="record")
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {type(content).__name__}, not the record of a re-scoring; move it away")
    return content


def names_other_input(record: Record, before: Path | str) -> bool:
    """Whether the record says that AFTER was made from another file than this one."""
    stated = _at(record, "inputs", "detections", "sha256")
    if not isinstance(stated, str) or str(before) == STANDARD_STREAM or not Path(before).is_file():
        return False
    return stated != sha256_of(Path(before))


def is_fitted_to(after: Path | str, annotations: Path) -> bool:
    """Whether a file's record says for certain that its scores come from a fusion fitted to these annotations."""
    with contextlib.suppress(DataError):  # a broken record says nothing
        record = read_record(after)
        return record is not None and fitted_to(record, annotations) is True
    return False


def fitted_to(record: Record, annotations: Path) -> bool | None:
    """Whether AFTER's scores come from a fusion that was fitted to these very annotations.

    None where there is such a fusion, but nothing tells: its file does not stand any more where the record says, or one
    of the annotations is a folder.
    """
    if not record.get("fitted"):
        return False
    path = _at(record, "inputs", "fusion", "path")
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    if sha256_of(Path(path)) != _at(record, "inputs", "fusion", "sha256"):
        return None
    fusion = read_json(path, what="fusion")
    labels = _at(fusion if isinstance(fusion, dict) else {}, "inputs", "annotations", "sha256")
    if not isinstance(labels, str) or not annotations.is_file():
        return None
    return labels == sha256_of(annotations)


def sections_of(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """The record as titled lists of names and values for people; what is not there is left out."""
    sections = []
    for key, title in _SECTIONS:
        own = record.get(key)
        if isinstance(own, dict):
            sections.append((title, list(_lines(own))))
    other = {key: record[key] for key in ("processes", "seconds", "encoded_crops_per_second") if key in record}
    prompts = _at(record, "prompts", "texts")
    if isinstance(prompts, list) and prompts:
        other["prompts"] = [text for group in prompts for text in (group if isinstance(group, list) else [group])]
    if other:
        sections.append(("Run", list(_lines(other))))
    return sections


def _lines(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Each value under its dotted name, as text."""
    for key, value in content.items():
        name = f"{prefix}{key}"
        if name == "config":  # the architecture, dozens of lines that a person knows by the model's name
            continue
        if isinstance(value, dict):
            yield from _lines(value, f"{name}.") if value else [(name.replace("_", " "), "none")]
        else:
            yield name.replace("_", " "), _text(value)


def _text(value: Any) -> str:
    if isinstance(value, list):
        shown = ", ".join(_text(item) for item in value[:_MOST_ITEMS])
        return f"{shown} and {len(value) - _MOST_ITEMS} more" if len(value) > _MOST_ITEMS else shown or "none"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _at(record: Record, *keys: str) -> Any:  # Any: JSON
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def strings(value: object) -> Sequence[str] | None:
    """The value where it is a list of texts, else None."""
    return value if isinstance(value, list) and all(isinstance(item, str) for item in value) else None
