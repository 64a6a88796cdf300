"""Operating thresholds: the score of each class from which detections are kept, for a wish such as precision 0.9."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Best
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation.coco_matching import match_coco
from risf_core.evaluation.compare import Interval, draw_counts, interval_around
from risf_core.evaluation.scores import RankedRows, lrp_of, ranked_rows

PRIOR_ROWS = 10.0  # as which a class's own probabilities count beside its labelled rows, for precision
LEAST_BOXES = 10  # of a class for F1 and LRP; one with fewer gets the threshold of all classes together
_RESAMPLES = 200  # of the images, for intervals of F1 and LRP


@dataclass(frozen=True)
class Wish:
    """What a threshold is for: a precision, or the best F1 or LRP. Raises ConfigError where it is not one of them."""

    precision_at: float | None = None
    best: Best | None = None

    def __post_init__(self) -> None:
        if self.precision_at is not None and self.best is not None:
            raise ConfigError("`precision_at` and `best` are two wishes for one threshold; leave one out")
        if self.precision_at is None and self.best is None:
            raise ConfigError("a threshold needs a wish: `precision_at` or `best`")
        if self.precision_at is not None and not 0 < self.precision_at < 1:
            raise ConfigError(f"`precision_at` must be between 0 and 1, got {self.precision_at:g}")

    @property
    def figure(self) -> str:
        """What the threshold is judged by."""
        return "precision" if self.best is None else {"f1": "F1", "lrp": "LRP"}[self.best]


@dataclass(frozen=True)
class Threshold:
    """The threshold of a class, and what it is expected to do on further images."""

    score: float  # rows that score as much or more are kept
    value: float | None  # the precision, F1 or LRP; None: too few boxes to state one
    interval: Interval | None  # 95 %, of the value
    rows: int  # labelled rows that it keeps
    right: int  # of them
    boxes: int  # labelled boxes of the class


def choose_thresholds(
    detections: Detections, ground_truth: AnnotatedDataset, wish: Wish, *, generator: np.random.Generator
) -> Mapping[str, Threshold]:
    """The threshold of each class name; scores are probabilities of being right, from fits that did not see the image.

    Precision: the lowest score from which it is reached, where the rows' own probabilities count as 10 more rows, so
    that a class with few rows is judged mostly by them; the interval is that of the beta distribution. Where no score
    reaches it, the threshold is above all labelled rows and the wish itself. F1 and LRP: the best score, that of all
    classes together where a class has fewer than 10 boxes; the interval is a bootstrap over the images.
    """
    known = detections[detections.labels >= 0]
    classes = ranked_rows(known, ground_truth, match_coco(known, ground_truth, caps=[100], only_half=True))
    names = ground_truth.vocabulary.names
    if wish.precision_at is not None:
        return {name: _for_precision(rows, wish.precision_at) for name, rows in zip(names, classes, strict=True)}
    draws = np.array(list(islice(draw_counts(len(ground_truth.images), _RESAMPLES, generator), _RESAMPLES)))
    of_all = _best(_together(classes), wish, draws)
    result = {}
    for name, rows in zip(names, classes, strict=True):
        enough = len(rows.box_images) >= LEAST_BOXES
        result[name] = _best(rows, wish, draws) if enough else _kept(rows, of_all.score, None, None)
    return result


def _for_precision(rows: RankedRows, wanted: float) -> Threshold:
    from scipy.special import betaincinv  # quantiles of the beta distribution

    scores, true, false, _ = (column[1:] for column in rows.curves())
    kept = true + false
    expected = np.cumsum(rows.scores)[kept.astype(np.int64) - 1] / np.maximum(kept, 1)  # by the probabilities
    precision = (true + PRIOR_ROWS * expected) / (kept + PRIOR_ROWS)
    reached = np.flatnonzero(precision >= wanted)
    if not len(reached):
        above = np.nextafter(rows.scores.max(initial=0.0), 2.0)
        return _kept(rows, max(wanted, float(above)), None, None)
    last = reached[-1]
    strength = PRIOR_ROWS + kept[last]
    tails = betaincinv(strength * precision[last], strength * (1 - precision[last]), np.array([0.025, 0.975]))
    return _kept(rows, float(scores[last]), float(precision[last]), (float(tails[0]), float(tails[1])))


def _best(rows: RankedRows, wish: Wish, draws: NDArray[np.int32]) -> Threshold:
    """The threshold of the best F1 or LRP; draws (B, images)."""
    scores, true, false, error = rows.curves()
    values = _value(wish, true, false, error, len(rows.box_images))
    place = int(np.argmin(values) if wish.best == "lrp" else np.argmax(values))
    kept = rows.scores >= scores[place]
    right = rows.right & kept
    images, found = rows.images, rows.right
    sampled = _value(
        wish,
        draws[:, images[right]].sum(axis=1),
        draws[:, images[kept & ~found]].sum(axis=1),
        (draws[:, images[right]] * rows.errors[right]).sum(axis=1),
        draws[:, rows.box_images].sum(axis=1),
    )
    value = float(values[place])
    reach = interval_around(value, sampled)
    interval = None if reach is None else (max(reach[0], 0.0), reach[1])
    return _kept(rows, min(float(scores[place]), 2.0), value, interval)


def _value(
    wish: Wish,
    true: NDArray[np.float64],
    false: NDArray[np.float64],
    error: NDArray[np.float64],
    boxes: float | NDArray[np.float64],
) -> NDArray[np.float64]:
    if wish.best == "lrp":
        return lrp_of(true, false, error, boxes)
    return np.asarray(2 * true / np.maximum(true + false + boxes, 1))


def _kept(rows: RankedRows, score: float, value: float | None, interval: Interval | None) -> Threshold:
    kept = rows.scores >= score
    return Threshold(score, value, interval, int(kept.sum()), int(rows.right[kept].sum()), len(rows.box_images))


def _together(classes: Sequence[RankedRows]) -> RankedRows:
    """The rows of all classes as one."""
    order = np.argsort(-np.concatenate([rows.scores for rows in classes]), kind="stable")
    return RankedRows(
        np.concatenate([rows.scores for rows in classes])[order],
        np.concatenate([rows.images for rows in classes])[order],
        np.concatenate([rows.right for rows in classes])[order],
        np.concatenate([rows.errors for rows in classes])[order],
        np.concatenate([rows.box_images for rows in classes]),
    )
