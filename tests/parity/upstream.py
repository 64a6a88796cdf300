"""Upstream detectron2 models that the parity tests compare with."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import nn

from tests.lively import CLASSES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports pkg_resources, which says that it is going away
    from detectron2 import model_zoo
    from detectron2.modeling import build_model

# Three of different sizes, one tall, one wide: (height, width), and the seed that draws it. The seeds are such that no
# two of the best scores lie closer than rounding can move them, else their order would say nothing.
PHOTOS = {(240, 320): 140, (320, 240): 30, (288, 304): 121, (420, 130): 43, (120, 500): 4}


def upstream_model(architecture: str, **numbers: Any) -> nn.Module:
    """The model of `upstream_config`."""
    return build_model(upstream_config(architecture, **numbers))


def upstream_config(
    architecture: str,
    *,
    pooler_resolution: int = 7,
    proposals_test: tuple[int, int] = (6000, 1000),
    rois_per_image: int = 512,
) -> Any:
    """detectron2's own config of a C4 model, with DeFRCN's pooler, frozen stages and class count."""
    depth = {"r50": 50, "r101": 101}[architecture]
    # the zoo has a 3x schedule alone for R-101; the model is the same
    schedule = {"r50": "1x", "r101": "3x"}[architecture]
    config = model_zoo.get_config(f"COCO-Detection/faster_rcnn_R_{depth}_C4_{schedule}.yaml")
    config.MODEL.DEVICE = "cpu"
    config.MODEL.WEIGHTS = ""
    config.MODEL.BACKBONE.FREEZE_AT = 3
    config.MODEL.ROI_HEADS.NUM_CLASSES = CLASSES
    config.MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE = rois_per_image
    config.MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION = pooler_resolution
    config.MODEL.RPN.PRE_NMS_TOPK_TEST, config.MODEL.RPN.POST_NMS_TOPK_TEST = proposals_test
    return config


class _Decoupling:
    """The hooks of `insert_decoupling`; `remove` takes them out again."""

    def __init__(self, hooks) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def insert_decoupling(model: nn.Module, *, rpn_scale: float = 0.0, rcnn_scale: float = 1.0) -> _Decoupling:
    """DeFRCN's two layers between upstream's backbone and heads: scaled gradient, then an affine of each channel."""
    hooks = []
    for name, branch, scale in (
        ("affine_rpn", model.proposal_generator, rpn_scale),
        ("affine_rcnn", model.roi_heads, rcnn_scale),
    ):
        affine = nn.Module()
        affine.weight = nn.Parameter(torch.ones(1, 1024, 1, 1))
        affine.bias = nn.Parameter(torch.zeros(1, 1024, 1, 1))
        model.add_module(name, affine)

        def decoupled(module, arguments, affine=affine, scale=scale):
            images, features, *rest = arguments
            res4 = features["res4"].clone()
            if res4.requires_grad:
                res4.register_hook(lambda gradient: gradient * scale)
            return (images, {"res4": res4 * affine.weight + affine.bias}, *rest)

        hooks.append(branch.register_forward_pre_hook(decoupled))
    return _Decoupling(hooks)
