"""DeFRCN's gradient decoupled layers in any of detectron2's two-stage models."""

from __future__ import annotations

from typing import Any

from detectron2.modeling import GeneralizedRCNN
from torch import nn

from risf_core.detector.decouple import Affine, scale_gradient
from risf_core.errors import ConfigError


def decouple(model: GeneralizedRCNN, *, rcnn_gradient_scale: float, rpn_gradient_scale: float = 0.0) -> None:
    """Put the layers before the model's RPN and before its RoI heads; they are the identity until they are trained.

    The model gets the parameters `affine_rpn` and `affine_rcnn`, as in published DeFRCN checkpoints: decouple it before
    weights are loaded and before the optimiser is built. Raises ConfigError where the heads take several feature maps.

    Args:
        rcnn_gradient_scale: DeFRCN's lambda of the RoI heads: 0.75 in base training, 0.01 (COCO) or 0.001 (VOC) after.
        rpn_gradient_scale: its lambda of the RPN.
    """
    for name, branch, scale in (
        ("affine_rpn", model.proposal_generator, rpn_gradient_scale),
        ("affine_rcnn", model.roi_heads, rcnn_gradient_scale),
    ):
        features = list(branch.in_features)
        if len(features) != 1:
            raise ConfigError(
                f"{type(branch).__name__} takes the features {', '.join(features)}; "
                "DeFRCN's layers are before heads of one feature map (detectron2's C4 models)"
            )
        affine = Affine(model.backbone.output_shape()[features[0]].channels).to(model.device)
        model.add_module(name, affine)
        branch.register_forward_pre_hook(_Decoupled(affine, features[0], scale))


class _Decoupled:
    """What a branch is given, its features decoupled. A class, so that a model with it can be copied and pickled."""

    def __init__(self, affine: Affine, feature: str, scale: float) -> None:
        self.affine = affine
        self.feature = feature
        self.scale = scale

    def __call__(self, branch: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:  # Any: detectron2's structures
        images, features, *others = given
        decoupled = self.affine(scale_gradient(features[self.feature], self.scale))
        return images, {**features, self.feature: decoupled}, *others
