"""Runs that tests compare: their weights, and samplers without chance."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from risf_core.training.examples import Example


def final_weights(folder: Path) -> dict[str, Tensor]:
    """The weights that a run ended with."""
    return torch.load(folder / "model_final.pth", weights_only=True)["model"]


def assert_same_weights(first: Path, second: Path) -> None:
    """Bit for bit."""
    one, two = final_weights(first), final_weights(second)
    assert one.keys() == two.keys()
    different = [name for name in one if not torch.equal(one[name], two[name])]
    assert not different


class FirstOnes:
    """A sampler that takes the first boxes there are."""

    def __call__(
        self, positives: Tensor, negatives: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        chosen = positives[: int(count * positive_fraction)]
        return chosen, negatives[: count - len(chosen)]


def first_ones(example: Example) -> FirstOnes:
    """The sampler of every image."""
    return FirstOnes()
