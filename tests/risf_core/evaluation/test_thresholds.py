"""Operating thresholds against plain loops over every threshold, and on photos that they did not see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import beta

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation import thresholds
from risf_core.evaluation.thresholds import Wish, choose_thresholds
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

NAMES = ("cat", "dog", "cow")


def made(images: int = 40, *, seed: int = 0, shift: float = 0.1) -> tuple[Detections, AnnotatedDataset, np.ndarray]:
    """Rows on places of their own, right as often as they score, over boxes that they miss by `shift` of the side."""
    rng = np.random.default_rng(seed)
    count = images * 20
    ids, labels = np.repeat(np.arange(images), 20), rng.integers(3, size=count)
    scores = np.round(rng.random(count), 2)  # many are equal
    right = rng.random(count) < scores
    boxes = np.array([[60 * (n % 20), 0, 40, 40] for n in range(count)], dtype=float)
    found = np.flatnonzero(right)
    infos = [ImageInfo(image_id, None, 100, 2000) for image_id in range(images)]
    vocabulary = ClassVocabulary.from_names(NAMES)
    truth = AnnotatedDataset.from_columns(
        vocabulary, infos, ids[found], labels[found], boxes[found] + np.array([40 * shift, 0, 0, 0])
    )
    return Detections.from_rows(ids, boxes, scores, labels), truth, right


def every_threshold(
    table: Detections, right: np.ndarray, label: int, figure: Callable[[np.ndarray, np.ndarray], float]
) -> dict[float, float]:
    """Threshold -> figure of the scores and verdicts of the rows from it, by a plain loop."""
    own = table.labels == label
    return {
        score: figure(table.scores[own & (table.scores >= score)], right[own & (table.scores >= score)])
        for score in np.unique(table.scores[own]).tolist()
    }


def test_the_lowest_score_that_reaches_a_precision_is_the_threshold() -> None:
    table, truth, right = made()
    chosen = choose_thresholds(table, truth, Wish(0.9), generator=np.random.default_rng(0))
    for label, name in enumerate(NAMES):
        by_score = every_threshold(
            table, right, label, lambda scores, own: (own.sum() + 10 * scores.mean()) / (len(own) + 10)
        )
        lowest = min(score for score, precision in by_score.items() if precision >= 0.9)
        assert chosen[name].score == lowest
        assert chosen[name].value == pytest.approx(by_score[lowest])
        strength = chosen[name].rows + 10
        tails = beta.ppf([0.025, 0.975], by_score[lowest] * strength, (1 - by_score[lowest]) * strength)
        assert chosen[name].interval == pytest.approx(tuple(tails))


@pytest.mark.parametrize("best", ["f1", "lrp"])
def test_the_best_f1_and_lrp_are_those_of_a_loop(best: str) -> None:
    table, truth, right = made()
    chosen = choose_thresholds(table, truth, Wish(best=best), generator=np.random.default_rng(0))
    error = 1 - (40 - 4) / (40 + 4)  # 1 - IoU of every right row
    for label, name in enumerate(NAMES):
        boxes = int(right[table.labels == label].sum())

        def figure(scores: np.ndarray, own: np.ndarray, boxes: int = boxes) -> float:
            true, false, missed = own.sum(), (~own).sum(), boxes - own.sum()
            if best == "f1":
                return float(-2 * true / (2 * true + false + missed))
            return float((true * error / 0.5 + false + missed) / (true + false + missed))

        by_score = every_threshold(table, right, label, figure)
        least = min(by_score.values())
        assert by_score[chosen[name].score] == pytest.approx(least)
        assert chosen[name].value == pytest.approx(abs(least))
        low, high = chosen[name].interval or (1, 0)
        assert low < abs(least) < high
        assert chosen[name].boxes == boxes


def test_a_class_with_few_boxes_gets_the_threshold_of_all_and_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    table, truth, _ = made()
    monkeypatch.setattr(thresholds, "LEAST_BOXES", 10_000)
    chosen = choose_thresholds(table, truth, Wish(best="f1"), generator=np.random.default_rng(0))
    assert len({threshold.score for threshold in chosen.values()}) == 1
    assert {threshold.value for threshold in chosen.values()} == {None}


def test_where_no_score_reaches_the_precision_all_labelled_rows_are_below_the_threshold() -> None:
    table, truth, _ = made()
    wrong = table.with_scores(1 - table.scores)  # the opposite of probabilities
    for name, threshold in choose_thresholds(wrong, truth, Wish(0.97), generator=np.random.default_rng(0)).items():
        assert threshold.rows == 0, name
        assert (threshold.value, threshold.interval) == (None, None)
        assert threshold.score >= 0.97


def test_a_precision_that_was_asked_for_is_reached_on_images_that_were_not_seen() -> None:
    inside = 0
    for seed in range(30):
        chosen = choose_thresholds(*made(seed=seed)[:2], Wish(0.9), generator=np.random.default_rng(0))
        table, _, right = made(400, seed=seed + 1000)
        for label, name in enumerate(NAMES):
            kept = (table.labels == label) & (table.scores >= chosen[name].score)
            low, high = chosen[name].interval or (1, 0)
            inside += low <= right[kept].mean() <= high
    assert inside >= 0.9 * 90


def test_a_wish_is_one_thing_and_a_precision_a_share() -> None:
    for precision, best, words in ((0.9, "f1", "leave one out"), (None, None, "needs a wish"), (1.5, None, "got 1.5")):
        with pytest.raises(ConfigError, match=words):
            Wish(precision, best)
