"""The whole detector: its names, what trains, what a step returns, and that the small variant learns."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from risf_core.detector.architecture import ARCHITECTURES, architecture_named
from risf_core.detector.freezing import freeze_for_base, freeze_for_few_shot
from risf_core.detector.inputs import batch_of
from risf_core.detector.matching import RandomSampler, Target
from risf_core.detector.model import Detector, build_detector
from risf_core.detector.roi_heads import TestSettings
from risf_core.errors import ConfigError
from tests.messages import assert_names
from tests.risf_core.detector.scenes import scene

SMALL = ARCHITECTURES["small"]
LOSSES = {"loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg"}


def published_names(blocks: tuple[int, int, int, int]) -> set[str]:
    """The names of a published DeFRCN checkpoint with so many blocks in res2 to res5, written out by their rule."""
    convolutions = ["backbone.stem.conv1"]
    for stage, count in zip(("backbone.res2", "backbone.res3", "backbone.res4", "roi_heads.res5"), blocks, strict=True):
        convolutions += [f"{stage}.{i}.conv{n}" for i in range(count) for n in (1, 2, 3)] + [f"{stage}.0.shortcut"]
    norm = ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var")
    names = {f"{convolution}.{part}" for convolution in convolutions for part in ("weight", *norm)}
    for layer in (
        "proposal_generator.rpn_head.conv",
        "proposal_generator.rpn_head.objectness_logits",
        "proposal_generator.rpn_head.anchor_deltas",
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
        "affine_rpn",
        "affine_rcnn",
    ):
        names |= {f"{layer}.weight", f"{layer}.bias"}
    return names


@pytest.mark.parametrize(("name", "blocks"), [("r50", (3, 4, 6, 3)), ("r101", (3, 4, 23, 3)), ("small", (1, 1, 1, 1))])
def test_parameters_have_the_names_of_published_checkpoints(name: str, blocks) -> None:
    with torch.device("meta"):
        model = build_detector(ARCHITECTURES[name], class_count=60)
    assert set(model.state_dict()) == published_names(blocks)


def test_the_published_architectures_have_the_published_shapes() -> None:
    with torch.device("meta"):
        shapes = {
            k: tuple(v.shape) for k, v in build_detector(ARCHITECTURES["r101"], class_count=60).state_dict().items()
        }
    assert shapes["backbone.stem.conv1.weight"] == (64, 3, 7, 7)
    assert shapes["backbone.res2.0.shortcut.weight"] == (256, 64, 1, 1)
    assert shapes["backbone.res4.22.conv3.weight"] == (1024, 256, 1, 1)
    assert shapes["roi_heads.res5.0.conv1.weight"] == (512, 1024, 1, 1)
    assert shapes["proposal_generator.rpn_head.objectness_logits.weight"] == (15, 1024, 1, 1)
    assert shapes["proposal_generator.rpn_head.anchor_deltas.weight"] == (60, 1024, 1, 1)
    assert shapes["roi_heads.box_predictor.cls_score.weight"] == (61, 2048)
    assert shapes["roi_heads.box_predictor.bbox_pred.weight"] == (240, 2048)
    assert shapes["affine_rpn.weight"] == shapes["affine_rcnn.bias"] == (1, 1024, 1, 1)


def small(**keywords) -> Detector:
    torch.manual_seed(0)
    return build_detector(SMALL, class_count=2, **keywords)


def samplers(count: int, seed: int = 0) -> list[RandomSampler]:
    generator = torch.Generator().manual_seed(seed)
    return [RandomSampler(generator) for _ in range(count)]


def step(model: Detector, scenes, seed: int = 0) -> dict[str, torch.Tensor]:
    images, targets = zip(*scenes, strict=True)
    return model(batch_of(images, model.architecture.inputs), targets, samplers(len(images), seed))


def scenes_of(seed: int, count: int):
    random = np.random.default_rng(seed)
    return [scene(random) for _ in range(count)]


def share_right(model: Detector) -> float:
    """Of 20 unseen scenes' best boxes, as many as a scene has objects, the share with the class and an IoU over 0.5."""
    model.eval()
    right = asked = 0
    for image, target in scenes_of(1, 20):
        (detections,) = model.detect(batch_of([image], SMALL.inputs))
        best = slice(0, len(target.boxes))
        hit = box_iou(target.boxes, detections.boxes[best]) > 0.5
        hit &= target.labels[:, None] == detections.labels[best]
        right, asked = right + int(hit.any(dim=0).sum()), asked + len(target.boxes)
    model.train()
    return right / asked


def test_the_small_variant_learns_made_scenes_from_nothing() -> None:
    model = small()
    assert freeze_for_base(model) == []
    assert share_right(model) < 0.2
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-5)
    random = np.random.default_rng(0)
    iterations = 120
    for iteration in range(iterations):
        for group in optimizer.param_groups:  # a short warm-up, a drop at the end
            group["lr"] = 0.05 * min(1, (iteration + 1) / 20) * (0.1 if iteration > 0.7 * iterations else 1)
        losses = step(model, [scene(random) for _ in range(2)], seed=iteration)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
    assert share_right(model) > 0.45


def test_with_both_scales_at_0_the_backbone_gets_no_gradient_and_all_else_does() -> None:
    model = small(rpn_gradient_scale=0.0, rcnn_gradient_scale=0.0)
    sum(step(model, scenes_of(0, 2)).values()).backward()
    for name, parameter in model.named_parameters():
        if name.startswith("backbone."):
            assert parameter.grad is None, name
        else:
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(("branch", "losses"), [("rpn", "loss_rpn"), ("rcnn", "loss_")])
def test_each_branch_has_its_own_scale(branch: str, losses: str) -> None:
    def backbone_gradient(scale: float) -> torch.Tensor:
        model = small(**{"rpn_gradient_scale": 0.0, "rcnn_gradient_scale": 0.0, f"{branch}_gradient_scale": scale})
        values = step(model, scenes_of(0, 1))
        sum(value for name, value in values.items() if name.startswith(losses)).backward()
        return model.backbone.res4[0].conv1.weight.grad

    torch.testing.assert_close(backbone_gradient(0.01) * 100, backbone_gradient(1.0), rtol=1e-4, atol=1e-6)


STAGES = {"stem": "backbone.stem.", "res2": "backbone.res2.", "res3": "backbone.res3.", "res5": "roi_heads.res5."}


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [(freeze_for_base, ("stem", "res2", "res3")), (freeze_for_few_shot, ("stem", "res2", "res3", "res5"))],
)
def test_frozen_parameters_are_listed_and_unchanged_after_a_step(freeze, frozen) -> None:
    torch.manual_seed(0)
    model = build_detector(replace(SMALL, freeze_at=3), class_count=2)
    names = freeze(model)
    prefixes = tuple(STAGES[stage] for stage in frozen)
    assert names == [name for name, _ in model.named_parameters() if name.startswith(prefixes)]
    before = copy.deepcopy(model.state_dict())
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trainable, lr=0.1, momentum=0.9, weight_decay=5e-5)
    sum(step(model, scenes_of(0, 2)).values()).backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    norms = {name for name in before if ".norm." in name}
    assert changed == set(before) - set(names) - norms


def test_a_step_without_any_true_box_trains_on_background_alone() -> None:
    model = small()
    (image, _) = scenes_of(0, 1)[0]
    empty = Target(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64))
    losses = step(model, [(image, empty)])
    assert losses.keys() == LOSSES
    assert losses["loss_rpn_loc"].item() == losses["loss_box_reg"].item() == 0.0
    assert losses["loss_rpn_cls"].item() > 0
    sum(losses.values()).backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_losses_follow_the_sampler_and_the_injected_classification_loss() -> None:
    scenes = scenes_of(0, 2)
    model = small(loss=lambda logits, targets: logits.sum() * 0 + len(targets))
    first, again, other = step(model, scenes, 1), step(model, scenes, 1), step(model, scenes, 2)
    assert first["loss_cls"].item() == 2 * SMALL.rois_per_image
    assert first == again
    assert first["loss_rpn_cls"] != other["loss_rpn_cls"]


def test_dropout_touches_the_classes_and_not_the_boxes() -> None:
    model = small(classifier_dropout=0.8)
    pooled = torch.rand(4, 256)
    logits, deltas = model.roi_heads.box_predictor(pooled)
    again, deltas_again = model.roi_heads.box_predictor(pooled)
    assert not torch.equal(logits, again)
    assert torch.equal(deltas, deltas_again)
    model.eval()
    assert torch.equal(*(model.roi_heads.box_predictor(pooled)[0] for _ in range(2)))


def test_detections_are_within_the_image_sorted_above_the_threshold_and_at_most_so_many() -> None:
    model = small(test=TestSettings(score_threshold=0.3, most=7)).eval()
    images = [image for image, _ in scenes_of(0, 2)]
    images[1] = images[1][:, :100, :90]
    for found, (height, width) in zip(
        model.detect(batch_of(images, SMALL.inputs)), [(128, 160), (100, 90)], strict=True
    ):
        assert len(found.boxes) == 7
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert found.scores.min() > 0.3
        assert found.boxes.min() >= 0
        assert (found.boxes[:, 2:] <= torch.tensor([width, height])).all()


def test_numbers_that_are_not_finite_give_no_detection_and_no_crash() -> None:
    model = small().eval()
    torch.nn.init.constant_(model.roi_heads.box_predictor.bbox_pred.bias, float("nan"))
    (image, _) = scenes_of(0, 1)[0]
    assert len(model.detect(batch_of([image], SMALL.inputs))[0].boxes) == 0
    torch.nn.init.constant_(model.proposal_generator.rpn_head.objectness_logits.bias, float("nan"))
    assert len(model.detect(batch_of([image], SMALL.inputs))[0].boxes) == 0


def test_under_autocast_the_losses_are_float32_and_near_those_without() -> None:
    model, scenes = small(), scenes_of(0, 1)
    plain = step(model, scenes)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = step(model, scenes)
    for name in LOSSES:
        assert half[name].dtype == torch.float32
    assert half["loss_cls"].item() == pytest.approx(plain["loss_cls"].item(), rel=0.05)
    assert half["loss_rpn_cls"].item() == pytest.approx(plain["loss_rpn_cls"].item(), rel=0.05)


def test_an_unknown_architecture_offers_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        architecture_named("r110")
    assert_names(str(caught.value), "'r110'", "'r101'", "timm/NAME")
