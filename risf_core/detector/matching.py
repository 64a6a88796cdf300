"""Which box is which: matching to ground truth, and drawing the ones a step trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torchvision.ops import box_iou


@dataclass(frozen=True)
class Target:
    """The ground truth of one image, in the batch's pixels."""

    boxes: Tensor  # (G, 4) corners
    labels: Tensor  # (G,) int64

    def to(self, device: torch.device | str) -> Target:
        """The same on another device."""
        return Target(self.boxes.to(device), self.labels.to(device))


class Sampler(Protocol):
    """Draws the boxes that a step trains on; one belongs to each image, and is asked for anchors, then for RoIs."""

    def __call__(
        self, positives: Tensor, negatives: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        """At most `count` of the positions (P,) and (M,), of which at most the fraction positive."""
        ...


class RandomSampler:
    """Draws without preference, from a generator on the CPU: the same boxes on every device."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def __call__(
        self, positives: Tensor, negatives: Tensor, *, count: int, positive_fraction: float
    ) -> tuple[Tensor, Tensor]:
        positive_count = min(int(count * positive_fraction), len(positives))
        chosen = self._draw(positives, positive_count)
        return chosen, self._draw(negatives, min(count - positive_count, len(negatives)))

    def _draw(self, positions: Tensor, count: int) -> Tensor:
        order = torch.randperm(len(positions), generator=self.generator)[:count]
        return positions[order.to(positions.device)]


BACKGROUND, IGNORED, FOREGROUND = 0, -1, 1


def match_boxes(
    truth: Tensor, boxes: Tensor, *, background_below: float, foreground_from: float, keep_best: bool
) -> tuple[Tensor, Tensor]:
    """For each of `boxes` (N, 4) the position of the true box it overlaps most, (N,), and what it is, (N,).

    It is foreground, background, or ignored where its IoU is between the two bounds. With `keep_best` the boxes that
    overlap a true box most are foreground too, however little that is. Without true boxes all is background.
    (torchvision's matcher is private and refuses an image without true boxes.)
    """
    if not len(truth):
        none = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return none, none.clone()
    iou = box_iou(truth, boxes)  # (G, N)
    overlap, matches = iou.max(dim=0)
    kinds = torch.full_like(matches, IGNORED)
    kinds[overlap < background_below] = BACKGROUND
    kinds[overlap >= foreground_from] = FOREGROUND
    if keep_best:
        best = iou.max(dim=1, keepdim=True).values  # (G, 1)
        kinds[(iou == best).any(dim=0)] = FOREGROUND
    return matches, kinds
