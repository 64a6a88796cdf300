"""Detections of a file in any form, matched to a dataset, and written in any form that can be written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from risf_core.detections import Detections, ImageId
from risf_core.errors import ConfigError
from risf_core.formats.form import Form, Output
from risf_core.formats.matching import match
from risf_core.formats.registry import FORMS, form_named, read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class RecognisedDetections:
    """The detections of a file, its form, and one line on what was recognised and how it was matched."""

    detections: Detections
    form: Form
    outcome: str
    dropped: int

    def with_detections(self, detections: Detections) -> RecognisedDetections:
        """The same file with other rows."""
        return replace(self, detections=detections)


def read_detections_file(
    path: Path | str,
    images: Mapping[ImageId, ImageInfo],
    vocabulary: ClassVocabulary,
    *,
    format: str | None = None,
    **matching: Any,  # the keywords of `match`
) -> RecognisedDetections:
    """The detections of a file, a folder or stdin (``-``), recognised unless `format` names the form.

    Further keywords are those of `match`. Raises DataError, in one line, where something is wrong or undecided.
    """
    source = Source(path)
    form, rows = read_rows(source, None if format is None else form_named(format))
    matched = match(rows, images, vocabulary, **matching)
    outcome = f"{source.name}: {form.title} (`format={form.name}`): {matched.outcome}"
    return RecognisedDetections(matched.detections, form, outcome, matched.dropped)


def write_detections_file(
    target: Path | str,
    detections: Detections,
    vocabulary: ClassVocabulary,
    images: Mapping[ImageId, ImageInfo],
    *,
    to: str,
) -> Form:
    """Write detections in the form that `to` names; the form comes back, and says what it loses.

    Raises ConfigError for a form that cannot be written, DataError where it needs what is not known.
    """
    form = form_named(to)
    if form.write is None:
        known = ", ".join(form.name for form in FORMS if form.write)
        raise ConfigError(f"`to` {to!r}: {form.title} is read, not written; written are {known}")
    form.write(target, Output(detections, vocabulary, images))
    return form
