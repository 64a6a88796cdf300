"""The COCO protocol: AP and AR from the precision and recall that an evaluator accumulated."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvaluatorName
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation.coco_evaluators import AREAS, IOU_THRESHOLDS, Curves, accumulate
from risf_core.evaluation.metrics import UNDEFINED, Metrics, group_labels
from risf_core.vocabulary import ClassVocabulary

_Value = TypeVar("_Value")

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
    return Metrics(
        overall=_figures(curves, slice(None), caps),
        per_class=_class_figures(curves, vocabulary, caps),
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


def _named(mean: Callable[[NDArray[np.float64]], _Value], curves: Curves, caps: Sequence[int]) -> dict[str, _Value]:
    """What `mean` makes of the precisions (..., C) and recalls (T, C) behind each figure, in the order COCO lists them.

    Both are views: at 20,000 classes a copy takes gigabytes.
    """
    precision, recall = curves.precision, curves.recall
    half = int(np.flatnonzero(IOU_THRESHOLDS == 0.5)[0])
    three_quarters = int(np.flatnonzero(IOU_THRESHOLDS == 0.75)[0])
    figures = {
        "AP": mean(precision[..., 0]),
        "AP50": mean(precision[half, ..., 0]),
        "AP75": mean(precision[three_quarters, ..., 0]),
    }
    figures |= {f"AP{area[0]}": mean(precision[..., i]) for i, area in enumerate(AREAS) if i}
    figures["AR"] = mean(recall[..., 0, -1])
    figures |= {f"AR{cap}": mean(recall[..., 0, i]) for i, cap in enumerate(caps)}
    figures |= {f"AR{area[0]}": mean(recall[..., i, -1]) for i, area in enumerate(AREAS) if i}
    return figures


def _figures(curves: Curves, labels: NDArray[np.int64] | slice, caps: Sequence[int]) -> dict[str, float]:
    """The figures over the classes of `labels`."""
    return _named(lambda values: _mean(values[..., labels]), curves, caps)


def _class_figures(curves: Curves, vocabulary: ClassVocabulary, caps: Sequence[int]) -> dict[str, dict[str, float]]:
    """The figures of each class alone."""
    columns = _named(_mean_of_each_class, curves, caps)
    return {
        name: dict(zip(columns, values, strict=True))
        for name, values in zip(vocabulary.names, zip(*columns.values(), strict=True), strict=True)
    }


def _mean_of_each_class(values: NDArray[np.float64]) -> list[float]:
    """The mean of each class's values (..., C), which are all defined or none, summed in the order of `_mean`."""
    by_class = np.ascontiguousarray(np.moveaxis(values, -1, 0)).reshape(values.shape[-1], math.prod(values.shape[:-1]))
    means: list[float] = by_class.mean(axis=1).tolist()
    return means


def _mean(values: NDArray[np.float64]) -> float:
    """The mean of what is defined, summed in the order in which pycocotools sums."""
    defined = values[values > UNDEFINED]
    return float(np.mean(defined)) if defined.size else UNDEFINED
