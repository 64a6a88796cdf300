"""Anchors, counted out by hand."""

from __future__ import annotations

import pytest

from risf_core.detector.anchors import anchor_boxes


def test_anchors_stand_on_each_feature_with_sizes_outside_and_ratios_inside() -> None:
    boxes = anchor_boxes((2, 3), stride=16, sizes=(32, 64), ratios=(0.5, 1.0, 2.0))
    assert boxes.shape == (2 * 3 * 2 * 3, 4)
    # size 32, ratio 0.5: area 1024 with height half the width: 45.2548 x 22.6274
    assert boxes[0].tolist() == pytest.approx([-22.6274, -11.3137, 22.6274, 11.3137], abs=1e-4)
    assert boxes[1].tolist() == [-16, -16, 16, 16]
    assert boxes[2].tolist() == pytest.approx([-11.3137, -22.6274, 11.3137, 22.6274], abs=1e-4)
    assert boxes[4].tolist() == [-32, -32, 32, 32]
    assert boxes[6 + 1].tolist() == [0, -16, 32, 16]  # one feature to the right
    assert boxes[3 * 6 + 1].tolist() == [-16, 0, 16, 32]  # one row down


def test_an_anchor_keeps_its_area_at_every_ratio() -> None:
    boxes = anchor_boxes((1, 1), stride=16, sizes=(32, 512), ratios=(0.5, 1.0, 2.0))
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    assert areas.tolist() == pytest.approx([32.0**2] * 3 + [512.0**2] * 3, rel=1e-5)
