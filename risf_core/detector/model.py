"""The whole detector: its parts, put together by one function of keywords."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from risf_core.detector.architecture import Architecture
from risf_core.detector.decouple import Affine, scale_gradient
from risf_core.detector.matching import Sampler, Target
from risf_core.detector.roi_heads import ImageDetections, RoiHeads, TestSettings
from risf_core.detector.rpn import ImageSizes, RegionProposalNetwork
from risf_core.losses import ClassificationLoss, classification_loss


@dataclass(frozen=True)
class ImageBatch:
    """Images of one batch, padded to a common size with the mean colour, which is 0."""

    pixels: Tensor  # (B, 3, H, W) in the colours of `InputSettings`
    sizes: ImageSizes  # (height, width) of each image without its padding

    def to(self, device: torch.device | str) -> ImageBatch:
        """The same on another device."""
        return ImageBatch(self.pixels.to(device, non_blocking=True), self.sizes)


def build_detector(
    architecture: Architecture,
    *,
    class_count: int,
    rpn_gradient_scale: float = 0.0,  # DeFRCN's lambda of the RPN, in every stage
    rcnn_gradient_scale: float = 0.75,  # base training; few-shot 0.01 on COCO, 0.001 on VOC
    classifier_dropout: float = 0.0,  # few-shot 0.8
    loss: ClassificationLoss | None = None,  # None: plain cross-entropy, base training's
    test: TestSettings | None = None,
) -> Detector:
    """A detector with fresh weights, on the CPU, in training mode; `freezing` decides which of them train."""
    return Detector(
        architecture,
        roi_heads=RoiHeads(
            architecture,
            class_count=class_count,
            classifier_dropout=classifier_dropout,
            classification_loss=loss or classification_loss("cross-entropy"),
            test=test or TestSettings(),
        ),
        rpn_gradient_scale=rpn_gradient_scale,
        rcnn_gradient_scale=rcnn_gradient_scale,
    )


class Detector(nn.Module):
    """DeFRCN: Faster R-CNN with a gradient decoupled layer before the RPN and before the RoI heads.

    Its parameters have the names of published DeFRCN checkpoints.
    """

    def __init__(
        self,
        architecture: Architecture,
        *,
        roi_heads: RoiHeads,
        rpn_gradient_scale: float,
        rcnn_gradient_scale: float,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.rpn_gradient_scale = rpn_gradient_scale
        self.rcnn_gradient_scale = rcnn_gradient_scale
        self.backbone = architecture.build_backbone()
        self.proposal_generator = RegionProposalNetwork(architecture)
        self.roi_heads = roi_heads
        self.affine_rpn = Affine(architecture.feature_channels)
        self.affine_rcnn = Affine(architecture.feature_channels)

    @property
    def class_count(self) -> int:
        """How many classes it tells apart, background not counted."""
        return self.roi_heads.class_count

    @property
    def device(self) -> torch.device:
        """Where its parameters are."""
        return self.affine_rpn.weight.device

    def forward(self, batch: ImageBatch, targets: Sequence[Target], samplers: Sequence[Sampler]) -> dict[str, Tensor]:
        """The four losses of a training step; a sampler for each image draws the boxes it trains on."""
        features = self.backbone(batch.pixels)
        proposals, losses = self.proposal_generator.train_step(
            self.affine_rpn(scale_gradient(features, self.rpn_gradient_scale)), batch.sizes, targets, samplers
        )
        losses |= self.roi_heads.train_step(
            self.affine_rcnn(scale_gradient(features, self.rcnn_gradient_scale)), proposals, targets, samplers
        )
        return losses

    @torch.no_grad()
    def detect(self, batch: ImageBatch) -> list[ImageDetections]:
        """What is in each image of the batch; the detector must be in evaluation mode."""
        assert not self.training, "call eval() first"
        features = self.backbone(batch.pixels)
        proposals = self.proposal_generator(self.affine_rpn(features), batch.sizes)
        return self.roi_heads(self.affine_rcnn(features), proposals, batch.sizes)  # type: ignore[no-any-return]
