"""Detections files read for an evaluation: under the ground truth's own ids, misfits refused or left out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from risf_core.datasets import AnnotatedDataset
from risf_core.detections import factorize
from risf_core.files import display_name
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import RecognisedDetections, read_detections_file

_log = logging.getLogger(__name__)


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
    images = len(ground_truth.images)
    empty = images - len(factorize(read.detections.image_ids)[1])
    if len(read.detections) and 2 * empty > images:
        _log.warning(
            "%s: %d of %d images have no detections, so all their boxes count as missed; was the detector run on them?",
            *(display_name(source), empty, images),
        )
    return read
