"""Networks of timm cut in two, against timm's own features."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import timm
import torch
from torch.nn import functional

from risf_core.detector.architecture import ARCHITECTURES, architecture_named
from risf_core.detector.backbone import recompute_activations
from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.freezing import freeze_for_base, freeze_for_few_shot
from risf_core.detector.inputs import batch_of
from risf_core.detector.model import build_detector
from risf_core.detector.weights import detector_of
from risf_core.errors import ConfigError

SMALL_SWIN = ARCHITECTURES["small-swin"]
SLIM = {"embed_dim": 24, "num_heads": (1, 2, 4, 8)}
# A network of timm with fewer channels, and what runs its last stage
NETWORKS = {
    "swin_tiny_patch4_window7_224": (SLIM, lambda net, x: net.norm(net.layers[3](x.permute(0, 2, 3, 1)))),
    "swinv2_tiny_window8_256": (SLIM, lambda net, x: net.norm(net.layers[3](x.permute(0, 2, 3, 1)))),
    "convnext_tiny": ({"dims": (12, 24, 48, 96)}, lambda net, x: net.stages[3](x)),
    "resnet50": ({"layers": (2, 1, 2, 1)}, lambda net, x: net.layer4(x)),
    "efficientnet_b0": ({}, lambda net, x: net.blocks[5:](x)),
}


@pytest.fixture(params=NETWORKS)
def parts(request):
    """A backbone and a RoI stage with random weights, the same network as timm has it, and its last stage."""
    name, (options, last_stage) = request.param, NETWORKS[request.param]
    torch.manual_seed(0)
    any_size = {"strict_img_size": False} if "swin" in name else {}
    whole = timm.create_model(name, **options, **any_size).eval()
    for key, buffer in whole.named_buffers():
        if key.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape) + 0.5)
    channels = [info["num_chs"] for info in whole.feature_info][-2:]
    architecture = replace(architecture_named(f"timm/{name}"), options=options, channels=tuple(channels))
    backbone, roi_stage = architecture.build_backbone().eval(), architecture.build_roi_stage().eval()
    for part in (backbone, roi_stage):
        part.load_state_dict({key: whole.state_dict()[key] for key in part.state_dict()})  # timm's names
    features_only = timm.create_model(name, features_only=True, **options, **any_size).eval()
    state = whole.state_dict()
    flat = r"^(stem|stages|layers)_"  # as timm names the members of a sequence there
    named = {key: re.sub(flat, r"\1.", key) for key in features_only.state_dict()}
    features_only.load_state_dict({key: state[theirs] for key, theirs in named.items()})
    return backbone, roi_stage, features_only, lambda x: last_stage(whole, x)


def channels_first(features, like):
    return features if features.shape[1] == like.shape[1] else features.permute(0, 3, 1, 2)


@torch.no_grad()
def test_stages_are_timms(parts) -> None:
    backbone, roi_stage, features_only, last_stage = parts
    for height, width in ((96, 160), (112, 144), (101, 131)):  # multiples of 32, of 16, and odd ones
        pixels = torch.randn(2, 3, height, width)
        padded = functional.pad(pixels, (0, -width % 16, 0, -height % 16))
        features = backbone(pixels)
        torch.testing.assert_close(features, channels_first(features_only(padded)[-2], features), rtol=1e-5, atol=1e-5)
    pooled = torch.randn(3, features.shape[1], 14, 14)
    found = roi_stage(pooled)
    assert found.shape == (3, roi_stage.channels, 7, 7)
    torch.testing.assert_close(found, channels_first(last_stage(pooled), found), rtol=1e-5, atol=1e-5)
    assert roi_stage(pooled[:0]).mean(dim=(2, 3)).shape == (0, roi_stage.channels)


@pytest.mark.parametrize(
    ("name", "side"),
    [("swin_base_patch4_window12_384", 24), ("swinv2_tiny_window8_256", 16), ("convnext_tiny", 14)],
)
def test_rois_are_pooled_to_one_window_of_the_last_stage(name: str, side: int) -> None:
    assert architecture_named(f"timm/{name}").pooler_resolution == side


def test_colours_and_channels_are_those_of_the_weights() -> None:
    swin = architecture_named("timm/swin_large_patch4_window7_224.ms_in22k")
    assert (swin.channels, swin.pooler_resolution, swin.inputs.order) == ((768, 1536), 14, "rgb")
    image = torch.tensor([[[255]], [[0]], [[51]]], dtype=torch.uint8)  # blue, green, red
    red, green, blue = (0.2 - 0.485) / 0.229, (0 - 0.456) / 0.224, (1 - 0.406) / 0.225
    pixels = batch_of([image], swin.inputs).pixels
    torch.testing.assert_close(pixels.flatten(), torch.tensor([red, green, blue]))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/swin_tiny_patch4_window7_22", "did you mean 'swin_tiny_patch4_window7_224'"),
        ("timm/vit_base_patch16_224", "vision_transformer"),
        ("timm/resnet50.none_in22k", "no weights tagged 'none_in22k'"),
        ("timm/mobilenetv2_100", ""),
    ],
)
def test_other_networks_are_refused_in_one_line(name, said) -> None:
    if not said:
        assert architecture_named(name).channels == (96, 320)
        return
    with pytest.raises(ConfigError) as caught:
        architecture_named(name)
    assert str(caught.value).startswith(f"{name}: ")
    assert said in str(caught.value)


def test_the_first_stages_and_the_roi_stage_are_frozen() -> None:
    model = build_detector(replace(SMALL_SWIN, freeze_at=3), class_count=2)
    frozen = freeze_for_base(model)
    assert {".".join(name.split(".")[:3]) for name in frozen} == {
        "backbone.patch_embed.proj", "backbone.patch_embed.norm", "backbone.layers.0", "backbone.layers.1",
    }  # fmt: skip
    last = {name for name, _ in model.named_parameters() if name.startswith("roi_heads.res5.")}
    assert set(freeze_for_few_shot(model)) == {*frozen, *last}


def test_a_detector_of_weights_alone_has_the_tables_of_its_windows() -> None:
    torch.manual_seed(0)
    model = build_detector(SMALL_SWIN, class_count=2).eval()
    torch.nn.init.normal_(model.roi_heads.box_predictor.cls_score.weight)
    again, _ = detector_of(Checkpoint("", "defrcn", model.state_dict(), SMALL_SWIN, None))
    batch = batch_of([torch.randint(0, 255, (3, 96, 130), dtype=torch.uint8)], SMALL_SWIN.inputs)
    (found,), (found_again,) = model.detect(batch), again.eval().detect(batch)
    assert len(found.scores) > 10
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(found, name), getattr(found_again, name))


@pytest.mark.parametrize("name", ["small", "small-swin"])
def test_recomputed_activations_give_the_same_gradients(name) -> None:
    torch.manual_seed(0)
    backbone = ARCHITECTURES[name].build_backbone()
    pixels = torch.randn(1, 3, 64, 64)
    gradients = []
    for _ in range(2):
        backbone.zero_grad()
        backbone(pixels).square().sum().backward()
        gradients.append([parameter.grad.clone() for parameter in backbone.parameters()])
        recompute_activations(backbone)
    for kept, recomputed in zip(*gradients, strict=True):
        torch.testing.assert_close(recomputed, kept)
