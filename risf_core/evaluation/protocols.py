"""From detections to metrics, or to matches, by a protocol."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from risf_core.choices import EvaluatorName, Protocol
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, factorize
from risf_core.evaluation.coco import COCO_MAX_DETECTIONS, checked_caps, evaluate_coco
from risf_core.evaluation.coco_matching import match_coco
from risf_core.evaluation.matches import Matches
from risf_core.evaluation.metrics import Metrics
from risf_core.evaluation.voc import evaluate_voc, match_voc
from risf_core.formats.image_ids import own_image_ids
from risf_core.vocabulary import ClassVocabulary

_log = logging.getLogger(__name__)


def evaluate(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    vocabulary: ClassVocabulary | None = None,
    protocol: Protocol = "coco",
    max_detections: Sequence[int] = COCO_MAX_DETECTIONS,
    evaluator: EvaluatorName = "ultrafast",
) -> Metrics:
    """The metrics of detections whose image ids and labels are those of the ground truth.

    Args:
        vocabulary: the ground truth's classes, with novel names where base and novel groups are wanted.
        protocol: COCO's AP, or the 11-point AP of VOC2007.
        max_detections: how many detections of an image and class count, ascending: one AR each, the last for all else.
            VOC counts all.
        evaluator: the library that computes COCO's; where `ultrafast` fails, pycocotools takes over with a warning.

    Raises DataError where an image id is not among the ground truth's. No detections: AP 0, with a warning.
    """
    if vocabulary is not None:
        ground_truth = ground_truth.with_vocabulary(vocabulary)
    detections = _fitting(detections, ground_truth)
    if not len(detections):
        _log.warning("there are no detections: every AP is 0")
    if protocol == "voc":
        return evaluate_voc(match_voc(detections, ground_truth), ground_truth.vocabulary)
    return evaluate_coco(detections, ground_truth, max_detections=max_detections, evaluator=evaluator)


def match(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    protocol: Protocol = "coco",
    max_detections: Sequence[int] = COCO_MAX_DETECTIONS,
) -> Matches:
    """Which detections found which boxes, as `bootstrap` wants it; the arguments are those of `evaluate`."""
    detections = _fitting(detections, ground_truth)
    if protocol == "voc":
        return match_voc(detections, ground_truth)
    return match_coco(detections, ground_truth, caps=checked_caps(max_detections))


def _fitting(detections: Detections, ground_truth: AnnotatedDataset) -> Detections:
    own_image_ids(factorize(detections.image_ids)[1], ground_truth.images_by_id)  # refuses those that do not fit
    if (detections.labels < 0).any():
        return detections[detections.labels >= 0]  # rows of categories that the vocabulary does not know
    return detections
