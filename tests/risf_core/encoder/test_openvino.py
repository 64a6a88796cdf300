"""The encoder in OpenVINO, in an environment that has it (`make test-openvino`): close to torch, kept, keyed apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from risf_core.encoder import EncoderChoice
from risf_core.encoder import openvino as module
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.weights import find_encoder
from risf_core.errors import ConfigError, EncoderError
from risf_core.photos import Photo

installed = pytest.mark.skipif(not module.is_installed(), reason="openvino and nncf are not installed")


@pytest.fixture
def jobs(photos: list[Path]) -> list[ImageCrops]:
    rng = np.random.default_rng(1)
    return [
        ImageCrops(Photo(path), np.concatenate([rng.uniform(0, 10, (9, 2)), rng.uniform(20, 40, (9, 2))], axis=1))
        for path in photos
    ]


@pytest.fixture
def choice(tiny) -> EncoderChoice:
    return EncoderChoice(clip_config=tiny[0], clip_weights=tiny[1], batch_size=16, backend="openvino")


@pytest.fixture
def by_torch(tiny, jobs) -> np.ndarray:
    source = find_encoder(config=tiny[0], weights=tiny[1])
    return np.concatenate(list(OpenClipEncoder(source, batch_size=16).encode_crops(iter(jobs))))


def encoded(encoder: OpenClipEncoder, jobs: list[ImageCrops]) -> np.ndarray:
    return np.concatenate(list(encoder.encode_crops(iter(jobs))))


@installed
@pytest.mark.parametrize(("precision", "named", "least"), [("fp32", "fp32", 0.99999), ("auto", "int8", 0.995)])
def test_embeddings_are_close_to_those_of_torch(tiny, jobs, by_torch, precision, named, least) -> None:
    choice = EncoderChoice(
        clip_config=tiny[0], clip_weights=tiny[1], batch_size=16, precision=precision, backend="openvino"
    )
    encoder = choice.open(some_crops=lambda: jobs)
    embeddings = encoded(encoder, jobs)
    assert encoder.precision == named
    assert (embeddings * by_torch).sum(axis=1).mean() > least
    assert np.array_equal(embeddings, by_torch) is False  # it was not torch that computed
    assert np.linalg.norm(embeddings, axis=1) == pytest.approx(1, abs=1e-5)


@installed
def test_the_model_is_kept_and_gives_the_same_bytes_without_calibrating_again(choice, jobs, tmp_path) -> None:
    first = choice.open(cache=tmp_path, some_crops=lambda: jobs)
    expected = encoded(first, jobs)
    again = choice.open(cache=tmp_path, some_crops=lambda: pytest.fail("calibrated again"))
    assert again.key == first.key
    assert np.array_equal(encoded(again, jobs), expected)


@installed
def test_keys_tell_backends_precisions_and_calibrations_apart(tiny, choice, jobs) -> None:
    files = {"clip_config": tiny[0], "clip_weights": tiny[1], "batch_size": 16}
    keys = [
        choice.open(some_crops=lambda: jobs).key,
        choice.open(some_crops=lambda: jobs[1:]).key,
        EncoderChoice(**files, precision="fp32", backend="openvino").open().key,
        EncoderChoice(**files, precision="fp32", backend="torch").open().key,
    ]
    assert len(set(keys)) == 4
    assert [json.loads(key)["precision"] for key in keys] == ["int8", "int8", "fp32", "fp32"]


@installed
def test_a_model_that_int8_changes_too_much_stays_in_float32_and_says_so(choice, jobs, monkeypatch, by_torch):
    monkeypatch.setattr(module, "LEAST_COSINE", 1.1)
    said: list[str] = []
    monkeypatch.setattr(module._log, "warning", lambda text, *values: said.append(text % values))
    encoder = choice.open(some_crops=lambda: jobs)
    (line,) = said
    assert "tiny-clip: int8 changes its embeddings (cosine to float32's " in line
    assert encoder.precision == "fp32"
    assert (encoded(encoder, jobs) * by_torch).sum(axis=1).min() > 0.99999


@installed
def test_nothing_is_reported_to_anybody_and_nothing_is_printed(choice, jobs, capsys) -> None:
    import sys

    choice.open(some_crops=lambda: jobs)
    assert sys.modules["openvino_telemetry"] is None
    assert capsys.readouterr().out == ""


def test_without_the_packages_the_extra_is_named(choice, monkeypatch) -> None:
    monkeypatch.setattr(module, "is_installed", lambda: False)
    with pytest.raises(EncoderError) as raised:
        choice.open()
    assert "backend=openvino" in str(raised.value)
    assert "risf[openvino]" in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"precision": "bf16"}, "precision=bf16"),
        ({"device": "cuda"}, "device=cuda"),
        ({"compat": "released"}, "compat"),
    ],
)
def test_what_openvino_cannot_do_is_refused_before_torch_is_loaded(tiny, changes, value) -> None:
    choice = EncoderChoice(clip_config=tiny[0], clip_weights=tiny[1], backend="openvino", **changes)
    with pytest.raises(ConfigError) as raised:
        choice.check()
    assert value in str(raised.value)
