"""What the detector asks of a backbone, whichever architecture provides it."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class Backbone(nn.Module, ABC):
    """A stem and three stages: pixels (B, 3, H, W) to features (B, C, H/16, W/16), sizes rounded up."""

    @property
    @abstractmethod
    def first_stages(self) -> tuple[nn.Module, ...]:
        """The stem and the three stages in their order, for freezing."""


class Stage(nn.Sequential):
    """Blocks one after another; with `recomputed` each keeps its input alone and runs again in the backward pass."""

    recomputed = False  # less memory for a third more time

    def forward(self, x: Tensor) -> Tensor:
        for block in self:
            x = checkpoint(block, x, use_reentrant=False) if self.recomputed and torch.is_grad_enabled() else block(x)
        return x


def recompute_activations(model: nn.Module) -> None:
    """Let every block of a detector run again in the backward pass instead of keeping its activations."""
    for module in model.modules():
        if isinstance(module, Stage):
            module.recomputed = True
