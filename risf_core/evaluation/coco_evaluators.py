"""The evaluators of the COCO protocol, a fast one and the reference, behind one function."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvaluatorName
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, factorize

# pycocotools' own grids, made by its own expressions: arithmetic of another kind differs in the last bit
IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10, endpoint=True)  # (T,)
RECALL_THRESHOLDS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101, endpoint=True)  # (R,)
AREAS: Mapping[str, tuple[float, float]] = {  # square pixels, both ends included
    "all": (0.0, 1e5**2),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e5**2),
}

_CLASSES_AT_ONCE = 1000  # bounds the memory of an evaluator

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Curves:
    """What an evaluator accumulated over all images; -1 where a class has no ground truth of that area."""

    precision: NDArray[np.float64]  # (T, R, C, A) by IoU, recall, class, area; at the largest cap on detections
    recall: NDArray[np.float64]  # (T, C, A, M) M: caps
    evaluator: str  # the library that did it


def accumulate(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    max_detections: Sequence[int],
    evaluator: EvaluatorName,
) -> Curves:
    """Precision and recall by `evaluator`; where the fast one cannot be used, by pycocotools with a warning."""
    rows = _rows(detections, ground_truth)
    with contextlib.redirect_stdout(io.StringIO()):  # both libraries print
        if evaluator == "ultrafast":
            try:
                return _in_blocks(_by_ultrafast, "ultrafast-pycocotools", ground_truth, rows, max_detections)
            except Exception as error:  # whatever it is, the reference evaluator has the last word
                _log.warning(
                    "ultrafast-pycocotools cannot be used (%s: %s); pycocotools takes over, slower with the same "
                    "values",
                    type(error).__name__,
                    error,
                )
        return _in_blocks(_by_pycocotools, "pycocotools", ground_truth, rows, max_detections)


def _in_blocks(
    evaluation_of: Callable[[dict[str, Any], NDArray[np.float64]], Any],  # Any: the two libraries' COCOeval
    name: str,
    ground_truth: AnnotatedDataset,
    rows: NDArray[np.float64],
    max_detections: Sequence[int],
) -> Curves:
    """The curves of all classes, some classes at a time: an evaluator keeps several arrays as large as `precision`."""
    count = len(ground_truth.vocabulary)
    precision = np.empty((len(IOU_THRESHOLDS), len(RECALL_THRESHOLDS), count, len(AREAS)))
    recall = np.empty((len(IOU_THRESHOLDS), count, len(AREAS), len(max_detections)))
    for start in range(0, max(count, 1), _CLASSES_AT_ONCE):
        labels = range(start, min(start + _CLASSES_AT_ONCE, count))
        block = slice(labels.start, labels.stop)
        of_labels = (rows[:, 6] > labels.start) & (rows[:, 6] <= labels.stop)
        evaluation = evaluation_of(_dataset(ground_truth, labels), rows[of_labels])
        evaluation.params.maxDets = list(max_detections)
        evaluation.evaluate()
        evaluation.accumulate()
        precision[:, :, block] = evaluation.eval["precision"][..., -1]
        recall[:, block] = evaluation.eval["recall"]
    return Curves(precision, recall, name)


def _by_ultrafast(dataset: dict[str, Any], rows: NDArray[np.float64]) -> Any:
    from ultrafast_pycocotools import COCO, COCOeval

    truth = COCO(dataset, verbose=False)
    return COCOeval(truth, truth.loadRes(rows), "bbox", print_function=_log.debug)


def _by_pycocotools(dataset: dict[str, Any], rows: NDArray[np.float64]) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = dataset
    truth.createIndex()
    found = COCO()  # built by hand: its loadRes crashes on an empty list
    found.dataset = {**dataset, "annotations": [_result(number, row) for number, row in enumerate(rows.tolist(), 1)]}
    found.createIndex()
    return COCOeval(truth, found, "bbox")


def _dataset(ground_truth: AnnotatedDataset, labels: range) -> dict[str, Any]:
    """The ground truth of some classes as both libraries want it, under numbers of our own.

    Images are numbered by the order of their ids (which may be strings), categories by label, boxes from 1: pycocotools
    takes a box whose id is 0 for unmatched.
    """
    ranks = ground_truth.image_ranks
    rows = np.flatnonzero((ground_truth.labels >= labels.start) & (ground_truth.labels < labels.stop))
    columns = zip(
        [ranks[image_id] + 1 for image_id in ground_truth.image_ids[rows].tolist()],
        (ground_truth.labels[rows] + 1).tolist(),
        ground_truth.boxes_xywh[rows].tolist(),
        ground_truth.areas[rows].tolist(),
        ground_truth.crowd[rows].astype(int).tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": rank + 1} for rank in range(len(ranks))],
        "categories": [{"id": label + 1, "name": ground_truth.vocabulary.names[label]} for label in labels],
        "annotations": [dict(zip(keys, (number, *row), strict=True)) for number, row in enumerate(columns, 1)],
    }


def _rows(detections: Detections, ground_truth: AnnotatedDataset) -> NDArray[np.float64]:
    """The detections as (N, 7): image number, x, y, width, height, score, category number."""
    codes, present = factorize(detections.image_ids)
    numbers = np.array([ground_truth.image_ranks[image_id] + 1 for image_id in present], dtype=np.float64)
    rows = np.empty((len(detections), 7), dtype=np.float64)
    rows[:, 0] = numbers[codes]
    rows[:, 1:5] = detections.boxes_xywh
    rows[:, 5] = detections.scores
    rows[:, 6] = detections.labels + 1
    return rows


def _result(number: int, row: Sequence[float]) -> dict[str, Any]:
    """One detection with the keys that pycocotools' `loadRes` would add."""
    image, x, y, width, height, score, category = row
    return {
        "id": number,
        "image_id": int(image),
        "category_id": int(category),
        "bbox": [x, y, width, height],
        "score": score,
        "area": width * height,
        "iscrowd": 0,
    }
