"""Same batch, same proposals, same draws: upstream detectron2 and this package have the same losses and gradients."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch

pytest.importorskip("detectron2", reason="`make test-detectron2` runs the comparisons with detectron2")

from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.freezing import freeze_for_base, freeze_for_few_shot
from risf_core.detector.inputs import batch_of, network_pixels
from risf_core.detector.matching import Target
from risf_core.losses import classification_loss
from tests.lively import CLASSES, lively_detector, random_photo
from tests.parity.upstream import insert_decoupling, upstream_model

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # upstream's anchor generator
ROIS = 16  # an image; the published 512 only take longer

PHOTOS = [((96, 128), 3), ((112, 80), 4)]
TARGETS = [
    Target(torch.tensor([[10.0, 20, 70, 90], [40, 5, 125, 60], [90, 60, 120, 92]]), torch.tensor([3, 0, 19])),
    Target(torch.tensor([[5.0, 8, 70, 100], [40, 60, 75, 90]]), torch.tensor([7, 3])),
]


def evenly(positives, negatives, *, count, positive_fraction):
    """A sampler without chance: positions at even distances."""

    def pick(positions, wanted):
        wanted = min(wanted, len(positions))
        return positions[torch.arange(wanted) * len(positions) // max(wanted, 1)]

    chosen = pick(positives, int(count * positive_fraction))
    return chosen, pick(negatives, count - len(chosen))


def evenly_as_upstream_asks(labels, num_samples, positive_fraction, bg_label):
    positives = torch.nonzero((labels != -1) & (labels != bg_label))[:, 0]
    negatives = torch.nonzero(labels == bg_label)[:, 0]
    return evenly(positives, negatives, count=num_samples, positive_fraction=positive_fraction)


def naive_bnrl(logits, targets, *, reduction):
    """FACTS' formula as it stands, in float64, with the paper's settings; logits here are far from saturated."""
    assert reduction == "mean"
    p = torch.softmax(logits.double(), dim=1)
    weight = torch.ones(p.shape[1], dtype=torch.float64)
    weight[-1] = 0.2
    total = 0.0
    for row, label in enumerate(targets.tolist()):
        own = p[row, label]
        total = total + 0.2 * (1 - own) ** 4 * weight[label] * -own.log()
        others = torch.arange(p.shape[1]) != label
        total = total + 0.8 * (weight * p[row] * -(1 - p[row]).log())[others].sum()
    return total / len(targets)


# In float64 nothing but the formulas differs. In float32 a gradient through 23 random blocks is rounding from its third
# digit on (upstream's own differs from its float64 one by 2e-3 and more: a feature within rounding of 0 passes its ReLU
# or does not), so there the losses are what is compared closely.
GRADIENT_TOLERANCE = {torch.float64: 1e-8, torch.float32: 2e-2}  # relative


@pytest.fixture(scope="module")
def pair(request):
    architecture = replace(ARCHITECTURES[request.param], rois_per_image=ROIS)
    ours = lively_detector(architecture)
    upstream = upstream_model(request.param, rois_per_image=ROIS)
    upstream.train()
    return ours.train(), upstream


BASE, FEW_SHOT = (0.75, False), (0.01, True)  # lambda of the RoI heads, and whether res5 is frozen


@pytest.mark.parametrize(
    ("pair", "dtype", "loss", "scale", "few_shot"),
    [
        *(("r50", torch.float64, loss, *stage) for loss in ("cross-entropy", "paper") for stage in (BASE, FEW_SHOT)),
        ("r50", torch.float32, "cross-entropy", *BASE),
        ("r50", torch.float32, "paper", *FEW_SHOT),
        ("r101", torch.float64, "cross-entropy", *BASE),  # more of the same blocks
        ("r101", torch.float64, "paper", *FEW_SHOT),
    ],
    indirect=["pair"],
)
def test_losses_and_the_gradient_of_every_trainable_parameter_equal_upstreams(
    pair, loss, scale, few_shot, dtype, monkeypatch
) -> None:
    ours, upstream = (model.to(dtype) for model in pair)
    decoupled = insert_decoupling(upstream, rcnn_scale=scale)
    upstream.to(dtype)
    upstream.load_state_dict(ours.state_dict())
    ours.rcnn_gradient_scale = scale
    ours.roi_heads.classification_loss = classification_loss(loss)
    (freeze_for_few_shot if few_shot else freeze_for_base)(ours)
    upstream.roi_heads.res5.requires_grad_(not few_shot)
    for module in ("proposal_generator.rpn", "roi_heads.roi_heads"):
        monkeypatch.setattr(sys.modules[f"detectron2.modeling.{module}"], "subsample_labels", evenly_as_upstream_asks)
    if loss == "paper":
        monkeypatch.setattr(sys.modules["detectron2.modeling.roi_heads.fast_rcnn"], "cross_entropy", naive_bnrl)

    images = [network_pixels(random_photo(size, seed), size) for size, seed in PHOTOS]
    ours.zero_grad()
    losses, proposals = step_of_ours(ours, images, monkeypatch)
    upstream.zero_grad()
    monkeypatch.setattr(upstream.proposal_generator, "predict_proposals", lambda *_: injected(proposals, images))
    expected = step_of_upstream(upstream, images)
    decoupled.remove()

    assert losses.keys() == expected.keys()
    for name, value in losses.items():
        assert value == pytest.approx(expected[name], abs=1e-5), name
        assert value > 1e-3, name
    compared = []
    theirs = dict(upstream.named_parameters())
    for name, parameter in ours.named_parameters():
        assert parameter.requires_grad == theirs[name].requires_grad, name
        if parameter.requires_grad:
            difference = (parameter.grad - theirs[name].grad).norm() / theirs[name].grad.norm()
            assert difference < GRADIENT_TOLERANCE[dtype], (name, difference)
            compared.append(name)
        else:
            assert parameter.grad is None
    assert {"affine_rpn.weight", "affine_rcnn.bias", "backbone.res4.0.conv1.weight"} < set(compared)
    assert ("roi_heads.res5.0.conv1.weight" in compared) == (not few_shot)
    assert "backbone.res3.0.conv1.weight" not in compared


def step_of_ours(model, images, monkeypatch):
    """(losses, the proposals it made) of a forward and backward pass."""
    made = []
    own = model.proposal_generator._proposals

    def recorded(*given):
        made.extend(boxes.float() for boxes in own(*given))  # upstream's Boxes are float32 whatever the model is
        return [boxes.to(model.affine_rpn.weight.dtype) for boxes in made]

    monkeypatch.setattr(model.proposal_generator, "_proposals", recorded)
    batch = batch_of(images, model.architecture.inputs)
    batch = replace(batch, pixels=batch.pixels.to(model.affine_rpn.weight.dtype))
    losses = model(batch, TARGETS, [evenly, evenly])
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}, made


def injected(proposals, images):
    return [
        Instances(
            tuple(image.shape[1:]), proposal_boxes=Boxes(boxes.clone()), objectness_logits=torch.zeros(len(boxes))
        )
        for boxes, image in zip(proposals, images, strict=True)
    ]


def step_of_upstream(model, images):
    batch = [
        {
            "image": image,
            "instances": Instances(
                tuple(image.shape[1:]), gt_boxes=Boxes(target.boxes.clone()), gt_classes=target.labels
            ),
        }
        for image, target in zip(images, TARGETS, strict=True)
    ]
    with EventStorage():
        losses = model(batch)
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}


def test_training_proposals_are_upstreams() -> None:
    architecture = ARCHITECTURES["r50"]
    ours = lively_detector(architecture).train()
    upstream = upstream_model("r50").train()
    upstream.load_state_dict({k: v for k, v in ours.state_dict().items() if not k.startswith("affine")})
    features = torch.randn(1, 1024, 20, 26, generator=torch.Generator().manual_seed(0)).relu()
    sizes = [(320, 410)]
    generator = upstream.proposal_generator
    with torch.no_grad():
        logits, deltas = ours.proposal_generator.rpn_head(features)
        anchors = ours.proposal_generator._anchors(features)
        (found,) = ours.proposal_generator._proposals(anchors, logits, deltas, sizes)
        upstream_anchors = generator.anchor_generator([features])
        (expected,) = generator.predict_proposals(upstream_anchors, [logits], [deltas], sizes)
    torch.testing.assert_close(anchors, upstream_anchors[0].tensor, rtol=0, atol=1e-4)
    torch.testing.assert_close(found, expected.proposal_boxes.tensor, rtol=0, atol=1e-3)
    assert len(found) > 1000  # the 2000 after NMS, less what is suppressed; more than at test


def test_our_numbers_are_those_of_upstreams_own_config() -> None:
    from detectron2 import model_zoo

    config = model_zoo.get_config("COCO-Detection/faster_rcnn_R_101_C4_3x.yaml")
    ours = ARCHITECTURES["r101"]
    rpn, roi = config.MODEL.RPN, config.MODEL.ROI_HEADS
    anchors = config.MODEL.ANCHOR_GENERATOR
    assert [list(ours.anchor_sizes)] == anchors.SIZES
    assert [list(ours.anchor_ratios)] == anchors.ASPECT_RATIOS
    assert (list(ours.anchor_iou), ours.anchors_per_image) == (rpn.IOU_THRESHOLDS, rpn.BATCH_SIZE_PER_IMAGE)
    assert (ours.anchor_positive_fraction, ours.proposal_nms) == (rpn.POSITIVE_FRACTION, rpn.NMS_THRESH)
    assert ours.proposals_train == (rpn.PRE_NMS_TOPK_TRAIN, rpn.POST_NMS_TOPK_TRAIN)
    assert ours.proposals_test == (rpn.PRE_NMS_TOPK_TEST, rpn.POST_NMS_TOPK_TEST)
    assert (ours.rois_per_image, ours.roi_positive_fraction) == (roi.BATCH_SIZE_PER_IMAGE, roi.POSITIVE_FRACTION)
    assert [ours.roi_iou] == roi.IOU_THRESHOLDS
    assert (ours.inputs.short_side, ours.inputs.long_side) == (config.INPUT.MIN_SIZE_TEST, config.INPUT.MAX_SIZE_TEST)
    assert list(ours.inputs.mean) == [103.53, 116.28, 123.675] == config.MODEL.PIXEL_MEAN
    assert config.MODEL.PIXEL_STD == [1.0, 1.0, 1.0]
    assert CLASSES == 20
