"""A fitted fusion applied: its formula by hand, and how its rows stand beside those that were not re-scored."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risf_core.rescore.evidence import Evidence
from risf_core.rescore.fitted import FittedFusion, Line, Term, log_odds_of

BOXES = np.array([[0, 0, 10, 40.0]] * 6)
NO_ROWS = np.zeros(6, dtype=bool)
SCORES = np.array([0.9, 0.5, 0.06, 0.04, 0.01, 0.3])


def evidence(probabilities: list[float], **voices: list[float]) -> Evidence:
    unknown = Evidence.unknown(len(probabilities))
    columns = {name: np.array(values, dtype=float) for name, values in {"probability": probabilities, **voices}.items()}
    return Evidence(**{**vars(unknown), **columns})


ASKED = evidence([0.5, 0.01, 1e-9, math.nan, math.nan, math.nan])


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def applied(fusion: FittedFusion, rescored_class: np.ndarray = ~NO_ROWS, told: Evidence = ASKED) -> np.ndarray:
    return fusion.apply(SCORES, told, BOXES, novel=NO_ROWS, rescored_class=rescored_class)


def test_a_row_with_evidence_gets_the_formula_and_one_without_its_line() -> None:
    fusion = FittedFusion(Line(0.8, -1.0), Line(1.1, -0.5), Line(), (Term("text", 0.6, -2.0),))
    first = sigmoid(-1.0 + 0.8 * math.log(9) + 0.6 * (math.log(0.5) + 2.0))
    last = sigmoid(-0.5 + 1.1 * math.log(0.3 / 0.7))
    scores = applied(fusion)
    assert [scores[0], scores[5]] == pytest.approx([first, last], abs=1e-12)


def test_nothing_below_the_range_overtakes_a_row_that_was_re_scored() -> None:
    fusion = FittedFusion(Line(), Line(1.3, 2.0), Line(), (Term("text", 3.0, 0.0),))
    scores = applied(fusion)
    assert scores[:3].min() >= scores[3] > scores[4]
    assert scores.max() < 1


def test_probabilities_are_pressed_together_only_at_the_end_of_the_range() -> None:
    told = evidence([1.0, 1e-6, 1e-6, math.nan, math.nan, 0.5])
    fusion = FittedFusion(Line(), Line(), Line(), (Term("text", 1.0, 0.0),))
    scores = applied(fusion, told=told)
    # at odds of 9 and 3/7 x 1/2 nothing is pressed; of 1e-6 it is: from almost 0 to half as much above 0.05
    assert scores[[0, 5]] == pytest.approx([0.9, 3 / 17], abs=1e-9)
    assert scores[1] == pytest.approx(0.05 + (1e-6 / (1 + 1e-6)) / 2, abs=1e-12)


def test_without_terms_the_order_is_the_detectors_whatever_the_encoder_says() -> None:
    scores = applied(FittedFusion(Line(), Line(0.05, -3.0), Line()))
    assert np.argsort(scores).tolist() == np.argsort(SCORES).tolist()


@pytest.mark.parametrize("slope", [0.05, 1.0, 3.0])
def test_the_order_is_kept_among_the_surest_and_the_least_sure(slope: float) -> None:
    ends = [np.linspace(1e-6, 1e-4, 1000), 1 - np.linspace(1e-4, 1e-6, 200)]
    scores = np.concatenate(ends)
    fusion = FittedFusion(Line(), Line(slope, 0.0), Line())
    nothing, none = Evidence.unknown(1200), np.zeros(1200, dtype=bool)
    found = fusion.apply(scores, nothing, np.ones((1200, 4)), novel=none, rescored_class=~none)
    assert (np.diff(found) > 0).all()
    assert 0 < found.min() <= found.max() < 1


def test_terms_of_no_weight_keep_the_detectors_order() -> None:
    line = Line(0.7, -0.3)
    scores = applied(FittedFusion(line, line, Line(), (Term("text", 0.0, -3.0),)))
    asked = np.argsort(SCORES[:3])
    assert np.argsort(scores[:3]).tolist() == asked.tolist()
    assert scores[3] < scores[:3].min()


def test_classes_that_are_not_re_scored_have_their_own_line() -> None:
    others = np.array([True, True, True, True, True, False])
    fusion = FittedFusion(Line(), Line(2.0, 1.0), Line(), (Term("text", 1.0, 0.0),))
    assert applied(fusion, others)[5] == pytest.approx(0.3, abs=1e-12)  # the default line changes nothing


def test_rows_above_the_range_stay_above_it() -> None:
    fusion = FittedFusion(Line(), Line(), Line(), (Term("text", -9.0, 0.0),), min_score=0.02, max_score=0.6)
    told = evidence([math.nan, 1e-6, 1e-6, 1e-6, math.nan, 1e-6])
    scores = applied(fusion, told=told)
    assert scores[0] == pytest.approx(0.9)
    assert scores[1:4].max() <= 0.6 + 1e-9
    assert scores[4] == pytest.approx(0.01)


def test_rows_above_the_range_stay_above_it_where_scores_are_spread_far_apart() -> None:
    fusion = FittedFusion(Line(12.0, 5.0), Line(14.0, -3.0), Line(), (Term("text", 0.1, 0.0),), 0.05, 0.9)
    told = evidence([0.9, math.nan, math.nan, math.nan, math.nan, math.nan])
    scores = np.array([0.89, 0.91, 0.06, 0.04, 0.01, 0.3])
    found = fusion.apply(scores, told, BOXES, novel=NO_ROWS, rescored_class=~NO_ROWS)
    assert found[0] < found[1] < 1


def test_a_term_that_is_not_known_of_a_row_says_nothing_there() -> None:
    told = evidence([0.5, 0.01, 0.2, math.nan, math.nan, math.nan], support=[0.9] + [math.nan] * 5)
    text = (Term("text", 0.6, -2.0),)
    with_support = FittedFusion(Line(), Line(), Line(), (*text, Term("support", 1.0, -1.0)))
    alone = applied(FittedFusion(Line(), Line(), Line(), text), told=told)
    both = applied(with_support, told=told)
    assert both[1:].tolist() == alone[1:].tolist()
    assert both[0] > alone[0]


def test_scores_of_0_and_1_have_finite_log_odds() -> None:
    assert np.abs(log_odds_of(np.array([0.0, 1.0]))).max() == pytest.approx(math.log(1e9), abs=1e-3)
