"""Detections of a file in any form, matched to a dataset, and written in any form that can be written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from risf_core.choices import OnUnmatched
from risf_core.detections import Detections, ImageId
from risf_core.errors import ConfigError
from risf_core.formats.conventions import Conventions
from risf_core.formats.form import Form, Output
from risf_core.formats.matching import match
from risf_core.formats.registry import FORMS, form_named, read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


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
    conventions: Conventions | None = None,
    on_unmatched: OnUnmatched = "error",
) -> RecognisedDetections:
    """The detections of a file, a folder or stdin (``-``), recognised unless the conventions name the form.

    What was recognised and matched is logged. Raises DataError, in one line, where something is wrong or undecided.
    """
    source = Source(path)
    conventions = conventions or Conventions()
    form, rows = read_rows(source, None if conventions.format is None else form_named(conventions.format))
    matched = match(rows, images, vocabulary, conventions=conventions, on_unmatched=on_unmatched)
    outcome = f"{source.name}: {form.title} (`format={form.name}`): {matched.outcome}"
    _log.log(logging.WARNING if matched.dropped else logging.INFO, "%s", outcome)
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
