"""The weights that come with the package: small, in their usual forms, remade by a command, and fallible."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from risf_core.demo import train_backbone, train_encoder
from risf_core.demo.dataset import make_dataset
from risf_core.demo.pictures import draw_caption, draw_pictures
from risf_core.demo.things import BASE, NOVEL, THINGS
from risf_core.demo.weights import packaged_files, share_right
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.weights import find_encoder

CONFIG, WEIGHTS, BACKBONE = packaged_files()


def test_the_encoder_is_right_on_50_to_70_percent_of_crops_of_fresh_scenes(tmp_path: Path) -> None:
    made = make_dataset(tmp_path, train_photos=1, test_photos=80, seed=424_242)
    encoder = OpenClipEncoder(find_encoder(config=CONFIG, weights=WEIGHTS))
    assert 0.5 <= share_right(encoder, made) <= 0.7
    with safe_open(WEIGHTS, framework="pt") as opened:  # what README states
        assert 0.5 <= float(opened.metadata()["right on ground-truth crops"]) <= 0.7


def test_the_files_are_small() -> None:
    assert CONFIG.stat().st_size + WEIGHTS.stat().st_size <= 8e6
    assert BACKBONE.stat().st_size <= 3e6


def test_the_encoder_is_remade_by_its_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_encoder, "_TEST_PHOTOS", 2)
    config, weights = train_encoder.train_encoder(tmp_path, scenes=3, steps=2, wrong_captions=0.3)
    assert config.read_text() == CONFIG.read_text()
    made, packaged = load_file(weights), load_file(WEIGHTS)
    assert {name: value.shape for name, value in made.items()} == {n: v.shape for n, v in packaged.items()}
    scale = made.pop("logit_scale")
    assert (scale.dtype, float(scale.exp())) == (torch.float32, pytest.approx(100, rel=1e-6))
    assert {value.dtype for value in made.values() if value.is_floating_point()} == {torch.float16}
    texts = OpenClipEncoder(find_encoder(config=config, weights=weights)).encode_texts(["a photo of apple"])
    assert np.linalg.norm(texts[0]) == pytest.approx(1, abs=1e-3)


def test_captions_name_more_things_than_the_demo_shows_and_colours_and_nothing() -> None:
    generator = np.random.default_rng(0)
    pictures = draw_pictures(40, side=16, generator=generator)
    assert pictures.pixels.shape == (len(pictures.names), 16, 16, 3)
    assert "background" in pictures.names
    assert len(set(pictures.names) - {*BASE, *NOVEL}) > 10
    red, other = (draw_caption(name, "red", generator) for name in ("apple", "mug"))
    captions = [draw_caption("apple", "red", generator) for _ in range(200)]
    assert sum("red" in caption.text for caption in captions) > 40
    for caption in captions:
        assert caption.fits(red)
        assert caption.fits(other) == ("apple" not in caption.text)


def test_the_backbone_is_remade_by_its_script_and_has_seen_no_novel_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        path = train_backbone.train_backbone(tmp_path, scenes=6, steps=1)
    assert f"6 scenes of {len(THINGS) - len(NOVEL)} things" in caplog.text
    made, packaged = read_checkpoint(path), read_checkpoint(BACKBONE)
    assert packaged.class_count is None  # a backbone alone
    assert made.architecture == packaged.architecture
    assert {name: value.shape for name, value in made.state.items()} == {
        name: value.shape for name, value in packaged.state.items()
    }
