"""The evaluators of the COCO protocol, a fast one and the reference, behind one function."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections, factorize
from risf_core.evaluation.ground_truth import GroundTruth

EvaluatorName = Literal["ultrafast", "pycocotools"]
EVALUATORS: tuple[str, ...] = get_args(EvaluatorName)

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


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What an evaluator said of each detection of a table; those past the largest cap have no verdict (both False)."""

    true_positive: NDArray[np.bool_]  # (A, T, N) by area and IoU
    ignored: NDArray[np.bool_]  # (A, T, N)


def accumulate(
    detections: Detections,
    ground_truth: GroundTruth,
    *,
    max_detections: Sequence[int],
    evaluator: EvaluatorName,
) -> Curves:
    """Precision and recall by `evaluator`; where the fast one cannot be used, by pycocotools with a warning."""
    return _first_that_works(
        _ultrafast_curves, _pycocotools_curves, detections, ground_truth, max_detections, evaluator
    )


def judge(
    detections: Detections,
    ground_truth: GroundTruth,
    *,
    max_detections: Sequence[int],
    evaluator: EvaluatorName,
) -> Verdicts:
    """The verdict on each detection by `evaluator`, with the same way out."""
    return _first_that_works(
        _ultrafast_verdicts, _pycocotools_verdicts, detections, ground_truth, max_detections, evaluator
    )


_Result = TypeVar("_Result")
_Work = Callable[[dict[str, Any], NDArray[np.float64], Sequence[int]], _Result]


def _first_that_works(
    fast: _Work[_Result],
    reference: _Work[_Result],
    detections: Detections,
    ground_truth: GroundTruth,
    max_detections: Sequence[int],
    evaluator: EvaluatorName,
) -> _Result:
    dataset = _dataset(ground_truth)
    rows = _rows(detections, ground_truth)
    with contextlib.redirect_stdout(io.StringIO()):  # both libraries print
        if evaluator == "ultrafast":
            try:
                return fast(dataset, rows, max_detections)
            except Exception as error:  # whatever it is, the reference evaluator has the last word
                _log.warning(
                    "ultrafast-pycocotools cannot be used (%s: %s); pycocotools takes over, slower with the same "
                    "values",
                    type(error).__name__, error,
                )  # fmt: skip
        return reference(dataset, rows, max_detections)


def _ultrafast_curves(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Curves:
    evaluation = _ultrafast(dataset, rows, caps)
    evaluation.accumulate()
    return Curves(evaluation.eval["precision"], evaluation.eval["recall"], "ultrafast-pycocotools")


def _pycocotools_curves(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Curves:
    evaluation = _pycocotools(dataset, rows, caps)
    evaluation.accumulate()
    return Curves(evaluation.eval["precision"], evaluation.eval["recall"], "pycocotools")


def _ultrafast_verdicts(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Verdicts:
    evaluation = _ultrafast(dataset, rows, caps)
    verdicts = _no_verdicts(len(rows))

    def fill(area: str, index: int, iou: int) -> None:
        said, _ = evaluation.per_instance(iou_thr=float(IOU_THRESHOLDS[iou]), area=area, max_dets=caps[-1])
        at = said["dt_id"] - 1  # numbered from 1 in the order of the rows
        verdicts.ignored[index, iou, at] = said["ignore"]
        verdicts.true_positive[index, iou, at] = (said["gt_id"] >= 0) & ~said["ignore"]

    for index, area in enumerate(AREAS):
        for iou in range(len(IOU_THRESHOLDS)):
            fill(area, index, iou)
    return verdicts


def _pycocotools_verdicts(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Verdicts:
    evaluation = _pycocotools(dataset, rows, caps)
    verdicts = _no_verdicts(len(rows))
    indices = {tuple(map(float, bounds)): index for index, bounds in enumerate(AREAS.values())}
    for said in evaluation.evalImgs:  # one for each class, area and image, or None where there is nothing
        if said is not None and said["dtIds"]:
            index = indices[tuple(map(float, said["aRng"]))]
            at = np.array(said["dtIds"]) - 1
            ignored = np.asarray(said["dtIgnore"], dtype=bool)
            verdicts.ignored[index][:, at] = ignored
            verdicts.true_positive[index][:, at] = (np.asarray(said["dtMatches"]) > 0) & ~ignored
    return verdicts


def _no_verdicts(count: int) -> Verdicts:
    shape = (len(AREAS), len(IOU_THRESHOLDS), count)
    return Verdicts(np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool))


def _ultrafast(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Any:
    """An evaluation that has run, as the library's own object."""
    from ultrafast_pycocotools import COCO, COCOeval

    truth = COCO(dataset, verbose=False)
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox", print_function=_log.debug)
    evaluation.params.maxDets = list(caps)
    evaluation.evaluate()
    return evaluation


def _pycocotools(dataset: dict[str, Any], rows: NDArray[np.float64], caps: Sequence[int]) -> Any:
    """An evaluation that has run, as the library's own object."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO()
    truth.dataset = dataset
    truth.createIndex()
    found = COCO()  # built by hand: its loadRes crashes on an empty list
    found.dataset = {**dataset, "annotations": [_result(number, row) for number, row in enumerate(rows.tolist(), 1)]}
    found.createIndex()
    evaluation = COCOeval(truth, found, "bbox")
    evaluation.params.maxDets = list(caps)
    evaluation.evaluate()
    return evaluation


def _dataset(ground_truth: GroundTruth) -> dict[str, Any]:
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


def _rows(detections: Detections, ground_truth: GroundTruth) -> NDArray[np.float64]:
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
