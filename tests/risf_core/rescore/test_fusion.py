"""The formulas against plain loops and figures worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from risf_core.rescore.fusion import class_probabilities, fuse

RNG = np.random.default_rng(1)


def test_probabilities_equal_a_plain_loop_over_rows_and_names():
    embeddings, text = RNG.normal(size=(5, 8)), RNG.normal(size=(3, 8))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    found = class_probabilities(embeddings.astype(np.float32), text.astype(np.float32), temperature=20)
    for row, embedding in zip(found, embeddings, strict=True):
        powers = [math.exp(20 * sum(a * b for a, b in zip(embedding, name, strict=True))) for name in text]
        assert row == pytest.approx([power / sum(powers) for power in powers], abs=1e-6)


def test_probabilities_stay_finite_at_a_high_temperature():
    embeddings = np.array([[1.0, 0.0]], dtype=np.float32)
    assert class_probabilities(embeddings, np.array([[1, 0], [-1, 0]], np.float32), 1e6).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("linear", 0.7 * 0.4 + 0.3 * 0.9),
        ("geometric", math.exp(0.7 * math.log(0.4) + 0.3 * math.log(0.9))),
        ("log-odds", 1 / (1 + math.exp(-(0.7 * math.log(0.4 / 0.6) + 0.3 * math.log(0.9 / 0.1))))),
    ],
)
def test_each_rule_equals_its_formula(rule, expected):
    assert fuse(np.array([0.4]), np.array([0.9]), alpha=0.7, rule=rule)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("rule", ["linear", "geometric", "log-odds"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_every_rule_stays_in_range_and_finite_at_the_ends(rule, alpha):
    ends = np.array([0.0, 0.0, 1.0, 1.0])
    fused = fuse(ends, np.array([0.0, 1.0, 0.0, 1.0]), alpha=alpha, rule=rule)
    assert ((fused >= 0) & (fused <= 1)).all()


def test_probabilities_are_clipped_to_a_millionth_where_logarithms_are_taken():
    assert fuse(np.array([1.0]), np.array([0.0]), alpha=0.5, rule="geometric")[0] == pytest.approx(
        math.sqrt((1 - 1e-6) * 1e-6), rel=1e-12
    )


@pytest.mark.parametrize("rule", ["geometric", "log-odds"])
def test_alpha_of_one_gives_the_detector_back(rule):
    scores = np.array([0.06, 0.5, 0.93])
    assert fuse(scores, np.array([0.9, 0.1, 0.4]), alpha=1.0, rule=rule) == pytest.approx(scores, abs=1e-12)
