"""The region proposal network: where something may be, whatever it is."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import clip_boxes_to_image, nms

from risf_core.detector.anchors import anchor_boxes
from risf_core.detector.architecture import Architecture
from risf_core.detector.box_deltas import ANCHOR_WEIGHTS, apply_deltas, deltas_between
from risf_core.detector.matching import BACKGROUND, FOREGROUND, Sampler, Target, match_boxes

ImageSizes = Sequence[tuple[int, int]]  # (height, width) of each image of a batch, without its padding


class RegionProposalNetwork(nn.Module):
    """Features to proposals, and in training to its two losses."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.rpn_head = RpnHead(architecture.feature_channels, architecture.anchors_per_cell)

    def forward(self, features: Tensor, sizes: ImageSizes) -> list[Tensor]:
        """The proposals of each image, best first, each (P, 4) corners inside the image."""
        logits, deltas = self.rpn_head(features)
        return self._proposals(self._anchors(features), logits, deltas, sizes)

    def train_step(
        self, features: Tensor, sizes: ImageSizes, targets: Sequence[Target], samplers: Sequence[Sampler]
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """The proposals of each image, detached, and `loss_rpn_cls` and `loss_rpn_loc`."""
        logits, deltas = self.rpn_head(features)
        anchors = self._anchors(features)
        losses = self._losses(anchors, logits, deltas, targets, samplers)
        return self._proposals(anchors, logits.detach(), deltas.detach(), sizes), losses

    def _anchors(self, features: Tensor) -> Tensor:
        architecture = self.architecture
        return anchor_boxes(
            (features.shape[2], features.shape[3]),
            stride=architecture.stride,
            sizes=architecture.anchor_sizes,
            ratios=architecture.anchor_ratios,
            device=features.device,
        )

    def _proposals(self, anchors: Tensor, logits: Tensor, deltas: Tensor, sizes: ImageSizes) -> list[Tensor]:
        architecture = self.architecture
        before, after = architecture.proposals_train if self.training else architecture.proposals_test
        count = min(before, len(anchors))
        best = logits.topk(count, dim=1)  # each (B, count), best first
        proposals = []
        for image, size in enumerate(sizes):
            chosen = best.indices[image]
            boxes = apply_deltas(anchors[chosen], deltas[image][chosen][:, None], weights=ANCHOR_WEIGHTS)[:, 0]
            proposals.append(self._clean(boxes, best.values[image], size)[:after])
        return proposals

    def _clean(self, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
        """The boxes clipped to the image, without those that are empty, not finite or suppressed by a better one."""
        finite = torch.isfinite(boxes).all(dim=1) & torch.isfinite(scores)
        boxes = clip_boxes_to_image(boxes, size)
        kept = finite & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        boxes, scores = boxes[kept], scores[kept]
        return boxes[nms(boxes, scores, self.architecture.proposal_nms)]

    def _losses(
        self, anchors: Tensor, logits: Tensor, deltas: Tensor, targets: Sequence[Target], samplers: Sequence[Sampler]
    ) -> dict[str, Tensor]:
        architecture = self.architecture
        class_losses, box_losses = [], []
        for image, (target, sampler) in enumerate(zip(targets, samplers, strict=True)):
            low, high = architecture.anchor_iou
            matches, kinds = match_boxes(
                target.boxes, anchors, background_below=low, foreground_from=high, keep_best=True
            )
            positive, negative = sampler(
                torch.nonzero(kinds == FOREGROUND)[:, 0],
                torch.nonzero(kinds == BACKGROUND)[:, 0],
                count=architecture.anchors_per_image,
                positive_fraction=architecture.anchor_positive_fraction,
            )
            chosen = torch.cat([positive, negative])
            truth = (torch.arange(len(chosen), device=chosen.device) < len(positive)).to(logits.dtype)
            class_losses.append(
                functional.binary_cross_entropy_with_logits(logits[image, chosen], truth, reduction="sum")
            )
            wanted = deltas_between(anchors[positive], target.boxes[matches[positive]], weights=ANCHOR_WEIGHTS)
            box_losses.append(functional.l1_loss(deltas[image, positive], wanted, reduction="sum"))
        normalizer = architecture.anchors_per_image * len(targets)
        return {
            "loss_rpn_cls": torch.stack(class_losses).sum() / normalizer,
            "loss_rpn_loc": torch.stack(box_losses).sum() / normalizer,
        }


class RpnHead(nn.Module):
    """A 3x3 convolution, then for each anchor a logit of being an object and four deltas."""

    def __init__(self, channels: int, anchors: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.objectness_logits = nn.Conv2d(channels, anchors, 1)
        self.anchor_deltas = nn.Conv2d(channels, anchors * 4, 1)
        for layer in (self.conv, self.objectness_logits, self.anchor_deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, H*W*A) and deltas (B, H*W*A, 4) in the order of the anchors, in float32 at least."""
        hidden = functional.relu_(self.conv(features))
        logits = self.objectness_logits(hidden).permute(0, 2, 3, 1).flatten(1)
        deltas = self.anchor_deltas(hidden).permute(0, 2, 3, 1).reshape(len(logits), -1, 4)
        return _at_least_float32(logits), _at_least_float32(deltas)


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor if tensor.dtype == torch.float64 else tensor.float()
