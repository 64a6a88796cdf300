"""The gradient decoupled layer (arXiv 2108.09017): an affine forward, a scaled gradient backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Affine(nn.Module):
    """A learnable scale and shift of each channel, the identity at first; at work in training and at test."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        return features * self.weight + self.bias


def scale_gradient(features: Tensor, scale: float) -> Tensor:
    """The features themselves; the gradient that flows back through them is multiplied by `scale`.

    At 0 they are cut off: no gradient at all, not one of zeros.
    """
    if scale == 0:
        return features.detach()
    scaled: Tensor = _ScaledGradient.apply(features, scale)
    return scaled


class _ScaledGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, scale: float) -> Tensor:  # Any: autograd's context has no public type
        ctx.scale = scale
        return features.view_as(features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.scale, None
