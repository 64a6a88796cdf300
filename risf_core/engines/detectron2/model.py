"""DeFRCN as a detectron2 model: upstream's classes, built by keywords from one of our detectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import GeneralizedRCNN
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import ResNet
from detectron2.modeling.backbone.resnet import BasicStem, BottleneckBlock
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator.rpn import StandardRPNHead
from detectron2.structures import Boxes, ImageList, Instances
from torch import nn

from risf_core.detector.architecture import Architecture, ResNetC4
from risf_core.detector.box_deltas import ANCHOR_WEIGHTS, ROI_WEIGHTS
from risf_core.detector.matching import Sampler, Target
from risf_core.detector.model import Detector, ImageBatch
from risf_core.detector.roi_heads import ImageDetections
from risf_core.engines.detectron2.decoupling import decouple
from risf_core.engines.detectron2.predictor import BnrlPredictor
from risf_core.engines.detectron2.sampling import SampledRes5Heads, SampledRPN

_FEATURE = "res4"
_NORM = "FrozenBN"


def detectron2_model(model: Detector) -> DecoupledRCNN:
    """detectron2's model of the same architecture, settings and weights, with the same parameters frozen."""
    architecture = model.architecture
    assert isinstance(architecture, ResNetC4)
    own = DecoupledRCNN(
        architecture,
        rpn_gradient_scale=model.rpn_gradient_scale,
        rcnn_gradient_scale=model.rcnn_gradient_scale,
        backbone=_backbone(architecture),
        proposal_generator=_proposal_generator(architecture),
        roi_heads=_roi_heads(model, architecture),
        pixel_mean=architecture.inputs.mean,
        pixel_std=(1.0, 1.0, 1.0),
        input_format="BGR",
    )
    own.load_state_dict(model.state_dict())
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for name, parameter in own.named_parameters():
        parameter.requires_grad_(name in trained)
    return own.train(model.training)  # type: ignore[no-any-return]


class DecoupledRCNN(GeneralizedRCNN):  # type: ignore[misc]  # detectron2 has no types
    """`GeneralizedRCNN` with DeFRCN's layers, which also answers to the calls of our `Detector`."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        rpn_gradient_scale: float,
        rcnn_gradient_scale: float,
        **parts: Any,  # Any: upstream's
    ) -> None:
        super().__init__(**parts)
        self.architecture = architecture
        self.rpn_gradient_scale = rpn_gradient_scale
        self.rcnn_gradient_scale = rcnn_gradient_scale
        decouple(self, rpn_gradient_scale=rpn_gradient_scale, rcnn_gradient_scale=rcnn_gradient_scale)

    @property
    def class_count(self) -> int:
        """How many classes it distinguishes, background not counted."""
        return self.roi_heads.num_classes  # type: ignore[no-any-return]

    def forward(
        self,
        batch: ImageBatch | list[dict[str, Any]],
        targets: Sequence[Target] | None = None,
        samplers: Sequence[Sampler] = (),
    ) -> Any:
        """The losses of a batch with its targets and samplers, as of `Detector`; or upstream's of a list of dicts."""
        if not isinstance(batch, ImageBatch):
            return super().forward(batch)
        assert targets is not None
        images = ImageList(batch.pixels, list(batch.sizes))
        truth = [
            Instances(size, gt_boxes=Boxes(target.boxes), gt_classes=target.labels)
            for size, target in zip(batch.sizes, targets, strict=True)
        ]
        self.proposal_generator.samplers = self.roi_heads.samplers = samplers
        try:
            features = self.backbone(images.tensor)
            proposals, losses = self.proposal_generator(images, features, truth)
            return {**losses, **self.roi_heads(images, features, proposals, truth)[1]}
        finally:  # generators can be neither copied nor pickled; the model can
            self.proposal_generator.samplers = self.roi_heads.samplers = ()

    @torch.no_grad()
    def detect(self, batch: ImageBatch) -> list[ImageDetections]:
        """What is in each image of the batch; the model must be in evaluation mode."""
        assert not self.training, "call eval() first"
        images = ImageList(batch.pixels, list(batch.sizes))
        features = self.backbone(images.tensor)
        proposals, _ = self.proposal_generator(images, features, None)
        found, _ = self.roi_heads(images, features, proposals, None)
        return [ImageDetections(each.pred_boxes.tensor, each.scores, each.pred_classes) for each in found]


def _stage(architecture: ResNetC4, number: int) -> list[nn.Module]:
    """The bottlenecks of res2 to res5."""
    doubling = 2 ** (number - 2)
    output = architecture.stage_channels * doubling
    blocks = architecture.block_counts[number - 2]
    return ResNet.make_stage(  # type: ignore[no-any-return]
        BottleneckBlock,
        blocks,
        stride_per_block=[1 if number == 2 else 2] + [1] * (blocks - 1),
        in_channels=architecture.stem_channels if number == 2 else output // 2,
        out_channels=output,
        bottleneck_channels=architecture.bottleneck_channels * doubling,
        stride_in_1x1=True,
        norm=_NORM,
    )


def _backbone(architecture: ResNetC4) -> ResNet:
    stem = BasicStem(in_channels=3, out_channels=architecture.stem_channels, norm=_NORM)
    return ResNet(stem, [_stage(architecture, number) for number in (2, 3, 4)], out_features=[_FEATURE])


def _proposal_generator(architecture: Architecture) -> SampledRPN:
    train, test = architecture.proposals_train, architecture.proposals_test
    return SampledRPN(
        in_features=[_FEATURE],
        head=StandardRPNHead(in_channels=architecture.feature_channels, num_anchors=architecture.anchors_per_cell),
        anchor_generator=DefaultAnchorGenerator(
            sizes=[list(architecture.anchor_sizes)],
            aspect_ratios=[list(architecture.anchor_ratios)],
            strides=[architecture.stride],
            offset=0.0,
        ),
        anchor_matcher=Matcher(list(architecture.anchor_iou), [0, -1, 1], allow_low_quality_matches=True),
        box2box_transform=Box2BoxTransform(weights=ANCHOR_WEIGHTS),
        batch_size_per_image=architecture.anchors_per_image,
        positive_fraction=architecture.anchor_positive_fraction,
        pre_nms_topk=(train[0], test[0]),
        post_nms_topk=(train[1], test[1]),
        nms_thresh=architecture.proposal_nms,
    )


def _roi_heads(model: Detector, architecture: ResNetC4) -> SampledRes5Heads:
    heads = model.roi_heads
    return SampledRes5Heads(
        in_features=[_FEATURE],
        pooler=ROIPooler(
            output_size=architecture.pooler_resolution,
            scales=(1 / architecture.stride,),
            sampling_ratio=0,
            pooler_type="ROIAlignV2",
        ),
        res5=_stage(architecture, 5),
        box_predictor=BnrlPredictor(
            ShapeSpec(channels=architecture.roi_channels, height=1, width=1),
            box2box_transform=Box2BoxTransform(weights=ROI_WEIGHTS),
            num_classes=model.class_count,
            test_score_thresh=heads.test.score_threshold,
            test_nms_thresh=heads.test.nms,
            test_topk_per_image=heads.test.most,
            loss=heads.classification_loss,
            classifier_dropout=heads.box_predictor.dropout.p,
        ),
        num_classes=model.class_count,
        batch_size_per_image=architecture.rois_per_image,
        positive_fraction=architecture.roi_positive_fraction,
        proposal_matcher=Matcher([architecture.roi_iou], [0, 1], allow_low_quality_matches=False),
    )
