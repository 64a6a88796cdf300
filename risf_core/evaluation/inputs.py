"""Detections files read for an evaluation: under the ground truth's own ids, misfits refused or left out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from risf_core.datasets import AnnotatedDataset
from risf_core.detections import Detections, factorize
from risf_core.errors import listing
from risf_core.files import display_name
from risf_core.formats.coco import read_detections
from risf_core.formats.conventions import Conventions
from risf_core.formats.image_ids import fit_image_ids, image_ids_by_file_id

_log = logging.getLogger(__name__)


def read_detections_for(
    source: Path | str,
    ground_truth: AnnotatedDataset,
    *,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "skip"] = "error",
) -> Detections:
    """The detections of a file (``-``: stdin) with the labels and image ids of the ground truth.

    The conventions say what the file states. Rows whose category or image the ground truth lacks raise DataError with
    the likely cause, or are left out with a warning where `on_unmatched` is "skip".
    """
    name, conventions = display_name(source), conventions or Conventions()
    own_ids = image_ids_by_file_id(ground_truth.images_by_id, conventions.image_ids)
    sizes = ground_truth.image_sizes
    file = read_detections(
        source,
        ground_truth.vocabulary,
        image_sizes={file_id: sizes[own] for file_id, own in own_ids.items() if own in sizes},
        boxes=conventions.boxes,
        category_ids=conventions.category_ids,
        on_unknown_category="keep" if on_unmatched == "skip" else "error",
    )
    if conventions.category_ids == "dataset":
        _compare_names(file.envelope or {}, ground_truth, name)
    table = file.detections[file.detections.labels >= 0]
    unmatched: Literal["error", "drop"] = "drop" if on_unmatched == "skip" else "error"
    table = fit_image_ids(
        table, ground_truth.images_by_id, convention=conventions.image_ids, on_unmatched=unmatched, name=name
    )
    left_out = len(file.detections) - len(table)
    if left_out:
        _log.warning(
            "%s: %d of %d rows belong to images or categories that the annotations lack; they are left out",
            name, left_out, len(file.detections),
        )  # fmt: skip
    empty = len(ground_truth.images) - len(factorize(table.image_ids)[1])
    if len(table) and 2 * empty > len(ground_truth.images):
        _log.warning(
            "%s: %d of %d images have no detections, so all their boxes count as missed; was the detector run on them?",
            name, empty, len(ground_truth.images),
        )  # fmt: skip
    return table


def _compare_names(envelope: Mapping[str, Any], ground_truth: AnnotatedDataset, name: str) -> None:
    """Warn where a dataset dict of detections calls a category otherwise than the ground truth does."""
    vocabulary = ground_truth.vocabulary
    theirs = {row["id"]: row["name"] for row in envelope.get("categories") or [] if {"id", "name"} <= row.keys()}
    other = [
        f"{category_id} is {theirs[category_id]!r} there and {vocabulary.names[label]!r} in the annotations"
        for category_id, label in vocabulary.label_by_id.items()
        if category_id in theirs and str(theirs[category_id]) != vocabulary.names[label]
    ]
    if other:
        _log.warning("%s: its categories have other names under the same ids: %s", name, listing(other, most=3))
