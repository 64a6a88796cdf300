"""The VOC2007 protocol: 11-point AP with pixel-counting boxes and difficult boxes ignored."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.matches import Matches, Order, candidate_pairs, truth_by_class
from risf_core.evaluation.metrics import UNDEFINED, Metrics, group_labels
from risf_core.vocabulary import ClassVocabulary

# As the field computes them (py-faster-rcnn's voc_eval and after it detectron2, TFA, DeFRCN), in these very
# expressions: recalls of a few boxes do land on a threshold.
VOC_IOU_THRESHOLDS: NDArray[np.float64] = np.arange(50, 100, 5) / 100.0  # (T,)
VOC_RECALL_THRESHOLDS: NDArray[np.float64] = np.arange(0.0, 1.1, 0.1)  # (11,)


def evaluate_voc(matches: Matches, vocabulary: ClassVocabulary) -> Metrics:
    """The metrics of matches: AP50 first, AP the mean over IoU .50:.05:.95; classes without a box are left out.

    AP is the mean, over the recalls 0, .1 .. 1, of the best precision at a recall of at least that (Everingham et al.,
    The PASCAL Visual Object Classes Challenge 2007 development kit).
    """
    average_precision = np.stack(
        [_class_average_precision(matches, label) for label in range(len(vocabulary))] or [np.empty(0)], axis=-1
    )  # (T, C), -1 where a class has no box
    return Metrics(
        overall=_figures(average_precision, vocabulary.labels()),
        per_class={name: _figures(average_precision, np.array([label])) for label, name in enumerate(vocabulary.names)},
        groups={group: _figures(average_precision, labels) for group, labels in group_labels(vocabulary).items()},
        protocol="voc",
        evaluator="risf",
    )


def match_voc(detections: Detections, ground_truth: AnnotatedDataset) -> Matches:
    """The verdicts on detections by the VOC2007 rule.

    Each detection, best score first, looks at the box of its class and image that it overlaps most, whatever was found
    before. Where the overlap exceeds the threshold ("must exceed 50%" in the development kit), it is a true positive
    if the box was not found yet, a false positive if it was, and ignored if the box is difficult; else it is a false
    positive.
    """
    order = Order.of(detections, ground_truth, ties="file")
    positions, images, bounds = truth_by_class(ground_truth)
    ignored_boxes = ground_truth.difficult | ground_truth.crowd  # datasets turned into COCO's form mark them either way
    overlaps, boxes = _best_overlaps(detections, ground_truth, order)
    shape = (1, len(VOC_IOU_THRESHOLDS), len(order.rows))
    true_positive, ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for index, threshold in enumerate(VOC_IOU_THRESHOLDS):
        over = np.flatnonzero(overlaps > threshold)
        difficult = ignored_boxes[boxes[over]]
        ignored[0, index, over[difficult]] = True
        _, first = np.unique(boxes[over[~difficult]], return_index=True)
        true_positive[0, index, over[~difficult][first]] = True
    return Matches(
        order=order,
        true_positive=true_positive,
        ignored=ignored,
        truth_images=images,
        truth_counted=~ignored_boxes[positions][None],
        truth_bounds=bounds,
        image_count=len(ground_truth.images),
        recall_thresholds=VOC_RECALL_THRESHOLDS,
        caps=(),
    )


def _best_overlaps(
    detections: Detections, ground_truth: AnnotatedDataset, order: Order
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """For each detection in order the largest overlap with a box of its class and image (N,), and that box (N,)."""
    best = np.full(len(order.rows), -np.inf)
    best_box = np.zeros(len(order.rows), dtype=np.int64)
    found, truth = _pixel_corners(detections.boxes_xywh[order.rows]), _pixel_corners(ground_truth.boxes_xywh)
    for rows, boxes in candidate_pairs(detections, ground_truth, order):
        overlaps = _pixel_overlaps(found[rows], truth[boxes])
        starts = np.flatnonzero(np.diff(rows, prepend=-1))
        best[rows[starts]] = np.maximum.reduceat(overlaps, starts)
        places = np.where(overlaps == best[rows], np.arange(len(rows)), len(rows))
        best_box[rows[starts]] = boxes[np.minimum.reduceat(places, starts)]  # of equals the first
    return best, best_box


def _pixel_corners(boxes_xywh: NDArray[np.float64]) -> NDArray[np.float64]:
    """VOC's xmin, ymin, xmax, ymax, which count pixels from 1: reading subtracted 1 from xmin and ymin alone."""
    corners: NDArray[np.float64] = boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    corners[:, :2] += 1
    return corners


def _pixel_overlaps(found: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union (N,) of pairs of corners (N, 4); a box is as wide as the pixels from first to last."""
    sides = np.minimum(found[:, 2:], truth[:, 2:]) - np.maximum(found[:, :2], truth[:, :2]) + 1.0
    intersections: NDArray[np.float64] = np.maximum(sides, 0.0).prod(axis=1)
    unions: NDArray[np.float64] = (found[:, 2:] - found[:, :2] + 1.0).prod(axis=1) + (
        truth[:, 2:] - truth[:, :2] + 1.0
    ).prod(axis=1)
    overlaps: NDArray[np.float64] = intersections / (unions - intersections)
    return overlaps


def _class_average_precision(matches: Matches, label: int) -> NDArray[np.float64]:
    """AP of a class at each IoU threshold (T,), -1 where it has no box that counts."""
    rows = slice(matches.order.bounds[label], matches.order.bounds[label + 1])
    boxes = matches.truth_counted[0, matches.truth_bounds[label] : matches.truth_bounds[label + 1]].sum()
    if not boxes:
        return np.full(len(matches.true_positive[0]), UNDEFINED)
    hits = np.cumsum(matches.true_positive[0, :, rows], axis=1)  # (T, n)
    counted = np.cumsum(~matches.ignored[0, :, rows], axis=1)
    recalls = hits / float(boxes)
    precisions = hits / np.maximum(counted, np.finfo(np.float64).eps)
    best_right = np.maximum.accumulate(precisions[:, ::-1], axis=1)[:, ::-1]
    average_precision = np.zeros(len(hits))
    for threshold, (recall, best) in enumerate(zip(recalls, best_right, strict=True)):
        for at in np.searchsorted(recall, matches.recall_thresholds, side="left"):
            average_precision[threshold] += (best[at] if at < len(best) else 0.0) / len(matches.recall_thresholds)
    return average_precision


def _figures(average_precision: NDArray[np.float64], labels: NDArray[np.int64]) -> dict[str, float]:
    kept = average_precision[:, labels]
    kept = kept[:, kept[0] != UNDEFINED] if kept.size else kept[:, :0]
    if not kept.size:
        return {"AP50": UNDEFINED, "AP": UNDEFINED, "AP75": UNDEFINED}
    by_threshold = kept.mean(axis=1)  # (T,)
    return {"AP50": float(by_threshold[0]), "AP": float(by_threshold.mean()), "AP75": float(by_threshold[5])}
