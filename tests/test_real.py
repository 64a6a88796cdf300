"""The main job on real photos and real detections, with the stand-in encoder (which is not CLIP)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Run


def before_and_after(risf: Run, real: Path, folder: Path, name: str) -> tuple[dict[str, float], dict[str, float]]:
    """The metrics of a real detections file and of the same file re-scored, all settings at their defaults."""
    detections, annotations = real / "detections" / name, real / "instances.json"
    (config,) = (real / "clip_standin").glob("*.json")
    encoder = ["--clip-config", config, "--clip-weights", real / "clip_standin" / "open_clip_model.safetensors"]
    words = ["rescore", detections, "--annotations", annotations, "--images", real / "photos", *encoder]
    done = risf(*words, "--out", folder / "after.json")
    assert done.exit_code == 0, done.output
    words = ["evaluate", detections, folder / "after.json", "--annotations", annotations, "--novel", "coco20", "--json"]
    done = risf(*words)
    assert done.exit_code == 0, done.output
    before, after = (result["metrics"] for result in json.loads(done.stdout)["results"])
    return before, after


def test_a_weak_classifier_gains_as_an_independent_script_measured(risf: Run, real_data: Path, tmp_path: Path) -> None:
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano_weak.json")
    assert [round(100 * before[name], 2) for name in ("AP", "nAP")] == [20.16, 31.18]
    assert [100 * after[name] for name in ("AP", "nAP")] == pytest.approx([26.24, 36.92], abs=0.3)


def test_a_strong_classifier_is_left_about_where_it_was(risf: Run, real_data: Path, tmp_path: Path) -> None:
    before, after = before_and_after(risf, real_data, tmp_path, "yolox_nano.json")
    assert [round(100 * before[name], 2) for name in ("AP", "nAP")] == [35.82, 44.85]
    assert [100 * after[name] for name in ("AP", "nAP")] == pytest.approx([35.69, 44.60], abs=0.3)
