"""Deltas of boxes: by hand, there and back, and against an explosion."""

from __future__ import annotations

import math

import pytest
import torch

from risf_core.detector.box_deltas import ANCHOR_WEIGHTS, ROI_WEIGHTS, apply_deltas, deltas_between


def test_deltas_are_shifts_in_box_sizes_and_logs_of_growth() -> None:
    box = torch.tensor([[0.0, 0.0, 10.0, 20.0]])  # centre 5, 10
    target = torch.tensor([[5.0, 10.0, 25.0, 15.0]])  # centre 15, 12.5; 20 x 5
    expected = [1.0, 0.125, math.log(2), math.log(0.25)]
    assert deltas_between(box, target, weights=ANCHOR_WEIGHTS)[0].tolist() == pytest.approx(expected)
    weighted = [10.0, 1.25, 5 * math.log(2), 5 * math.log(0.25)]
    assert deltas_between(box, target, weights=ROI_WEIGHTS)[0].tolist() == pytest.approx(weighted)


@pytest.mark.parametrize("weights", [ANCHOR_WEIGHTS, ROI_WEIGHTS])
def test_applying_the_deltas_gives_the_target_back(weights) -> None:
    generator = torch.Generator().manual_seed(0)
    boxes, targets = torch.rand(2, 50, 4, generator=generator) * 100
    for table in (boxes, targets):
        table[:, 2:] += table[:, :2] + 10
    deltas = deltas_between(boxes, targets, weights=weights)
    back = apply_deltas(boxes, deltas[:, None], weights=weights)
    torch.testing.assert_close(back[:, 0], targets, rtol=1e-5, atol=1e-3)


def test_growth_is_clamped_at_a_thousand_over_sixteen() -> None:
    box = torch.tensor([[0.0, 0.0, 16.0, 16.0]])
    grown = apply_deltas(box, torch.tensor([[[0.0, 0.0, 50.0, 50.0]]]), weights=ANCHOR_WEIGHTS)[0, 0]
    assert (grown[2] - grown[0]).item() == pytest.approx(1000.0, rel=1e-5)
