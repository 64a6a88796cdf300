"""All tags of open_clip without their weights; scale and bias; SigLIP's form; text sides of transformers."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from PIL import Image
from safetensors.torch import save_file

from risf_core.encoder import weights as weights_module
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.open_clip_model import preprocessing_of
from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.weights import find_encoder
from risf_core.errors import EncoderError
from risf_core.photos import Photo
from tests.tiny_encoder import TINY

SIGLIP = {
    "embed_dim": 16,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {
        "context_length": 20, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1, "no_causal_mask": True,
        "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
    },
}  # fmt: skip


@pytest.fixture
def weights_are_here(monkeypatch, tmp_path):
    """Every tag's weights are taken to be on this machine, and so is transformers with all its files."""
    file = tmp_path / "weights.safetensors"
    save_file({"logit_scale": torch.tensor(math.log(100.0))}, file)
    monkeypatch.setattr(weights_module, "_weights_of_tag", lambda clip, pretrained: file)
    monkeypatch.setattr(weights_module, "_check_text_side", lambda source: None)


def test_every_tag_comes_out_as_open_clip_states_it(weights_are_here) -> None:
    other_name = 0
    for name, tag in open_clip.list_pretrained():
        config, pretrained = open_clip.get_model_config(name), open_clip.get_pretrained_cfg(name, tag)
        try:
            source = find_encoder(f"{name}:{tag}")
        except EncoderError as error:  # trained with QuickGELU, which the model of another name has
            other_name += 1
            advised = str(error).rpartition("`clip=")[2].partition("`")[0]
            assert advised == f"{name}-quickgelu", (name, tag)
            assert tag in open_clip.list_pretrained_tags_by_model(advised)
            assert find_encoder(f"{advised}:{tag}").tag == tag
            continue
        known = {"mean", "std", "interpolation", "resize_mode"}
        stated = merge_preprocess_dict(PreprocessCfg(), {key: pretrained[key] for key in known & pretrained.keys()})
        ours = preprocessing_of(source, "squash")
        assert ours.side == config["vision_cfg"].get("image_size", 224), (name, tag)
        assert (ours.mean, ours.std) == (tuple(stated["mean"]), tuple(stated["std"])), (name, tag)
        assert ours.interpolation == stated["interpolation"], (name, tag)
        assert source.preprocess.get("resize_mode", "shortest") == stated["resize_mode"], (name, tag)
        text = config["text_cfg"]
        assert source.model_config["text_cfg"].get("context_length", 77) == text.get("context_length", 77)
        assert source.needs_transformers == ("hf_tokenizer_name" in text or "hf_model_name" in text), (name, tag)
    assert other_name == 27  # counted by hand: 28 tags state another activation, roberta's has no model of that name


def siglip(folder: Path) -> tuple[Path, Path]:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "tiny-sigmoid.json"
    config.write_text(json.dumps(SIGLIP))
    open_clip.add_model_config(config)
    torch.manual_seed(0)
    model = open_clip.create_model("tiny-sigmoid")
    model.logit_scale.data = torch.tensor(math.log(17.5))
    model.logit_bias.data = torch.tensor(-3.25)
    weights = folder / "tiny-sigmoid.safetensors"
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, weights)
    return config, weights


def test_scale_and_bias_are_the_weights_own_and_the_logits_open_clips(tmp_path) -> None:
    config, weights = siglip(tmp_path / "model")
    encoder = OpenClipEncoder(find_encoder(config=config, weights=weights))
    scale, bias = encoder.scale_and_bias
    assert (scale, bias) == (pytest.approx(17.5, rel=1e-5), -3.25)
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    crops = ImageCrops(Photo(tmp_path / "a.png", (32, 32)), np.array([[0.0, 0.0, 32.0, 32.0]]))
    (image,) = encoder.encode_crops([crops])
    text = encoder.encode_texts(["a photo of a cat", "a photo of a dog"])
    ours = scale * image @ text.T + bias

    model = open_clip.create_model("tiny-sigmoid", pretrained=str(weights)).eval()
    preprocessing = preprocessing_of(encoder.source, "squash")
    values = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(part)[:, None, None] for part in (preprocessing.mean, preprocessing.std))
    tokens = open_clip.get_tokenizer("tiny-sigmoid")(["a photo of a cat", "a photo of a dog"])
    with torch.no_grad():
        theirs, _ = model.get_logits(((values - mean) / std)[None], tokens)
    assert ours == pytest.approx(theirs.numpy(), abs=1e-5)


def test_weights_in_torchs_own_form_state_their_scale_too(tmp_path, tiny) -> None:
    config, weights = siglip(tmp_path)
    state = open_clip.create_model("tiny-sigmoid", pretrained=str(weights)).state_dict()
    torch.save(state, tmp_path / "tiny.pt")
    encoder = OpenClipEncoder(find_encoder(config=config, weights=tmp_path / "tiny.pt"))
    assert encoder.scale_and_bias == (pytest.approx(17.5, rel=1e-5), -3.25)
    plain = OpenClipEncoder(find_encoder(config=tiny[0], weights=tiny[1]))
    assert plain.scale_and_bias == (
        pytest.approx(1 / 0.07, rel=1e-5),
        None,
    )  # CLIP starts there


def test_a_config_of_the_model_that_is_named_beside_it_is_no_contradiction(tmp_path, tiny) -> None:
    config = tmp_path / "ViT-B-32.json"
    config.write_text(json.dumps(open_clip.get_model_config("ViT-B-32")))
    source = find_encoder("ViT-B-32:laion2b_s34b_b79k", config=config, weights=tiny[1])
    assert source.model_config == open_clip.get_model_config("ViT-B-32")


def test_without_transformers_the_error_says_how_to_install_it(monkeypatch, tiny) -> None:
    monkeypatch.setattr(weights_module, "find_spec", lambda name: None)
    with pytest.raises(EncoderError) as refused:
        find_encoder("ViT-B-16-SigLIP:webli", weights=tiny[1])
    assert "pip install 'risf[transformers]'" in str(refused.value)


def test_offline_the_error_names_the_tokenizers_files_and_where_to_put_them(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(weights_module, "find_spec", lambda name: sys)
    monkeypatch.setattr(weights_module, "in_reach", lambda address: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    weights = tmp_path / "model" / "siglip.safetensors"
    weights.parent.mkdir()
    save_file({"logit_scale": torch.zeros(())}, weights)
    with pytest.raises(EncoderError) as refused:
        find_encoder("ViT-B-16-SigLIP:webli", weights=weights)
    for part in ("tokenizer.json", "https://huggingface.co/timm/ViT-B-16-SigLIP,", str(weights.parent)):
        assert part in str(refused.value)
    (weights.parent / "tokenizer.json").write_text("{}")
    assert find_encoder("ViT-B-16-SigLIP:webli", weights=weights).tokenizer_folder == weights.parent
    assert TINY["text_cfg"].get("hf_tokenizer_name") is None  # plain CLIP needs none of this
