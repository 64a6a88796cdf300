"""Detections of a file in any form, matched to a dataset, and written in any form that can be written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from risf_core.choices import OnUnmatched
from risf_core.detections import Detections, ImageId
from risf_core.formats.coco_forms import images_and_categories
from risf_core.formats.conventions import Conventions
from risf_core.formats.form import Form, Output
from risf_core.formats.matching import SizesOf, match
from risf_core.formats.registry import form_named, read_rows, writable_form
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RecognisedDetections:
    """The detections of a file, the images and classes they are of, its form, and how it was recognised and matched."""

    detections: Detections
    images: Mapping[ImageId, ImageInfo]
    vocabulary: ClassVocabulary
    form: Form
    outcome: str  # one line
    dropped: int  # rows
    envelope: Mapping[str, Any] | None = None  # what a COCO dataset holds beside its annotations

    @property
    def output(self) -> Output:
        """What a form needs to write it."""
        return Output(self.detections, self.vocabulary, self.images, self.envelope)

    def with_detections(self, detections: Detections) -> RecognisedDetections:
        """The same file with other rows."""
        return replace(self, detections=detections)


def read_detections_file(
    path: Path | str,
    images: Mapping[ImageId, ImageInfo] | None = None,
    vocabulary: ClassVocabulary | None = None,
    *,
    conventions: Conventions | None = None,
    sizes_of: SizesOf | None = None,
    on_unmatched: OnUnmatched = "error",
) -> RecognisedDetections:
    """The detections of a file, a folder or stdin (``-``), recognised unless the conventions name the form.

    Without `images` or `vocabulary` those that the file itself names are taken; the other keywords are those of
    `match`. What was recognised and matched is logged. Raises DataError, in one line, where something is wrong or
    undecided.
    """
    source = Source(path)
    conventions = conventions or Conventions()
    form, rows = read_rows(source, None if conventions.format is None else form_named(conventions.format))
    matched = match(
        rows,
        images,
        vocabulary,
        conventions=conventions,
        sizes_of=sizes_of,
        on_unmatched=on_unmatched,
    )
    outcome = f"{source.name}: {form.title} (`format={form.name}`): {matched.outcome}"
    _log.log(logging.WARNING if matched.dropped else logging.INFO, "%s", outcome)
    return RecognisedDetections(
        matched.detections,
        matched.images,
        matched.vocabulary,
        form,
        outcome,
        matched.dropped,
        None if rows.envelope is None else _fitting(rows.envelope, matched.images, matched.vocabulary),
    )


def write_detections_file(
    target: Path | str,
    detections: Detections,
    vocabulary: ClassVocabulary,
    images: Mapping[ImageId, ImageInfo],
    *,
    to: str,
    envelope: Mapping[str, Any] | None = None,
) -> Form:
    """Write detections in the form that `to` names; the form comes back, and says what it loses.

    Raises ConfigError for a form that cannot be written, DataError where it needs what is not known.
    """
    form = writable_form(to)
    assert form.write is not None
    form.write(target, Output(detections, vocabulary, images, envelope))
    return form


def _fitting(
    envelope: Mapping[str, Any], images: Mapping[ImageId, ImageInfo], vocabulary: ClassVocabulary
) -> dict[str, Any]:
    """The envelope, with other images and categories where the rows are now under other ids."""
    fits = all(
        image["id"] in images and images[image["id"]].file_name in (None, image.get("file_name"))
        for image in envelope.get("images", ())
    ) and {category["id"]: category["name"] for category in envelope.get("categories", ())}.items() <= set(
        zip(vocabulary.category_ids, vocabulary.names, strict=True)
    )
    return dict(envelope) if fits else {**envelope, **images_and_categories(images, vocabulary)}
