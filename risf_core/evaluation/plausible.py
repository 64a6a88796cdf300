"""What is said where an evaluation can tell nothing: no box to measure against, or hardly a detection that is right."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from risf_core.choices import Protocol
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import DataError, listing
from risf_core.evaluation.metrics import Metrics
from risf_core.evaluation.protocols import match
from risf_core.evaluation.readings import better_reading
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)

_MANY = 20  # detections whose scores should differ


def require_boxes(ground_truth: AnnotatedDataset, *, protocol: Protocol, name: str) -> None:
    """Raises DataError, with the reason, where no box of the ground truth counts."""
    difficult = ground_truth.difficult if protocol == "voc" else np.zeros(len(ground_truth), dtype=bool)
    empty = (ground_truth.boxes_xywh[:, 2:] <= 0).any(axis=1)
    if not (ground_truth.crowd | difficult | empty).all():
        return
    marks = "crowd regions (iscrowd)" + (" or difficult" if protocol == "voc" else "")
    why = f"all {len(ground_truth)} are {marks}{' or have no area' if empty.any() else ''}"
    if not len(ground_truth):
        why = "there is no annotation of an image and category that it lists"
    raise DataError(f"{name}: no box to measure against: {why}; nothing can be evaluated")


def warn_if_hardly_right(
    metrics: Metrics, detections: Detections, ground_truth: AnnotatedDataset, *, name: str
) -> None:
    """Log a warning with the likely cause where hardly a detection is right, or all have one or two scores."""
    if not len(detections):
        return
    other = better_reading(detections, ground_truth)
    if other:
        _log.warning("%s: %s", name, other)
    elif not metrics.overall["AP50"]:
        cause = _likely_cause(detections, ground_truth)
        _log.warning("%s: not one of %d detections is right: %s", name, len(detections), cause)
    scores = np.unique(detections.scores).tolist()
    if len(scores) <= 2 and len(detections) >= _MANY:
        _log.warning(
            "%s: all %d scores are %s, so AP depends on the order of the rows; write the detector's own scores",
            name,
            len(detections),
            " or ".join(map(str, scores)),
        )


def _likely_cause(detections: Detections, ground_truth: AnnotatedDataset) -> str:
    names = ground_truth.vocabulary.names
    has_boxes = np.flatnonzero(ground_truth.boxes_per_class()).tolist()
    present = np.unique(detections.labels).tolist()
    ids = "are `category_ids` numbered otherwise?"
    if not set(present) & set(has_boxes):
        return (
            f"they are of {listing([names[label] for label in present], most=3)}, the boxes of "
            f"{listing([names[label] for label in has_boxes], most=3)}; {ids}"
        )
    one = replace(
        ground_truth, vocabulary=ClassVocabulary.from_names(["any"]), labels=np.zeros(len(ground_truth), np.int64)
    )
    found = match(replace(detections, labels=np.zeros(len(detections), np.int64)), one, protocol="voc")
    overlapping = int(found.true_positive[0, 0].sum())
    if overlapping:
        return f"{overlapping} of {len(detections)} overlap a box of another class; {ids}"
    return (
        "none overlaps a box of its image; are `image_ids` or `boxes` of another convention, or is it another dataset?"
    )
