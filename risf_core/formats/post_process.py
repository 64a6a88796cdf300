"""transformers' post_process results as JSON: scores, labels and boxes side by side, grounded ones with texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from risf_core.errors import DataError
from risf_core.formats.form import LIKELY, NO, Form, json_keys
from risf_core.formats.per_photo import rows_of_photos
from risf_core.formats.rows import PhotoKey, Rows
from risf_core.formats.source import Source


def rows_of_results(photos: list[PhotoKey], entries: list[Any], name: str, *, by_position: bool) -> Rows:
    """The rows of post_process results, one a photo; texts are taken before numbers."""
    texts = [entry for entry in entries if isinstance(entry, dict) and entry.get("text_labels") is not None]
    key = "text_labels" if entries and len(texts) == len(entries) else "labels"
    return rows_of_photos(
        photos,
        entries,
        name,
        keys=("boxes", "scores", key),
        box_convention=None,
        category_ids=None,
        photos_by_position=by_position,
    )


def _read(source: Source) -> Rows:
    content = source.json()
    if isinstance(content, dict) and "boxes" in content:
        return rows_of_results([PhotoKey(Path(source.path).stem)], [content], source.name, by_position=False)
    if isinstance(content, dict):
        photos = [PhotoKey(str(name)) for name in content]
        return rows_of_results(photos, list(content.values()), source.name, by_position=False)
    if not isinstance(content, list):
        raise DataError(f"{source.name}: holds {type(content).__name__}, not results of one or more photos")
    photos = [PhotoKey(None, position) for position in range(len(content))]
    return rows_of_results(photos, content, source.name, by_position=True)


def _sniff(source: Source) -> int:
    keys = json_keys(source.head)
    return LIKELY if {"boxes", "scores"} <= keys and keys & {"labels", "text_labels"} else NO


TRANSFORMERS_RESULTS = Form(
    name="transformers-results",
    title="transformers post_process results as JSON",
    written_by="post_process_object_detection, post_process_grounded_object_detection (their tensors as lists)",
    keeps="all digits, labels or texts",
    loses="the photo's name, unless the object is by file name",
    sniff=_sniff,
    read=_read,
)
