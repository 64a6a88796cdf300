"""RoIAlign against a plain loop, on one core and on several."""

from __future__ import annotations

import math

import pytest
import torch

from risf_core.detector.roi_align import align_rois


def plain_align(feature: torch.Tensor, box: list[float], side: int, stride: int) -> list[list[float]]:
    """One channel (H, W) in one box, sample by sample (Mask R-CNN's RoIAlign with half-pixel centres)."""
    height, width = feature.shape
    x0, y0, x1, y1 = (edge / stride - 0.5 for edge in box)
    bin_height, bin_width = (y1 - y0) / side, (x1 - x0) / side
    rows, columns = math.ceil(bin_height), math.ceil(bin_width)

    def value(y: float, x: float) -> float:
        if y < -1 or y > height or x < -1 or x > width:
            return 0.0
        y, x = min(max(y, 0.0), height - 1.0), min(max(x, 0.0), width - 1.0)
        top, left = int(y), int(x)
        bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
        dy, dx = y - top, x - left
        upper = feature[top, left] * (1 - dx) + feature[top, right] * dx
        lower = feature[bottom, left] * (1 - dx) + feature[bottom, right] * dx
        return float(upper * (1 - dy) + lower * dy)

    return [
        [
            sum(
                value(y0 + (i + (r + 0.5) / rows) * bin_height, x0 + (j + (c + 0.5) / columns) * bin_width)
                for r in range(rows)
                for c in range(columns)
            )
            / (rows * columns)
            for j in range(side)
        ]
        for i in range(side)
    ]


def made(count: int) -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(2, 3, 9, 11, generator=generator)
    corners = torch.rand(2, count, 2, 2, generator=generator).sort(dim=2).values.flatten(2)  # (2, count, 4) x0 y0 x1 y1
    return features, list(corners * torch.tensor([176.0, 144.0, 176.0, 144.0]) + torch.tensor([0.0, 0.0, 9.0, 9.0]))


@pytest.mark.parametrize("threads", [1, 3])
def test_bins_are_means_of_bilinear_samples(threads: int) -> None:
    features, boxes = made(10)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        pooled = align_rois(features, boxes, side=3, stride=16)
    finally:
        torch.set_num_threads(before)
    assert pooled.shape == (20, 3, 3, 3)
    for row in (0, 7, 13, 19):
        image, number = divmod(row, 10)
        expected = plain_align(features[image, 1], boxes[image][number].tolist(), 3, 16)
        torch.testing.assert_close(pooled[row, 1], torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_several_cores_give_the_bits_of_one_and_gradients_flow() -> None:
    features, boxes = made(40)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = align_rois(features, boxes, side=7, stride=16)
        torch.set_num_threads(4)
        assert torch.equal(align_rois(features, boxes, side=7, stride=16), alone)
        features.requires_grad_()
        align_rois(features, boxes, side=7, stride=16).sum().backward()
    finally:
        torch.set_num_threads(before)
    assert features.grad.sum().item() > 0


def test_images_without_boxes_give_no_row() -> None:
    features, boxes = made(2)
    pooled = align_rois(features, [boxes[0][:0], boxes[1]], side=3, stride=16)
    assert torch.equal(pooled, align_rois(features, boxes, side=3, stride=16)[2:])
    assert align_rois(features, [boxes[0][:0], boxes[1][:0]], side=3, stride=16).shape == (0, 3, 3, 3)
