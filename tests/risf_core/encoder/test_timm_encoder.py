"""timm's encoders: equal to timm's own transform and forward pass; what is said of names and weights."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.models import convnext, eva, generate_default_cfgs, register_model, vision_transformer

from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.timm_encoder import TimmEncoder
from risf_core.errors import EncoderError
from risf_core.photos import Photo

SHARED = {"num_classes": 10, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "interpolation": "bicubic"}
default_cfgs = generate_default_cfgs(  # where timm looks for what is known of the models registered below
    {
        "risf_tiny_dinov2.own": {**SHARED, "input_size": (3, 56, 56), "classifier": "head", "license": "cc-by-4.0"},
        "risf_tiny_dinov3": {**SHARED, "input_size": (3, 64, 64), "classifier": "head"},
        "risf_tiny_convnext": {**SHARED, "input_size": (3, 64, 64), "classifier": "head.fc"},
    }
)
TINY = ["risf_tiny_dinov2", "risf_tiny_dinov3", "risf_tiny_convnext"]


@register_model
def risf_tiny_dinov2(pretrained: bool = False, **options):
    """The form of timm's DINOv2: layer scale, register tokens, the class token as its output."""
    form = {"patch_size": 14, "embed_dim": 32, "depth": 2, "num_heads": 2, "init_values": 1e-5, "img_size": 56}
    form |= {"reg_tokens": 4, "no_embed_class": True}
    return vision_transformer._create_vision_transformer("risf_tiny_dinov2", pretrained, **form, **options)


@register_model
def risf_tiny_dinov3(pretrained: bool = False, **options):
    """The form of timm's DINOv3: rotary positions, register tokens, no bias of queries and keys."""
    form = {"patch_size": 16, "embed_dim": 32, "depth": 2, "num_heads": 2, "init_values": 1e-5, "img_size": 64}
    form |= {"qkv_bias": False, "rope_type": "dinov3", "rope_temperature": 100, "use_rot_pos_emb": True}
    form |= {"use_abs_pos_emb": False, "num_reg_tokens": 4, "use_fc_norm": False}
    return eva._create_eva("risf_tiny_dinov3", pretrained, **form, **options)


@register_model
def risf_tiny_convnext(pretrained: bool = False, **options):
    form = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}
    return convnext._create_convnext("risf_tiny_convnext", pretrained, **form, **options)


def saved(name: str, folder: Path, *, suffix: str = ".safetensors", **options) -> tuple[torch.nn.Module, Path]:
    """A model with random weights, and their file."""
    torch.manual_seed(0)
    model = timm.create_model(name, **options).eval()
    for parameter in model.parameters():  # random also where timm begins with zeros and ones
        torch.nn.init.normal_(parameter, std=0.3)
    path = folder / f"{name}{suffix}"
    state = {key: value.contiguous() for key, value in model.state_dict().items()}
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    return model, path


def whole(path: Path) -> ImageCrops:
    with Image.open(path) as photo:
        return ImageCrops(Photo(path), np.array([[0.0, 0.0, *photo.size]]))


def message_of(*arguments, **options) -> str:
    with pytest.raises(EncoderError) as caught:
        list(TimmEncoder(*arguments, **options).encode_crops([]))
    return str(caught.value)


@pytest.mark.parametrize("name", TINY)
def test_features_equal_timms_own_transform_and_forward_pass(name, photos, tmp_path):
    model, weights = saved(name, tmp_path, num_classes=0)
    # a crop is all of the object: squashed to the model's square, and no part of it cut off
    config = timm.data.resolve_model_data_config(model) | {"crop_pct": 1.0, "crop_mode": "squash"}
    transform = timm.data.create_transform(**config)
    found = list(TimmEncoder(name, weights=weights, workers=0).encode_crops(map(whole, photos[:3])))
    for path, rows in zip(photos[:3], found, strict=True):
        with Image.open(path) as photo, torch.no_grad():
            features = model(transform(photo.convert("RGB"))[None])
        assert rows == pytest.approx(torch.nn.functional.normalize(features, dim=-1).numpy(), abs=1e-5)


def test_a_classifier_in_the_file_is_left_out_in_either_form_of_file(photos, tmp_path):
    rows = [
        list(TimmEncoder("risf_tiny_convnext", weights=weights).encode_crops([whole(photos[0])]))
        for suffix in (".safetensors", ".pth")
        for _, weights in [saved("risf_tiny_convnext", tmp_path, suffix=suffix, num_classes=10)]
    ]
    assert rows[0][0].shape == (1, 32)
    assert (rows[0][0] == rows[1][0]).all()


def test_the_key_changes_with_model_weights_and_crops_and_needs_no_model(tmp_path, monkeypatch):
    monkeypatch.setattr("timm.create_model", lambda *_, **__: pytest.fail("a model was built"))
    one, other = tmp_path / "one.pth", tmp_path / "other.pth"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    keys = {
        TimmEncoder(name, weights=weights, crop=crop).key
        for name in TINY
        for weights in (one, other)
        for crop in ("squash", "pad")
    }
    assert len(keys) == 12


def test_the_licence_is_what_timm_states(tmp_path):
    weights = tmp_path / "one.pth"
    weights.write_bytes(b"1")
    assert TimmEncoder("risf_tiny_dinov2.own", weights=weights).licence == "cc-by-4.0"
    assert TimmEncoder("vit_small_patch16_dinov3", weights=weights).licence == "dinov3-license"


def test_texts_are_refused(tmp_path):
    with pytest.raises(EncoderError, match=r"timm:risf_tiny_convnext reads no texts; use it as `support_encoder`"):
        TimmEncoder("risf_tiny_convnext", weights=saved("risf_tiny_convnext", tmp_path)[1]).encode_texts(["a cat"])


def test_names_that_timm_does_not_know_are_refused_with_the_nearest():
    assert "no model 'vit_small_patch14_dino2' (did you mean 'vit_small_patch14_dinov2'" in message_of(
        "vit_small_patch14_dino2"
    )
    said = message_of("vit_small_patch14_dinov2.lvd142")
    assert "no weights tagged 'lvd142'" in said
    assert "lvd142m" in said
    assert "timm names no published weights; pass a file of your own with `support_weights`" in message_of(
        "risf_tiny_convnext"
    )


def test_weights_of_another_model_are_refused_and_named(tmp_path):
    _, weights = saved("risf_tiny_convnext", tmp_path)
    said = message_of("risf_tiny_dinov2", weights=weights)
    assert said.startswith(f"{weights}: these weights are not of the model timm:risf_tiny_dinov2")
    _, deeper = saved("risf_tiny_dinov3", tmp_path)
    state = load_file(deeper)
    save_file(state | {"blocks.2.norm1.weight": torch.ones(32)}, deeper)
    assert "they have too many: blocks.2.norm1.weight" in message_of("risf_tiny_dinov3", weights=deeper)


def test_files_that_are_no_weights_are_refused_unrun(tmp_path):
    page = tmp_path / "page.pth"
    page.write_text("<!doctype html><html>404</html>")
    assert message_of("risf_tiny_convnext", weights=page).startswith(f"{page}: is a web page")
    program = tmp_path / "program.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this form is being given up
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(program))
    assert "is a TorchScript archive, which is a program" in message_of("risf_tiny_convnext", weights=program)
    pickled = tmp_path / "pickled.pth"
    torch.save({"state_dict": {}, "run": print}, pickled)
    assert message_of("risf_tiny_convnext", weights=pickled).startswith(f"{pickled}: cannot be read as weights")
    gone = tmp_path / "gone.pth"
    assert message_of("risf_tiny_convnext", weights=gone) == f"`support_weights={gone}`: there is no such file"


def test_without_network_the_file_to_fetch_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    assert message_of("vit_small_patch14_dinov2.lvd142m") == (
        "timm:vit_small_patch14_dinov2.lvd142m: its weights are not on this machine and there is no network; fetch "
        "model.safetensors from https://huggingface.co/timm/vit_small_patch14_dinov2.lvd142m on a machine with network "
        "and pass it with `support_weights`"
    )


def test_weights_in_the_hubs_cache_are_found_without_network(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--timm--vit_small_patch14_dinov2.lvd142m" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("1")
    assert TimmEncoder("vit_small_patch14_dinov2").weights == snapshot / "model.safetensors"
