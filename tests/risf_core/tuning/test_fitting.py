"""What a fit finds, and what it lets in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from risf_core.rescore.fitted import Line, log_odds_of
from risf_core.tuning.budget import BudgetPoint, smallest_near_all, with_photo_line
from risf_core.tuning.cross_validation import apply
from risf_core.tuning.fitting import (
    INTERCEPT_PENALTY,
    LEAST_SLOPE,
    SLOPE_PENALTY,
    SPARSE_FACTOR,
    WEIGHT_PENALTY,
    fit_fusion,
    fit_terms,
)


def fitted(rows, evidence="text", seed=0):
    return fit_fusion(rows, evidence=evidence, generator=np.random.default_rng(seed))


def order(values: np.ndarray) -> list[int]:
    return np.argsort(values, kind="stable").tolist()


def test_an_encoder_that_knows_is_let_in_and_one_that_does_not_is_left_out(made_rows) -> None:
    knowing, ignorant = fitted(made_rows(knows=1.0)), fitted(made_rows(knows=0.0, seed=1))
    assert [term.name for term in knowing.fusion.terms][:1] == ["text"]
    assert knowing.fusion.terms[0].weight > 0.3
    assert knowing.admissions[0].admitted
    assert ignorant.fusion.terms == ()
    assert not ignorant.admissions[0].admitted


def test_the_photo_is_a_voice_of_its_own_beside_the_crops(made_rows) -> None:
    rows = made_rows(knows=1.0)
    photo = made_rows(knows=0.7, seed=0, noise=2.0).evidence.probability[::-1]  # of other rows: it knows nothing
    evidence = replace(rows.evidence, photo=rows.evidence.probability, quarters=photo, probability=photo)
    admitted = fitted(replace(rows, evidence=evidence), "text+photo")
    assert [term.name for term in admitted.fusion.terms][:1] == ["photo"]
    assert {name for admission in admitted.admissions[:3] for name in admission.terms} == {"text", "photo", "quarters"}


def test_rows_that_were_added_count_as_often_as_they_are_right_and_change_nothing_else(made_rows) -> None:
    rows = made_rows(knows=1.0)
    added = np.arange(len(rows)) % 2 == 1
    rare = replace(rows, right=np.where(added, 0.1 * rows.right, rows.right))  # a tenth of what their evidence says
    mixed = replace(rare, evidence=replace(rows.evidence, added=added.astype(float)))
    fusion, plain = fit_terms(mixed, ("text",)), fit_terms(rows[~added], ("text",))
    *terms, last = fusion.terms
    assert (fusion.fused, tuple(terms)) == (plain.fused, plain.terms)
    assert last.name == "added"
    scores = apply(fusion, mixed)[added & ~np.isnan(rows.evidence.probability)]
    expected = rare.right[added & ~np.isnan(rows.evidence.probability)]
    assert scores.mean() == pytest.approx(expected.mean(), abs=0.01)
    assert apply(fit_fusion(mixed, evidence="text", generator=np.random.default_rng(0)).fusion, mixed).shape == (2000,)


def test_an_encoder_that_is_always_wrong_is_not_believed_in_reverse(made_rows) -> None:
    assert fitted(made_rows(knows=-1.0)).fusion.terms == ()


def test_without_evidence_the_detectors_order_is_kept_to_the_last_row(made_rows) -> None:
    rows = made_rows(knows=0.0, seed=1)
    assert order(apply(fitted(rows).fusion, rows)) == order(rows.scores)


def test_a_detector_whose_scores_say_nothing_still_keeps_its_order(made_rows) -> None:
    rows = made_rows(knows=0.0, seed=1)
    upside_down = made_rows(knows=0.0, seed=1, right=1 - rows.right)
    fusion = fit_terms(upside_down, ())
    assert fusion.alone.slope == LEAST_SLOPE
    assert order(apply(fusion, upside_down)) == order(rows.scores)


def test_the_fit_is_the_minimum_of_its_loss(made_rows) -> None:
    rows = made_rows(300)
    fusion = fit_terms(rows, ("text",))
    (term,) = fusion.terms
    asked = ~np.isnan(rows.evidence.probability)
    log_odds = log_odds_of(rows.scores)[asked]
    column = np.log(np.maximum(rows.evidence.probability[asked], 1e-6)) - term.centre
    assert term.centre == pytest.approx(np.log(np.maximum(rows.evidence.probability[asked], 1e-6)).mean())

    def loss(slope: float, level: float, weight: float) -> float:
        """`level` is the change of the log-odds in the middle of the data."""
        total = log_odds + level + (slope - 1) * (log_odds - log_odds.mean()) + weight * column
        pull = INTERCEPT_PENALTY * level**2 + SLOPE_PENALTY * (slope - 1) ** 2 + WEIGHT_PENALTY * weight**2
        return float((np.logaddexp(0, total) - rows.right[asked] * total).sum() + pull / 2)

    level = fusion.fused.intercept + (fusion.fused.slope - 1) * log_odds.mean()
    least = loss(fusion.fused.slope, level, term.weight)
    for step in (-0.02, 0.02):
        assert loss(fusion.fused.slope + step, level, term.weight) > least
        assert loss(fusion.fused.slope, level + step, term.weight) > least
        assert loss(fusion.fused.slope, level, term.weight + step) > least


def test_little_data_means_little_change(made_rows) -> None:
    few, many = (fit_terms(made_rows(count), ("text",)).terms[0].weight for count in (10, 5000))
    assert 0 < few < 0.7 * many


def test_scores_that_lie_close_together_are_spread_apart_by_a_few_photos_already(made_rows) -> None:
    slopes = []
    for seed in range(20):
        rows = made_rows(200, seed=seed)
        close = 1 / (1 + np.exp(-log_odds_of(rows.scores) / 4))
        slopes.append(fit_terms(replace(rows, scores=close), ()).alone.slope)
    # two normal distributions 2 apart, both of variance 4: log-odds of being right rise by 2 / 4, here 4 times as fast
    assert np.mean(slopes) == pytest.approx(4 * 2 / 4, abs=0.2)


def test_sparse_labels_pull_harder_and_leave_rows_without_evidence_as_they_are(made_rows) -> None:
    rows, sparse = made_rows(60), made_rows(60, sparse=True)
    fusion = fit_terms(sparse, ("text",))
    assert fusion.terms[0].weight < fit_terms(rows, ("text",)).terms[0].weight
    assert SPARSE_FACTOR > 1
    assert (fusion.alone, fusion.others, fusion.fused.slope) == (Line(), Line(), 1.0)
    asked = ~np.isnan(sparse.evidence.probability)
    moved = apply(fusion, sparse)
    assert moved[~asked] == pytest.approx(sparse.scores[~asked], abs=1e-9)
    # the evidence moves the log-odds of all rows by 0 in the mean
    column = np.log(np.maximum(sparse.evidence.probability[asked], 1e-6))
    moves = fusion.fused.intercept + fusion.terms[0].weight * (column - fusion.terms[0].centre)
    assert moves.mean() == pytest.approx(0, abs=1e-9)


def test_rows_that_are_not_judged_do_not_count(made_rows) -> None:
    rows = made_rows(400)
    judged = np.arange(400) < 300
    lies = np.where(judged, rows.right, 1 - rows.right)
    partly = made_rows(400, right=lies, judged=judged)
    assert fit_terms(partly, ("text",)) == fit_terms(rows[judged], ("text",))


def test_the_fit_is_the_same_each_time_and_depends_on_the_images_not_on_their_order(made_rows) -> None:
    rows = made_rows()
    assert fitted(rows) == fitted(rows)
    shuffled = rows[np.random.default_rng(4).permutation(len(rows))]
    first, second = fitted(rows).fusion, fitted(shuffled).fusion
    assert [term.name for term in first.terms] == [term.name for term in second.terms]
    assert first.terms[0].weight == pytest.approx(second.terms[0].weight, abs=1e-6)


def test_shots_are_fitted_beside_names_and_by_themselves(made_rows) -> None:
    rows = made_rows()
    rows.evidence.support[:] = rows.evidence.probability
    rows.evidence.similarity[:] = rows.evidence.probability
    nameless = made_rows()
    nameless.evidence.support[:] = rows.evidence.probability
    nameless.evidence.similarity[:] = rows.evidence.probability
    nameless.evidence.probability[:] = math.nan
    nameless.evidence.rank[:] = math.nan
    assert fitted(nameless, "support").fusion.terms[0].name == "support"
    assert {admission.terms for admission in fitted(rows, "both").admissions} >= {("text",), ("support",)}


@pytest.mark.parametrize("better", ["support", "nearest"])
def test_of_prototype_and_nearest_shot_the_one_that_knows_more_is_taken(made_rows, better: str) -> None:
    rows, other = made_rows(), made_rows(knows=0.3, seed=2).evidence.probability
    knowing = rows.evidence.probability.copy()
    rows.evidence.support[:], rows.evidence.nearest[:] = (knowing, other) if better == "support" else (other, knowing)
    rows.evidence.similarity[:] = knowing
    rows.evidence.probability[:] = math.nan
    fit = fitted(rows, "support")
    assert fit.admissions[0].terms == (better,)
    assert fit.fusion.terms[0].name == better
    assert {"support", "nearest"} - {better} not in [{term.name} for term in fit.fusion.terms]


@pytest.mark.parametrize(("images", "sparse", "errors"), [(9, False, 0.5), (10, False, 1.5), (20, True, 1.0)])
def test_evidence_comes_in_only_where_its_gain_is_beyond_its_error(
    made_rows, images: int, sparse: bool, errors: float
) -> None:
    """So many errors for a voice that was asked for, two for what joins it, which nothing does with sparse labels."""
    needed = {True: errors, False: 2.0}
    undecided = {True: 0, False: 0}
    for seed in range(30):
        for admission in fitted(made_rows(120, images=images, knows=0.15, seed=seed, sparse=sparse)).admissions:
            voice = admission.terms == ("text",)
            assert voice or not sparse
            beyond = admission.gain > needed[voice] * admission.error
            assert beyond or not admission.admitted
            assert admission.admitted or not beyond or voice  # a voice may be refused for its sign
            undecided[voice] += 0 < admission.gain <= needed[voice] * admission.error
    assert undecided[True] > 0
    assert undecided[False] > 0 or sparse


def test_rows_without_a_crop_have_a_line_by_the_photo_where_it_speaks_for_classes(made_rows) -> None:
    rows = made_rows(knows=1.0)
    known = rows.evidence.probability
    told = replace(rows, evidence=replace(rows.evidence, photo=known, quarters=known))
    fusion = with_photo_line(fit_terms(told, ("text",)), told)
    by_photo = fit_terms(told, ("photo", "quarters"))
    assert (fusion.photo, fusion.photo_terms) == (by_photo.fused, by_photo.terms)
    without = replace(told, evidence=replace(told.evidence, probability=np.full(len(rows), np.nan)))
    assert apply(fusion, without) == pytest.approx(apply(by_photo, without))
    misled = replace(told, evidence=replace(told.evidence, photo=1 - known, quarters=1 - known))
    assert with_photo_line(fit_terms(misled, ("text",)), misled).photo_terms == ()


def test_the_smallest_budget_near_all_is_named() -> None:
    values = [(5, 5.0, 0.20), (6, 6.0, 0.296), (7, 7.0, 0.31), (None, 20.0, 0.30)]
    points = tuple(BudgetPoint(*value) for value in values)
    assert smallest_near_all(points).budget == 6
    assert smallest_near_all(points[:1]).budget == 5
