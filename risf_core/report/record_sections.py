"""The record of a re-scored file as the page shows it: titled lists of names and values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from risf_core.rescore.record import Record, value_at

# What a person looks for first: the keys of a record in the page's table, with their titles
_SECTIONS = (
    ("settings", "Formula"),
    ("fitted", "Fitted fusion, in place of the formula"),
    ("support", "Shots"),
    ("encoder", "Encoder"),
    ("support_encoder", "Encoder of the shots"),
    ("inputs", "Files"),
    ("counts", "Rows"),
    ("versions", "Versions"),
)
_MOST_ITEMS = 12  # of a list that a cell shows


def record_sections(record: Record) -> list[tuple[str, list[tuple[str, str]]]]:
    """The record as titled lists of names and values for people; what is not there is left out."""
    sections = []
    for key, title in _SECTIONS:
        own = record.get(key)
        if isinstance(own, dict):
            sections.append((title, list(_lines(own))))
    other = {key: record[key] for key in ("processes", "seconds", "encoded_crops_per_second") if key in record}
    prompts = value_at(record, "prompts", "texts")
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
