"""The evaluators of the COCO protocol, a fast one and the reference, behind one function."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import EvaluatorName
from risf_core.datasets import AnnotatedDataset
from risf_core.detections import Detections, factorize

# pycocotools' own grids, made by its own expressions: arithmetic of another kind differs in the last bit
IOU_THRESHOLDS: NDArray[np.float64] = np.linspace(0.5, 0.95, 10, endpoint=True)  # (T,)
RECALL_THRESHOLDS: NDArray[np.float64] = np.linspace(0.0, 1.0, 101, endpoint=True)  # (R,)
AREAS: Mapping[str, tuple[float, float]] = {  # square pixels, both ends included
    "all": (0.0, 1e5**2), "small": (0.0, 32.0**2), "medium": (32.0**2, 96.0**2), "large": (96.0**2, 1e5**2),
}  # fmt: skip

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Curves:
    """What an evaluator accumulated over all images; -1 where a class has no ground truth of that area."""

    precision: NDArray[np.float64]  # (T, R, C, A, M) by IoU, recall, class, area, cap on detections
    recall: NDArray[np.float64]  # (T, C, A, M)
    evaluator: str  # the library that did it


def accumulate(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    max_detections: Sequence[int],
    evaluator: EvaluatorName,
) -> Curves:
    """Precision and recall by `evaluator`; where the fast one cannot be used, by pycocotools with a warning."""
    dataset = _dataset(ground_truth)
    rows = _rows(detections, ground_truth)
    with contextlib.redirect_stdout(io.StringIO()):  # both libraries print
        if evaluator == "ultrafast":
            try:
                return _by_ultrafast(dataset, rows, max_detections)
            except Exception as error:  # whatever it is, the reference evaluator has the last word
                _log.warning(
                    "ultrafast-pycocotools cannot be used (%s: %s); pycocotools takes over, slower with the same "
                    "values",
                    type(error).__name__, error,
                )  # fmt: skip
        return _by_pycocotools(dataset, rows, max_detections)


def _by_ultrafast(dataset: dict[str, Any], rows: NDArray[np.float64], max_detections: Sequence[int]) -> Curves:
    from ultrafast_pycocotools import COCO, COCOeval

    truth = COCO(dataset, verbose=False)
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox", print_function=_log.debug)
    return _run(evaluation, max_detections, "ultrafast-pycocotools")


def _by_pycocotools(dataset: dict[str, Any], rows: NDArray[np.float64], max_detections: Sequence[int]) -> Curves:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = dataset
    truth.createIndex()
    found = COCO()  # built by hand: its loadRes crashes on an empty list
    found.dataset = {**dataset, "annotations": [_result(number, row) for number, row in enumerate(rows.tolist(), 1)]}
    found.createIndex()
    return _run(COCOeval(truth, found, "bbox"), max_detections, "pycocotools")


def _run(evaluation: Any, max_detections: Sequence[int], name: str) -> Curves:  # Any: the two libraries' COCOeval
    evaluation.params.maxDets = list(max_detections)
    evaluation.evaluate()
    evaluation.accumulate()
    return Curves(evaluation.eval["precision"], evaluation.eval["recall"], name)


def _dataset(ground_truth: AnnotatedDataset) -> dict[str, Any]:
    """The ground truth as both libraries want it, under numbers of our own.

    Images are numbered by the order of their ids (which may be strings), categories by label, boxes from 1: pycocotools
    takes a box whose id is 0 for unmatched.
    """
    ranks = ground_truth.image_ranks
    columns = zip(
        [ranks[image_id] + 1 for image_id in ground_truth.image_ids.tolist()],
        (ground_truth.labels + 1).tolist(),
        ground_truth.boxes_xywh.tolist(),
        ground_truth.areas.tolist(),
        ground_truth.crowd.astype(int).tolist(),
        strict=True,
    )
    keys = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")
    return {
        "info": {},
        "licenses": [],
        "images": [{"id": rank + 1} for rank in range(len(ranks))],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(ground_truth.vocabulary.names)],
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
