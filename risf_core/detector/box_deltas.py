"""Boxes as deltas of other boxes, there and back (R-CNN's parametrisation)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

DeltaWeights = tuple[float, float, float, float]

ANCHOR_WEIGHTS: DeltaWeights = (1.0, 1.0, 1.0, 1.0)
ROI_WEIGHTS: DeltaWeights = (10.0, 10.0, 5.0, 5.0)
MAX_LOG_GROWTH = math.log(1000.0 / 16)  # dw and dh are clamped here before exp


def deltas_between(boxes: Tensor, targets: Tensor, *, weights: DeltaWeights) -> Tensor:
    """The deltas (N, 4) dx dy dw dh that turn `boxes` into `targets`, both (N, 4) corners with an area."""
    x, y, width, height = _centre_form(boxes)
    target_x, target_y, target_width, target_height = _centre_form(targets)
    wx, wy, ww, wh = weights
    return torch.stack(
        [
            wx * (target_x - x) / width,
            wy * (target_y - y) / height,
            ww * torch.log(target_width / width),
            wh * torch.log(target_height / height),
        ],
        dim=1,
    )


def apply_deltas(boxes: Tensor, deltas: Tensor, *, weights: DeltaWeights) -> Tensor:
    """The corners (N, K, 4) that K deltas a box, (N, K, 4), make of `boxes` (N, 4); at least float32."""
    deltas = deltas if deltas.dtype == torch.float64 else deltas.float()
    x, y, width, height = (side[:, None] for side in _centre_form(boxes.to(deltas.dtype)))
    wx, wy, ww, wh = weights
    new_x = deltas[..., 0] / wx * width + x
    new_y = deltas[..., 1] / wy * height + y
    half_width = 0.5 * (torch.exp((deltas[..., 2] / ww).clamp(max=MAX_LOG_GROWTH)) * width)
    half_height = 0.5 * (torch.exp((deltas[..., 3] / wh).clamp(max=MAX_LOG_GROWTH)) * height)
    return torch.stack([new_x - half_width, new_y - half_height, new_x + half_width, new_y + half_height], dim=-1)


def _centre_form(boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    return boxes[:, 0] + 0.5 * width, boxes[:, 1] + 0.5 * height, width, height
