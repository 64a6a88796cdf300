"""Calibration without an encoder: the curves against plain loops, and what cross-validation makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import DataError
from risf_core.photos import ImageInfo
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.fitted import Line, log_odds_of, sigmoid
from risf_core.tuning import calibrating
from risf_core.tuning.calibrating import CURVES, calibrate, fit_calibration
from risf_core.vocabulary import ClassVocabulary

NAMES = ("cat", "dog", "cow")
TRUE_LINES = {"cat": Line(0.5, -1.0), "dog": Line(1.5, 1.0), "cow": Line(1.0, 0.0)}


def made(count: int = 6000, *, lines: dict[str, Line] = TRUE_LINES, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Scores (N,), labels (N,) and whether each is right (N,), as often as the class's line says."""
    rng = np.random.default_rng(seed)
    scores, labels = rng.random(count), rng.integers(len(NAMES), size=count)
    lines_of = [lines[NAMES[label]] for label in labels]
    odds = log_odds_of(scores)
    chance = sigmoid(np.array([line.intercept + line.slope * x for line, x in zip(lines_of, odds, strict=True)]))
    return scores, labels, (rng.random(count) < chance).astype(float)


def made_images(*, lines: dict[str, Line] = TRUE_LINES, images: int = 40) -> tuple[Detections, AnnotatedDataset]:
    """The same as detections of images, each on a place of its own with a box where it is right."""
    scores, labels, right = made(images * 30, lines=lines)
    ids = np.repeat(np.arange(images), 30)
    boxes = np.array([[50 * (n % 30), 0, 40, 40] for n in range(len(ids))], dtype=float)
    infos = [ImageInfo(image_id, None, 100, 2000) for image_id in range(images)]
    found = right > 0
    truth = AnnotatedDataset.from_columns(
        ClassVocabulary.from_names(NAMES), infos, ids[found], labels[found], boxes[found]
    )
    return Detections.from_rows(ids, boxes, scores, labels), truth


def steps_by_hand(scores: np.ndarray, right: np.ndarray) -> list[tuple[float, float]]:
    """Pool adjacent violators by a plain loop: the mean score and the share of right rows of each pool."""
    pools: list[list[tuple[float, float]]] = []
    for score, value in sorted(zip(scores.tolist(), right.tolist(), strict=True)):
        pools.append([(score, value)])
        while len(pools) > 1 and np.mean([v for _, v in pools[-2]]) >= np.mean([v for _, v in pools[-1]]):
            last = pools.pop()
            pools[-1] += last
    return [(np.mean([s for s, _ in pool]), np.mean([v for _, v in pool])) for pool in pools]


def test_an_isotonic_curve_has_the_steps_of_a_plain_loop() -> None:
    scores, _, right = made(300)
    curve = fit_calibration("isotonic", scores, np.zeros(300, dtype=np.int64), right, names=NAMES).curve
    assert (curve[0], curve[-1]) == ((0.0, 0.0), (1.0, 1.0))
    by_hand = np.clip(steps_by_hand(scores, right), 1e-6, 1 - 1e-6)
    np.testing.assert_allclose(curve[1:-1], by_hand)


def test_lines_are_found_again_and_a_class_with_few_rows_is_about_all_others() -> None:
    scores, labels, right = made()
    of_all = fit_calibration("logistic", scores, labels, right, names=NAMES).line
    fitted = fit_calibration("line per class", scores, labels, right, names=NAMES)
    for name, true in TRUE_LINES.items():
        own = fitted.class_lines[name]
        assert (own.slope, own.intercept) == pytest.approx((true.slope, true.intercept), abs=0.2)
    few = np.flatnonzero(labels != 1)
    few = np.sort(np.r_[few, np.flatnonzero(labels == 1)[:2]])
    own = fit_calibration("line per class", scores[few], labels[few], right[few], names=NAMES)
    assert abs(own.class_lines["dog"].intercept - own.line.intercept) < 0.4
    assert abs(of_all.intercept - TRUE_LINES["dog"].intercept) > 0.5  # without its own line it would be wrong


@pytest.mark.parametrize("curve", CURVES)
def test_every_curve_keeps_the_order_of_each_class_even_where_scores_say_the_opposite(curve: str) -> None:
    scores, labels, right = made(500)
    for target in (right, 1 - right, np.zeros(500), np.ones(500)):
        fitted = fit_calibration(curve, scores, labels, target, names=NAMES)
        after = fitted.apply(scores, labels, NAMES)
        assert ((after >= 0) & (after <= 1)).all()
        for label in range(3):
            own = labels == label
            assert (np.argsort(after[own], kind="stable") == np.argsort(scores[own], kind="stable")).all()
            assert len(np.unique(after[own])) == own.sum()


def test_rows_of_unknown_categories_keep_their_score() -> None:
    scores, labels = np.array([0.2, 0.9]), np.array([-1, 0])
    for calibration in (Calibration(Line(1.0, 2.0)), Calibration(curve=((0.0, 0.0), (0.5, 0.1), (1.0, 1.0)))):
        after = calibration.apply(scores, labels, NAMES)
        assert after[0] == 0.2
        assert after[1] != 0.9


def test_classes_that_differ_get_their_own_lines_and_the_held_out_error_falls() -> None:
    table, truth = made_images()
    done = calibrate(table, truth)
    assert done.chosen == "line per class"
    errors = done.calibration_errors
    assert errors["line per class"] < errors["detector"]
    squared = done.squared_errors
    assert squared["line per class"] < squared["logistic"] < squared["detector"]
    assert f"LaECE0 {100 * errors['detector']:.1f} -> {100 * errors['line per class']:.1f}" in done.verdict
    assert done == calibrate(table, truth)


def test_scores_that_are_probabilities_already_are_kept_or_hardly_moved() -> None:
    table, truth = made_images(lines=dict.fromkeys(NAMES, Line()), images=200)
    done = calibrate(table, truth)
    after = done.calibration.apply(table.scores, table.labels, NAMES)
    assert np.abs(after - table.scores).max() < 0.05


def test_each_image_is_scored_by_a_fit_that_did_not_see_it(monkeypatch: pytest.MonkeyPatch) -> None:
    table, truth = made_images()
    fits: list[set[float]] = []

    def fit(curve: str, scores: np.ndarray, *columns: np.ndarray, names: tuple[str, ...]) -> Calibration:
        fits.append(set(scores.tolist()))
        return fit_calibration(curve, scores, *columns, names=names)

    monkeypatch.setattr(calibrating, "fit_calibration", fit)
    calibrate(table, truth)
    of_fold = fits[: -1 : len(CURVES)]  # the last is of all images
    assert len(of_fold) == 5
    everything = set(table.scores.tolist())
    left_out = [everything - seen for seen in of_fold]
    assert set().union(*left_out) == everything
    assert sum(map(len, left_out)) == len(everything)


def test_too_few_images_are_refused() -> None:
    table, truth = made_images(images=1)
    with pytest.raises(DataError, match="1 labelled image with detections"):
        calibrate(table, truth)
