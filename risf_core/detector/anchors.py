"""The anchor boxes of a feature map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def anchor_boxes(
    feature_size: tuple[int, int],
    *,
    stride: int,
    sizes: Sequence[float],
    ratios: Sequence[float],
    device: torch.device | str = "cpu",
) -> Tensor:
    """Anchors x0 y0 x1 y1 in pixels, (H * W * len(sizes) * len(ratios), 4), unclipped.

    Rows of features outermost, then columns, then sizes, then ratios (height over width). An anchor is centred on its
    feature's pixel (offset 0) and its sides are not rounded, as in detectron2; torchvision's generator rounds them.
    """
    cell = torch.tensor(
        [_centred(size, ratio) for size in sizes for ratio in ratios], dtype=torch.float32, device=device
    )  # (A, 4)
    height, width = feature_size
    y = torch.arange(height, dtype=torch.float32, device=device) * stride
    x = torch.arange(width, dtype=torch.float32, device=device) * stride
    rows, columns = torch.meshgrid(y, x, indexing="ij")  # (H, W)
    centres = torch.stack([columns, rows, columns, rows], dim=-1).reshape(-1, 1, 4)
    return (centres + cell).reshape(-1, 4)


def _centred(size: float, ratio: float) -> tuple[float, float, float, float]:
    width = (size**2 / ratio) ** 0.5
    height = ratio * width
    return -width / 2, -height / 2, width / 2, height / 2
