"""What costs a detector AP: wrong classes, wrong boxes, duplicates, background, missed objects; and how far scores go.

The kinds of error and their costs are those of TIDE (Bolya et al., ECCV 2020): the AP at IoU 0.5 that mending all
errors of one kind would give back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation.ceilings import ceilings_of
from risf_core.evaluation.coco_matching import Pairs, match_coco, overlapping_pairs
from risf_core.evaluation.compare import Interval, draw_counts, interval_around
from risf_core.evaluation.error_analysis import KINDS, ErrorAnalysis
from risf_core.evaluation.matches import Matches, Order
from risf_core.evaluation.metrics import class_means, labels_by_group
from risf_core.evaluation.resampling import Resampler
from risf_core.evaluation.scores import PARTS, calibration_error, optimal_lrp
from risf_core.vocabulary import ClassVocabulary

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU from which a box is found, and below which nothing is there
MOST_PAIRS = 20  # of confused classes
_RESAMPLES_AT_ONCE = 32


def analyse_errors(
    detections: Detections,
    ground_truth: AnnotatedDataset,
    *,
    cap: int = 100,
    resamples: int = 0,
    generator: np.random.Generator | None = None,
) -> ErrorAnalysis:
    """The errors of detections whose image ids and labels are the ground truth's.

    A false positive is of the first kind that fits: box (IoU 0.1 to 0.5 with a box of its class), class (0.5 or more
    with a box of another), duplicate (0.5 or more with a box of its class that another row found), background (below
    0.1 with every box), else both. A box is missed that no row found and no row of the kinds class and box is about.
    Mending a class or box error makes the best-scored row about a box that nobody found right; the others go. Mending
    missed boxes takes them out; a class that has no others then counts as AP 1.

    Args:
        cap: detections of an image and class that count, the best first.
        resamples: of the images, for 95 % intervals of the costs; 0: none.
    """
    vocabulary = ground_truth.vocabulary
    table = detections[detections.labels >= 0]
    order = Order.of(table, ground_truth, ties="image")
    matches = match_coco(table, ground_truth, caps=[cap], order=order, only_half=True)
    rows = _Rows.of(matches, table)
    near = overlapping_pairs(table, ground_truth, order, least=0.0, any_class=True)
    near = near[~ground_truth.crowd[near.boxes]]
    at_rows = order.rows[near.rows]
    same = table.labels[at_rows] == ground_truth.labels[near.boxes]
    kinds, about = _kinds(rows, at_rows, near, ground_truth, len(table))
    mended = [_mended(kind, rows, kinds, about, ground_truth, matches) for kind in KINDS]
    resamplers = [Resampler(one) for one in (_reduced(rows, matches), *mended)]
    once = np.ones((1, matches.image_count), dtype=np.int32)
    values = {
        group: {name: float(column[0]) for name, column in own.items()}
        for group, own in _costs(resamplers, once, vocabulary).items()
    }
    intervals: dict[str, dict[str, Interval | None]] = {}
    if resamples:
        draws = draw_counts(matches.image_count, resamples, generator or np.random.default_rng(0))
        blocks = []
        while counts := list(islice(draws, _RESAMPLES_AT_ONCE)):
            blocks.append(_costs(resamplers, np.stack(counts), vocabulary))
        intervals = {
            group: {
                kind: interval_around(own[kind], np.concatenate([block[group][kind] for block in blocks]))
                for kind in KINDS
            }
            for group, own in values.items()
        }
    return ErrorAnalysis(
        ap50={group: own["AP50"] for group, own in values.items()},
        costs={group: {kind: own[kind] for kind in KINDS} for group, own in values.items()},
        intervals=intervals,
        counts={kind: int((kinds == place).sum()) for place, kind in enumerate(KINDS[:-1])}
        | {"missed": int(_missed(kinds, about, rows, ground_truth).sum())},
        ceilings=ceilings_of(table, ground_truth, at_rows, near, cap=cap),
        scores=_scores(table, ground_truth, matches, order, near[same]),
        confusions=_confusions(rows, kinds, about, ground_truth),
    )


@dataclass(frozen=True, eq=False)
class _Rows:
    """The N rows that count, as the evaluation orders them, with the box that each found at IoU 0.5."""

    rows: NDArray[np.int64]  # (N,) positions in the table
    images: NDArray[np.int64]  # (N,) image ranks
    labels: NDArray[np.int64]  # (N,)
    scores: NDArray[np.float64]  # (N,)
    found: NDArray[np.int64]  # (N,) position of the box in the ground truth, -1: none
    ranks: NDArray[np.int64]  # (N,) by score descending, then image, whatever the class

    @classmethod
    def of(cls, matches: Matches, table: Detections) -> _Rows:
        kept = ~matches.ignored[0, 0]
        rows = matches.order.rows[kept]
        assert matches.found_boxes is not None
        images, scores = matches.order.images[kept], table.scores[rows]
        ranks = np.empty(len(rows), dtype=np.int64)
        ranks[np.lexsort((images, -scores))] = np.arange(len(rows))
        return cls(rows, images, table.labels[rows], scores, matches.found_boxes[kept], ranks)


def _kinds(
    rows: _Rows, at_rows: NDArray[np.int64], near: Pairs, ground_truth: AnnotatedDataset, count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The kind of each row as its place in KINDS, -1 where it is right (N,), and the box (N,) that it is about.

    Args:
        at_rows: (P,) positions in the table, of `count` rows, of the pairs `near` of any class.
    """
    own, other = (np.zeros(len(rows.rows)) for _ in range(2))  # the largest overlaps with boxes of its class and others
    own_box, other_box = (np.full(len(rows.rows), -1, dtype=np.int64) for _ in range(2))
    place_of = np.full(count, -1, dtype=np.int64)
    place_of[rows.rows] = np.arange(len(rows.rows))
    places = place_of[at_rows]
    ascending = np.argsort(near.overlaps, kind="stable")  # the last that is written is the largest
    ascending = ascending[places[ascending] >= 0]
    places, boxes, overlaps = places[ascending], near.boxes[ascending], near.overlaps[ascending]
    same = rows.labels[places] == ground_truth.labels[boxes]
    for mask, most, best in ((same, own, own_box), (~same, other, other_box)):
        most[places[mask]], best[places[mask]] = overlaps[mask], boxes[mask]
    conditions = [
        (own >= BACKGROUND) & (own < FOREGROUND),
        other >= FOREGROUND,
        own >= FOREGROUND,
        np.maximum(own, other) < BACKGROUND,
    ]
    choices = [KINDS.index(kind) for kind in ("box", "class", "duplicate", "background")]
    kinds = np.select(conditions, choices, default=KINDS.index("both"))
    kinds[rows.found >= 0] = -1
    about = np.where(kinds == KINDS.index("class"), other_box, own_box)
    return kinds, about


def _missed(
    kinds: NDArray[np.int64], about: NDArray[np.int64], rows: _Rows, ground_truth: AnnotatedDataset
) -> NDArray[np.bool_]:
    """Which boxes (M,) no row is about."""
    missed = ~ground_truth.crowd
    missed[rows.found[rows.found >= 0]] = False
    missed[about[np.isin(kinds, [KINDS.index("class"), KINDS.index("box")])]] = False
    return missed


def _mended(
    kind: str,
    rows: _Rows,
    kinds: NDArray[np.int64],
    about: NDArray[np.int64],
    ground_truth: AnnotatedDataset,
    matches: Matches,
) -> Matches:
    """The verdicts after all errors of one kind are mended."""
    if kind == "missed":
        return _reduced(rows, matches, without=_missed(kinds, about, rows, ground_truth), truth=ground_truth)
    wrong = kinds == KINDS.index(kind)
    right, labels = rows.found >= 0, rows.labels.copy()
    if kind in ("class", "box"):
        free = np.ones(len(ground_truth), dtype=bool)
        free[rows.found[rows.found >= 0]] = False
        candidates = np.flatnonzero(wrong & free[about])
        best_first = candidates[np.argsort(-rows.scores[candidates], kind="stable")]
        _, first = np.unique(about[best_first], return_index=True)
        mended = best_first[first]
        labels[mended] = ground_truth.labels[about[mended]]
        right[mended], wrong[mended] = True, False
    return _reduced(rows, matches, right=right, labels=labels, kept=~wrong)


def _reduced(
    rows: _Rows,
    matches: Matches,
    *,
    right: NDArray[np.bool_] | None = None,
    labels: NDArray[np.int64] | None = None,
    kept: NDArray[np.bool_] | None = None,
    without: NDArray[np.bool_] | None = None,
    truth: AnnotatedDataset | None = None,
) -> Matches:
    """Verdicts at IoU 0.5 over boxes of all sizes, in the order of the scores."""
    right = rows.found >= 0 if right is None else right
    labels = rows.labels if labels is None else labels
    places = np.arange(len(labels)) if kept is None else np.flatnonzero(kept)
    places = places[np.argsort(labels[places] * len(labels) + rows.ranks[places])]
    bounds = np.searchsorted(labels[places], np.arange(matches.class_count + 1)).astype(np.int64)
    counted = matches.truth_counted[:1]
    if without is not None and truth is not None:
        counted = counted & ~without[np.argsort(truth.labels, kind="stable")]
    verdicts = right[places][None, None]
    return replace(
        matches,
        order=Order(rows.rows[places], rows.images[places], np.zeros_like(places), bounds),
        true_positive=verdicts,
        ignored=np.zeros_like(verdicts),
        truth_counted=counted,
        caps=(),
    )


def _costs(
    resamplers: Sequence[Resampler], counts: NDArray[np.int32], vocabulary: ClassVocabulary
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """AP50 and the cost of each kind by group (B,), for multisets of images (B, images)."""
    by_class = [resampler.figures(counts).average_precision[:, 0, 0] for resampler in resamplers]  # (B, C) each
    plain = by_class[0]
    result = {}
    for group, labels in labels_by_group(vocabulary).items():
        base = class_means(plain[:, labels])
        # a class all of whose boxes are missed has none left to be measured against: found, they would be AP 1
        after = [class_means(np.where(np.isnan(own) & ~np.isnan(plain), 1.0, own)[:, labels]) for own in by_class[1:]]
        result[group] = {"AP50": base} | {kind: own - base for kind, own in zip(KINDS, after, strict=True)}
    return result


def _scores(
    table: Detections, ground_truth: AnnotatedDataset, matches: Matches, order: Order, own: Pairs
) -> dict[str, dict[str, float]]:
    """oLRP, its parts and LaECE0, the mean over the classes of each group."""
    by_class = {
        **optimal_lrp(table, ground_truth, matches=matches),
        "LaECE0": calibration_error(table, ground_truth, overlapping=(order, own)),
    }
    return {
        group: {name: float(class_means(by_class[name][None, labels])[0]) for name in (*PARTS, "LaECE0")}
        for group, labels in labels_by_group(ground_truth.vocabulary).items()
    }


def _confusions(
    rows: _Rows, kinds: NDArray[np.int64], about: NDArray[np.int64], ground_truth: AnnotatedDataset
) -> list[tuple[str, str, int]]:
    wrong = kinds == KINDS.index("class")
    pairs = np.stack([rows.labels[wrong], ground_truth.labels[about[wrong]]], axis=1)
    found, counts = np.unique(pairs, axis=0, return_counts=True)
    names = ground_truth.vocabulary.names
    worst = np.argsort(-counts, kind="stable")[:MOST_PAIRS]
    return [(names[found[place, 0]], names[found[place, 1]], int(counts[place])) for place in worst.tolist()]
