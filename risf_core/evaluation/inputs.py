"""Detections files read for an evaluation: under the ground truth's own ids, misfits refused or left out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from risf_core.boxes import copies
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, factorize
from risf_core.files import display_name
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import RecognisedDetections, read_detections_file

_log = logging.getLogger(__name__)

_MOST_COPIES = 0.1  # share of detections that may repeat another: detectors without NMS write some


def read_detections_for(
    source: Path | str,
    ground_truth: AnnotatedDataset,
    *,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "drop"] = "error",
) -> RecognisedDetections:
    """The detections of a file of any form (``-``: stdin) with the labels and image ids of the ground truth.

    Rows whose class or image the ground truth lacks raise DataError with the likely cause, or are left out with a
    warning where `on_unmatched` is "drop".
    """
    read = read_detections_file(
        source, ground_truth.images_by_id, ground_truth.vocabulary, conventions=conventions, on_unmatched=on_unmatched
    )
    warn_of_images_without_detections(read.detections, ground_truth, name=display_name(source))
    table = read.detections
    twice = copies(table.boxes_xywh, factorize(table.image_ids)[0], table.labels, table.scores)
    if twice > _MOST_COPIES * len(table):
        _log.warning(
            "%s: %d of %d detections repeat another's image, class, box and score; was it written twice?",
            *(display_name(source), twice, len(table)),
        )
    return read


def warn_of_images_without_detections(detections: Detections, ground_truth: AnnotatedDataset, *, name: str) -> None:
    """Log a warning where more than half of the labelled images have no detections."""
    images = len(ground_truth.images)
    empty = images - len(factorize(detections.image_ids)[1])
    if len(detections) and 2 * empty > images:
        _log.warning(
            "%s: %d of %d images have no detections, so all their boxes count as missed; was the detector run on them?",
            *(name, empty, images),
        )
