"""The number format on a CPU: measured for long runs, remembered, float32 unless another is a third faster."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.precision import FILE_NAME, measured_precision
from risf_core.encoder.weights import find_encoder

BOTH = ("fp32", "bf16")


@pytest.fixture
def encoder(tiny):
    return OpenClipEncoder(find_encoder(config=tiny[0], weights=tiny[1]))


@pytest.fixture
def rates(monkeypatch):
    """Crops a second that the encoder is said to make, and what it was asked."""
    asked: list[tuple[str, int]] = []
    stated = {"fp32": 10.0, "bf16": 36.0}

    def answer(self, precision, count):
        asked.append((precision, count))
        return stated[precision]

    monkeypatch.setattr(OpenClipEncoder, "crops_per_second", answer)
    return stated, asked


@pytest.mark.parametrize(("bf16", "expected"), [(36.0, "bf16"), (13.0, "bf16"), (12.9, "fp32"), (5.6, "fp32")])
def test_another_format_must_be_a_third_faster_and_the_answer_is_remembered(
    encoder, rates, tmp_path: Path, bf16, expected
) -> None:
    rates[0]["bf16"] = bf16
    measured = measured_precision(encoder, formats=BOTH, crops=1000, folder=tmp_path)
    assert (measured.chosen, measured.crops_per_second) == (expected, {"fp32": 10.0, "bf16": bf16})
    rates[1].clear()
    assert measured_precision(encoder, formats=BOTH, crops=5, folder=tmp_path) == measured
    assert rates[1] == []


def test_what_measuring_costs_is_a_small_part_of_the_run(encoder, rates, tmp_path) -> None:
    encoder.batch_size = 1000
    measured_precision(encoder, formats=BOTH, crops=10_000, folder=tmp_path)  # 1,000 s: a twentieth is 50 s, six passes
    assert rates[1] == [("fp32", 1), ("fp32", 83), ("bf16", 83)]


def test_short_runs_and_runs_without_a_cache_are_not_measured(encoder, rates, tmp_path) -> None:
    assert measured_precision(encoder, formats=BOTH, crops=199, folder=tmp_path).chosen == "fp32"
    assert measured_precision(encoder, formats=BOTH, crops=10**6, folder=None).chosen == "fp32"
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("precision", "int8", "crops", "expected"),
    [
        ("int8", 50.0, 5000, "int8"),
        ("int8", 35.0, 5000, "bf16"),
        ("fp32", 50.0, 5000, "bf16"),  # it was too far from float32
        ("int8", 50.0, 4000, "bf16"),  # 111 s of bfloat16: too short a run to try it
    ],
)
def test_int8_is_tried_in_long_runs(encoder, rates, tmp_path, precision, int8, crops, expected) -> None:
    class Quantised:
        def crops_per_second(self, precision: str, count: int) -> float:
            return int8

    Quantised.precision = precision
    measured = measured_precision(encoder, formats=BOTH, crops=crops, folder=tmp_path, int8=Quantised)
    assert measured.chosen == expected


@pytest.mark.parametrize("content", ["", "[]", '{"x": {"chosen": 3}}'])
def test_a_damaged_memory_is_measured_again(encoder, rates, tmp_path, content) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    assert measured_precision(encoder, formats=BOTH, crops=1000, folder=tmp_path).chosen == "bf16"
    assert len(json.loads((tmp_path / FILE_NAME).read_text())) == 1


def test_the_encoder_itself_is_timed_and_stays_as_it_is(encoder) -> None:
    before = {name: value.clone() for name, value in encoder._model.visual.state_dict().items()}
    assert encoder.crops_per_second("bf16", 2) > 0
    assert all((value == before[name]).all() for name, value in encoder._model.visual.state_dict().items())
