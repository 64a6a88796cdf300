"""The COCO protocol: AP and AR from the precision and recall that an evaluator accumulated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvaluatorName
from risf_core.datasets import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation.coco_evaluators import AREAS, IOU_THRESHOLDS, Curves, accumulate
from risf_core.evaluation.metrics import UNDEFINED, Metrics, group_labels
from risf_core.vocabulary import ClassVocabulary

COCO_MAX_DETECTIONS: tuple[int, ...] = (1, 10, 100)


def evaluate_coco(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    max_detections: Sequence[int] = COCO_MAX_DETECTIONS,
    evaluator: EvaluatorName = "ultrafast",
) -> Metrics:
    """The metrics of detections (their image ids and labels the ground truth's), bit for bit those of pycocotools.

    AP is the mean precision at 101 recalls and 10 IoU thresholds .50:.05:.95; the figures of a group are those of an
    evaluation of its classes alone.
    """
    caps = checked_caps(max_detections)
    curves = accumulate(detections, ground_truth, max_detections=caps, evaluator=evaluator)
    return metrics_of(curves, ground_truth.vocabulary, caps=caps)


def metrics_of(curves: Curves, vocabulary: ClassVocabulary, *, caps: Sequence[int]) -> Metrics:
    """The metrics that follow from what an evaluator accumulated under these caps on detections, ascending."""
    every = vocabulary.labels()
    return Metrics(
        overall=_figures(curves, every, caps),
        per_class={
            name: _figures(curves, every[label : label + 1], caps) for label, name in enumerate(vocabulary.names)
        },
        groups={group: _figures(curves, labels, caps) for group, labels in group_labels(vocabulary).items()},
        protocol="coco",
        evaluator=curves.evaluator,
    )


def checked_caps(max_detections: Sequence[int]) -> list[int]:
    """The caps ascending, each once. Raises ConfigError where there is none or one is below 1."""
    caps = sorted(set(max_detections))
    if not caps or caps[0] < 1:
        raise ConfigError(f"max-dets must be whole numbers of at least 1, got {list(max_detections)}")
    return caps


def _figures(curves: Curves, labels: NDArray[np.int64], caps: Sequence[int]) -> dict[str, float]:
    """The figures over the classes of `labels`, in the order COCO lists them."""
    precision = curves.precision[:, :, labels]  # (T, R, C, A, M)
    recall = curves.recall[:, labels]  # (T, C, A, M)
    half = int(np.flatnonzero(IOU_THRESHOLDS == 0.5)[0])
    three_quarters = int(np.flatnonzero(IOU_THRESHOLDS == 0.75)[0])
    figures = {
        "AP": _mean(precision[..., 0, -1]),
        "AP50": _mean(precision[half, ..., 0, -1]),
        "AP75": _mean(precision[three_quarters, ..., 0, -1]),
    }
    figures |= {f"AP{area[0]}": _mean(precision[..., i, -1]) for i, area in enumerate(AREAS) if i}
    figures["AR"] = _mean(recall[..., 0, -1])
    figures |= {f"AR{cap}": _mean(recall[..., 0, i]) for i, cap in enumerate(caps)}
    figures |= {f"AR{area[0]}": _mean(recall[..., i, -1]) for i, area in enumerate(AREAS) if i}
    return figures


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is defined, summed in the order in which pycocotools sums."""
    defined = values[values > UNDEFINED]
    return float(np.mean(defined)) if defined.size else UNDEFINED
