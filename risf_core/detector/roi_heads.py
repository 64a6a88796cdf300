"""The RoI heads: what is in each proposal, and its exact box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import batched_nms, clip_boxes_to_image

from risf_core.detector.architecture import Architecture
from risf_core.detector.box_deltas import ROI_WEIGHTS, apply_deltas, deltas_between
from risf_core.detector.matching import FOREGROUND, Sampler, Target, match_boxes
from risf_core.detector.roi_align import align_rois
from risf_core.detector.rpn import ImageSizes
from risf_core.heads import BOX_STD, CLASS_STD
from risf_core.losses import ClassificationLoss


@dataclass(frozen=True)
class TestSettings:
    """Which boxes a detector reports."""

    __test__ = False  # not a test case, whatever pytest makes of the name

    score_threshold: float = 0.05  # a reported score is above it
    nms: float = 0.5  # IoU, within a class
    most: int = 100  # boxes an image


@dataclass(frozen=True)
class ImageDetections:
    """What was found in one image, best first, in the batch's pixels."""

    boxes: Tensor  # (D, 4) corners
    scores: Tensor  # (D,)
    labels: Tensor  # (D,) int64


class RoiHeads(nn.Module):
    """Features and proposals to detections, and in training to its two losses."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        class_count: int,
        classifier_dropout: float,
        classification_loss: ClassificationLoss,
        test: TestSettings,
    ) -> None:
        super().__init__()
        self.architecture = architecture
        self.class_count = class_count
        self.classification_loss = classification_loss
        self.test = test
        self.res5 = architecture.build_roi_stage()
        self.box_predictor = BoxPredictor(
            architecture.roi_channels, class_count=class_count, dropout=classifier_dropout
        )

    def forward(self, features: Tensor, proposals: Sequence[Tensor], sizes: ImageSizes) -> list[ImageDetections]:
        """The detections of each image."""
        logits, deltas = self.box_predictor(self._pooled(features, proposals))
        scores = torch.softmax(logits, dim=1)[:, :-1]  # (R, C), background left out
        counts = [len(boxes) for boxes in proposals]
        per_image = zip(torch.split(scores, counts), torch.split(deltas, counts), proposals, sizes, strict=True)
        return [self._detections(*image) for image in per_image]

    def train_step(
        self, features: Tensor, proposals: Sequence[Tensor], targets: Sequence[Target], samplers: Sequence[Sampler]
    ) -> dict[str, Tensor]:
        """`loss_cls` and `loss_box_reg` over the RoIs that the samplers draw."""
        rois, labels, truths = zip(
            *(self._sampled(*image) for image in zip(proposals, targets, samplers, strict=True)), strict=True
        )
        logits, deltas = self.box_predictor(self._pooled(features, rois))
        boxes, truth, label = torch.cat(rois), torch.cat(truths), torch.cat(labels)
        rows = torch.nonzero(label < self.class_count)[:, 0]  # foreground
        wanted = deltas_between(boxes[rows], truth[rows], weights=ROI_WEIGHTS)
        # L1 over the foreground, divided by all RoIs: foreground weighs the same in every batch
        box_loss = functional.l1_loss(deltas[rows, label[rows]], wanted, reduction="sum") / max(len(label), 1)
        return {"loss_cls": self.classification_loss(logits, label), "loss_box_reg": box_loss}

    def _pooled(self, features: Tensor, boxes: Sequence[Tensor]) -> Tensor:
        """One vector of the RoI stage's features for each box, (R, D)."""
        pooled = align_rois(
            features if features.dtype == torch.float64 else features.float(),
            boxes,
            side=self.architecture.pooler_resolution,
            stride=self.architecture.stride,
        )  # (R, C, side, side)
        if features.is_contiguous(memory_format=torch.channels_last):
            pooled = pooled.contiguous(memory_format=torch.channels_last)
        return self.res5(pooled).mean(dim=(2, 3))  # type: ignore[no-any-return]

    def _sampled(self, proposals: Tensor, target: Target, sampler: Sampler) -> tuple[Tensor, Tensor, Tensor]:
        """The RoIs an image trains on (R, 4), their labels (R,) with background last, and their true boxes (R, 4)."""
        architecture = self.architecture
        candidates = torch.cat([proposals, target.boxes.to(proposals.dtype)])
        matches, kinds = match_boxes(
            target.boxes,
            candidates,
            background_below=architecture.roi_iou,
            foreground_from=architecture.roi_iou,
            keep_best=False,
        )
        positive, negative = sampler(
            torch.nonzero(kinds == FOREGROUND)[:, 0],
            torch.nonzero(kinds != FOREGROUND)[:, 0],
            count=architecture.rois_per_image,
            positive_fraction=architecture.roi_positive_fraction,
        )
        chosen = torch.cat([positive, negative])
        rois = candidates[chosen]
        labels = torch.full((len(chosen),), self.class_count, dtype=torch.int64, device=rois.device)
        labels[: len(positive)] = target.labels[matches[positive]]
        truth = target.boxes[matches[chosen]] if len(target.boxes) else rois
        return rois, labels, truth

    def _detections(self, scores: Tensor, deltas: Tensor, proposals: Tensor, size: tuple[int, int]) -> ImageDetections:
        boxes = apply_deltas(proposals, deltas, weights=ROI_WEIGHTS)  # (R, C, 4)
        finite = torch.isfinite(boxes).all(dim=(1, 2)) & torch.isfinite(scores).all(dim=1)
        wanted = (scores > self.test.score_threshold) & finite[:, None]  # (R, C)
        labels = torch.nonzero(wanted)[:, 1]
        boxes, scores = clip_boxes_to_image(boxes[wanted], size), scores[wanted]
        kept = batched_nms(boxes, scores, labels, self.test.nms)[: self.test.most]
        return ImageDetections(boxes[kept], scores[kept], labels[kept])


class BoxPredictor(nn.Module):
    """Two linear layers: class logits with background last, and four deltas for every class."""

    def __init__(self, width: int, *, class_count: int, dropout: float) -> None:
        super().__init__()
        self.cls_score = nn.Linear(width, class_count + 1)
        self.bbox_pred = nn.Linear(width, class_count * 4)
        self.class_count = class_count
        self.dropout = nn.Dropout(dropout)  # of the classifier's input alone
        nn.init.normal_(self.cls_score.weight, std=CLASS_STD)
        nn.init.normal_(self.bbox_pred.weight, std=BOX_STD)
        for layer in (self.cls_score, self.bbox_pred):
            nn.init.zeros_(layer.bias)

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, C+1) and deltas (R, C, 4), in float32 at least."""
        logits, deltas = self.cls_score(self.dropout(pooled)), self.bbox_pred(pooled)
        if logits.dtype != torch.float64:
            logits, deltas = logits.float(), deltas.float()
        return logits, deltas.reshape(len(deltas), self.class_count, 4)
