"""detectron2's box predictor with RISF's classification loss."""

from __future__ import annotations

from typing import Any

import torch
from detectron2.modeling.roi_heads import FastRCNNOutputLayers
from torch import Tensor, nn

from risf_core.losses import ClassificationLoss, classification_loss


class BnrlPredictor(FastRCNNOutputLayers):  # type: ignore[misc]  # detectron2 has no types
    """`FastRCNNOutputLayers` that learns classes by another loss, with dropout on the classifier's input alone."""

    def __init__(
        self,
        *arguments: Any,  # Any: upstream's own
        loss: str | ClassificationLoss = "paper",
        classifier_dropout: float = 0.0,
        **keywords: Any,
    ) -> None:
        """As upstream's, and the loss: a preset's name (paper, released, cross-entropy) or any such function.

        Args:
            classifier_dropout: DeFRCN's few-shot stage has 0.8.
        """
        super().__init__(*arguments, **keywords)
        self.classification_loss = classification_loss(loss) if isinstance(loss, str) else loss
        self.dropout = nn.Dropout(classifier_dropout)

    @classmethod
    def replacing(
        cls,
        predictor: FastRCNNOutputLayers,
        *,
        loss: str | ClassificationLoss = "paper",
        classifier_dropout: float = 0.0,
    ) -> BnrlPredictor:
        """One that takes the place of a model's `roi_heads.box_predictor`: the same two layers and settings.

        ``model.roi_heads.box_predictor = BnrlPredictor.replacing(model.roi_heads.box_predictor)``
        """
        own = cls(
            predictor.cls_score.in_features,
            box2box_transform=predictor.box2box_transform,
            num_classes=predictor.num_classes,
            test_score_thresh=predictor.test_score_thresh,
            test_nms_thresh=predictor.test_nms_thresh,
            test_topk_per_image=predictor.test_topk_per_image,
            cls_agnostic_bbox_reg=predictor.bbox_pred.out_features != 4 * predictor.num_classes,
            smooth_l1_beta=predictor.smooth_l1_beta,
            box_reg_loss_type=predictor.box_reg_loss_type,
            loss_weight=predictor.loss_weight,
            loss=loss,
            classifier_dropout=classifier_dropout,
        )
        own.cls_score, own.bbox_pred = predictor.cls_score, predictor.bbox_pred
        return own

    def forward(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (R, C+1) and deltas (R, 4C) of pooled features (R, D), in float32 at least."""
        pooled = pooled.flatten(start_dim=1)
        logits, deltas = self.cls_score(self.dropout(pooled)), self.bbox_pred(pooled)
        return (logits, deltas) if logits.dtype == torch.float64 else (logits.float(), deltas.float())

    def losses(self, predictions: tuple[Tensor, Tensor], proposals: list[Any]) -> dict[str, Tensor]:
        """Upstream's box loss, and the classification loss over all RoIs of the batch."""
        losses: dict[str, Tensor] = super().losses(predictions, proposals)
        labels = torch.cat([each.gt_classes for each in proposals])
        weight = self.loss_weight.get("loss_cls", 1.0)
        return {**losses, "loss_cls": self.classification_loss(predictions[0], labels) * weight}
