"""The numbers of the report beside plain loops and beside `evaluate`."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risf_core.errors import ConfigError
from risf_core.evaluation import evaluate
from risf_core.report.calibration import BINS, reliability
from risf_core.report.comparison import compare_files
from risf_core.report.curves import HISTOGRAM_BINS, score_histogram
from risf_core.report.verdicts import FALSE, IGNORED, TRUE, kept_at, threshold_for


def compared(truth, before, after, **options):
    return compare_files(before, after, truth, names=("before.json", "after.json"), **{"resamples": 0, **options})


def overlap(one, other, *, crowd: bool) -> float:
    """Intersection over union of two boxes x, y, width, height; over the first's own area for a crowd."""
    width = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    height = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    return shared / (one[2] * one[3] + (0 if crowd else other[2] * other[3] - shared))


def verdicts_by_hand(truth, table) -> list[int]:
    """COCO's rule at IoU .50, one detection after the other."""
    verdicts = [IGNORED] * len(table)
    taken = set()
    for row in sorted(range(len(table)), key=lambda row: -table.scores[row]):
        best, best_overlap = None, 0.5
        same = [
            box
            for box in range(len(truth))
            if truth.image_ids[box] == table.image_ids[row] and truth.labels[box] == table.labels[row]
        ]
        for box in same:
            own = overlap(table.boxes_xywh[row], truth.boxes_xywh[box], crowd=False)
            if not truth.crowd[box] and box not in taken and own >= best_overlap:
                best, best_overlap = box, own
        on_crowd = any(
            truth.crowd[box] and overlap(table.boxes_xywh[row], truth.boxes_xywh[box], crowd=True) >= 0.5
            for box in same
        )
        if best is not None:
            taken.add(best)
            verdicts[row] = TRUE
        elif not on_crowd:
            verdicts[row] = FALSE
    return verdicts


@pytest.mark.parametrize("classes", [1, 3])
def test_verdicts_are_those_of_a_plain_loop(made, classes):
    truth, before, after = made(classes=classes)
    comparison = compared(truth, before, after)
    for file, table in zip(comparison.files, (before, after), strict=True):
        assert file.verdicts.tolist() == verdicts_by_hand(truth, table)
        assert {TRUE, FALSE, IGNORED} == set(file.verdicts.tolist())


def test_the_mean_height_of_each_curve_is_the_ap_of_evaluate(made):
    truth, before, after = made(classes=4, novel=("class 1", "class 3"))
    comparison = compared(truth, before, after)
    vocabulary = truth.vocabulary
    for file, table in zip(comparison.files, (before, after), strict=True):
        metrics = evaluate(table, truth)
        assert file.evaluated.metrics == metrics
        for prefix, labels in {
            "": vocabulary.labels(),
            "b": vocabulary.labels("base"),
            "n": vocabulary.labels("novel"),
        }.items():
            for name, curve in file.precision_recall.mean_over(labels).items():
                assert math.isclose(curve.mean(), metrics.flat()[f"{prefix}{name}"], rel_tol=1e-12)
                assert curve.shape == (101,)
        for label, name in enumerate(vocabulary.names):
            curves = file.precision_recall.mean_over(np.array([label]))
            for figure, curve in curves.items():
                assert math.isclose(curve.mean(), metrics.per_class[name][figure], rel_tol=1e-12)


def test_a_curve_is_the_best_precision_to_its_right(made):
    truth, before, after = made(classes=1)
    comparison = compared(truth, before, after)
    file = comparison.before
    # equal scores stand in the order of the images, then of the file
    order = sorted(range(len(before)), key=lambda row: (-before.scores[row], before.image_ids[row], row))
    rows = [row for row in order if file.verdicts[row] != IGNORED]
    boxes = int(truth.boxes_per_class().sum())
    points, found = [], 0
    for count, row in enumerate(rows, 1):
        found += file.verdicts[row] == TRUE
        points.append((found / boxes, found / count))
    by_hand = [
        max((precision for recall, precision in points if recall >= step / 100), default=0.0) for step in range(101)
    ]
    curve = file.precision_recall.mean_over(truth.vocabulary.labels())["AP50"]
    np.testing.assert_allclose(curve, by_hand, rtol=1e-12)


def test_the_expected_calibration_error_is_that_of_a_plain_loop():
    generator = np.random.default_rng(5)
    scores = np.concatenate([generator.random(500), [0.0, 1.0, 1 / BINS, 2 / BINS]])
    correct = generator.random(len(scores)) < scores**2
    total = 0.0
    result = reliability(scores, correct)
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        own = [i for i, s in enumerate(scores) if (low < s or (number == 0 and s == 0)) and s <= high]
        assert result.counts[number] == len(own)
        share, mean = sum(correct[i] for i in own) / len(own), sum(scores[i] for i in own) / len(own)
        assert math.isclose(result.precisions[number], share)
        assert math.isclose(result.mean_scores[number], mean)
        total += len(own) / len(scores) * abs(share - mean)
    assert math.isclose(result.error, total)


def test_scores_that_are_probabilities_have_no_calibration_error_and_no_scores_have_none():
    scores = np.repeat([0.25, 0.75], 400)
    correct = np.concatenate([np.arange(400) < 100, np.arange(400) < 300])
    assert reliability(scores, correct).error == 0
    nothing = reliability(np.empty(0), np.empty(0, dtype=bool))
    assert nothing.error is None
    assert nothing.to_json()["bins"] == []


def test_the_score_histogram_is_that_of_a_plain_loop():
    generator = np.random.default_rng(1)
    scores = np.concatenate([generator.random(300).round(2), [0.0, 1.0]])
    correct = generator.random(len(scores)) < 0.5
    histogram = score_histogram(scores, correct)
    edges = histogram.edges
    for number in range(HISTOGRAM_BINS):
        last = number == HISTOGRAM_BINS - 1
        own = [edges[number] <= s and (s < edges[number + 1] or (last and s <= 1)) for s in scores]
        assert histogram.true[number] == sum(inside and c for inside, c in zip(own, correct, strict=True))
        assert histogram.false[number] == sum(inside and not c for inside, c in zip(own, correct, strict=True))


def test_a_threshold_keeps_what_a_plain_loop_keeps(made):
    truth, before, after = made()
    comparison = compared(truth, before, after, threshold=0.4)
    verdicts = verdicts_by_hand(truth, after)
    true = sum(v == TRUE and s >= 0.4 for v, s in zip(verdicts, after.scores, strict=True))
    false = sum(v == FALSE and s >= 0.4 for v, s in zip(verdicts, after.scores, strict=True))
    kept, boxes = comparison.after.kept, int((~truth.crowd).sum())
    assert (kept.true, kept.false, kept.missed) == (true, false, boxes - true)
    assert (kept.precision, kept.recall) == (true / (true + false), true / boxes)
    assert math.isclose(kept.f1, 2 / (1 / kept.precision + 1 / kept.recall))


def test_as_many_detections_are_as_many_as_before(made):
    truth, before, after = made()
    comparison = compared(truth, before, after, threshold=0.6)
    first, same = comparison.before.kept, comparison.kept_as_many
    assert same.true + same.false == first.true + first.false > 0
    assert threshold_for(0, np.array([0.5]), np.array([TRUE])) is None
    assert kept_at(0.5, np.empty(0), np.empty(0), boxes=0).to_json() == {
        "threshold": 0.5, "true": 0, "false": 0, "boxes": 0, "missed": 0, "precision": None, "recall": None, "f1": None,
    }  # fmt: skip


def test_the_reliability_of_changed_rows_leaves_the_others_out(made):
    truth, before, after = made()
    scores = before.scores.copy()
    moved = np.arange(0, len(scores), 3)
    scores[moved] = after.scores[moved]
    comparison = compared(truth, before, before.with_scores(scores))
    really = moved[before.scores[moved] != scores[moved]]
    counting = really[comparison.before.verdicts[really] != IGNORED]
    first, second = comparison.changed
    assert first.counts.sum() == len(counting)
    by_hand = reliability(before.scores[counting], comparison.before.verdicts[counting] == TRUE)
    assert first.error == by_hand.error
    assert second.error is not None
    assert compared(truth, before, before).changed is None


def test_intervals_are_those_of_the_bootstrap_and_thresholds_are_checked(made):
    from risf_core.evaluation import bootstrap, match

    truth, before, after = made()
    comparison = compared(truth, before, after, resamples=50, generator=np.random.default_rng(7))
    expected = bootstrap(
        [match(before, truth), match(after, truth)],
        truth.vocabulary,
        resamples=50,
        generator=np.random.default_rng(7),
    )
    assert comparison.after.evaluated.bootstrapped == expected[1]
    with pytest.raises(ConfigError) as raised:
        compared(truth, before, after, threshold=1.5)
    assert str(raised.value) == "`threshold` must be in 0..1, got 1.5"
