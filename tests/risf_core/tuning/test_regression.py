"""The regression against a plain Newton loop, and what its prior does."""

from __future__ import annotations

import numpy as np
import pytest

from risf_core.errors import ConfigError
from risf_core.tuning.regression import fit_offset_logistic


def made(count: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A design, an offset, and targets drawn from known coefficients."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(count), rng.normal(size=(count, 2))])
    offset = rng.normal(size=count)
    truth = 1 / (1 + np.exp(-(offset + design @ [0.5, -1.0, 2.0])))
    return design, offset, (rng.random(count) < truth).astype(float)


def newton(design: np.ndarray, targets: np.ndarray, offset: np.ndarray, penalties: np.ndarray) -> np.ndarray:
    """Iteratively reweighted least squares, step by step."""
    d = np.zeros(design.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-(offset + design @ d)))
        gradient = np.array([(design[:, k] * (p - targets)).sum() + penalties[k] * d[k] for k in range(len(d))])
        hessian = design.T @ np.diag(p * (1 - p)) @ design + np.diag(penalties)
        d = d - np.linalg.solve(hessian, gradient)
    return d


def test_the_coefficients_are_those_of_a_plain_newton_loop() -> None:
    design, offset, targets = made()
    penalties = np.array([1e-3, 10.0, 3.0])
    found = fit_offset_logistic(design, targets, offset=offset, penalties=penalties)
    assert found == pytest.approx(newton(design, targets, offset, penalties), abs=1e-5)


def test_soft_targets_are_those_of_repeated_rows() -> None:
    design, offset, targets = made(60)
    thrice = np.repeat(np.arange(60), 3)
    doubtful = np.column_stack([targets, 1 - targets, targets]).reshape(-1)  # two of three agree
    repeated = fit_offset_logistic(design[thrice], doubtful, offset=offset[thrice], penalties=np.full(3, 3.0))
    soft = fit_offset_logistic(design, (targets + 1) / 3, offset=offset, penalties=np.ones(3))
    assert soft == pytest.approx(repeated, abs=1e-6)


def test_much_data_overrules_the_prior_and_none_leaves_everything_as_it_is() -> None:
    design, offset, targets = made(20_000)
    found = fit_offset_logistic(design, targets, offset=offset, penalties=np.ones(3))
    assert found == pytest.approx([0.5, -1.0, 2.0], abs=0.1)
    nothing = fit_offset_logistic(design[:0], targets[:0], offset=offset[:0], penalties=np.ones(3))
    assert nothing.tolist() == [0, 0, 0]


def test_separable_data_and_scores_of_0_and_1_give_finite_coefficients() -> None:
    design = np.column_stack([np.ones(40), np.repeat([-30.0, 30.0], 20)])
    targets = np.repeat([0.0, 1.0], 20)
    found = fit_offset_logistic(design, targets, offset=np.repeat([-13.8, 13.8], 20), penalties=np.array([1e-3, 3.0]))
    assert np.isfinite(found).all()
    assert abs(found).max() < 1e-3  # the offset alone explains everything


def test_the_same_input_gives_the_same_bits() -> None:
    design, offset, targets = made()
    first, second = (fit_offset_logistic(design, targets, offset=offset, penalties=np.ones(3)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_penalty_of_0_is_refused() -> None:
    design, offset, targets = made(10)
    with pytest.raises(ConfigError) as refused:
        fit_offset_logistic(design, targets, offset=offset, penalties=np.array([1.0, 0.0, 1.0]))
    assert str(refused.value) == "the strength of the penalty must be above 0, got 0"
