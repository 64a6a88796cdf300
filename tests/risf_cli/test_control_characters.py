"""Names with control characters in files: whatever a command says of them, a terminal obeys none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.encoder.cache import EmbeddingCache
from tests.conftest import Run

CLASS, PHOTO = "bi\x1b[31mrd\x9b", "a\x1b]0;b\u202e.png"
OBEYED = {"\x1b", "\x9b", "\u202e"}
COMMANDS = {  # each with whether it shows the name of a class or a file
    "evaluate detections.json --annotations gt.json --per-class --errors --bootstrap 20": True,
    "evaluate detections.json --annotations gt.json --json": True,
    "rescore detections.json --annotations gt.json --images others --out again.json": True,
    "rescore detections.json --annotations gt.json --images photos --out again.json --json": True,
    "report detections.json detections.json --annotations gt.json --images photos --bootstrap 20": False,
    "tune detections.json --annotations gt.json --images photos --bootstrap 20": False,
    "tune missing.json --annotations gt.json --images photos": True,
    "prepare-splits --coco gt.json --novel all --shots 9 --out other": True,
    "check-split split": True,
    "check-split split --json": True,
    "base-train --config config.yaml --set data.split=none --images photos --weights none": True,
    "convert missing.json again.json --to coco --annotations gt.json": True,
    "config config.yaml": True,
    "config": True,
    "config broken.yaml": True,
    "cache info --cache cache": True,
    "cache info --cache cache --json": True,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, tiny: tuple[Path, Path], risf: Run) -> Path:
    """Photos, boxes, detections, a split, configs and a cache, all with such names."""
    folder = tmp_path_factory.mktemp("names")
    for name in ("photos", "others", "cache"):
        (folder / name).mkdir()
    for number in range(6):
        Image.new("RGB", (80, 60), (40 * number, 90, 9)).save(folder / "photos" / f"{number}{PHOTO}")
    Image.new("RGB", (80, 60)).save(folder / "others" / PHOTO)
    images = [{"id": i, "file_name": f"{i}{PHOTO}", "height": 60, "width": 80} for i in range(6)]
    boxes = [{"id": i, "image_id": i, "category_id": 3, "bbox": [1, 2, 10 + i, 20], "area": 200} for i in range(6)]
    truth = {"images": images, "categories": [{"id": 3, "name": CLASS}], "annotations": boxes}
    rows = [{**box, "score": 0.1 + 0.1 * i} for i, box in enumerate(boxes)]
    (folder / "gt.json").write_text(json.dumps(truth))
    (folder / "detections.json").write_text(json.dumps(rows))
    (folder / "missing.json").write_text(json.dumps([{**rows[0], "image_id": PHOTO}]))
    (folder / f"base{PHOTO}.yaml").write_text("solver: {batch: 8}")
    (folder / "config.yaml").write_text(
        json.dumps(
            {"extends": f"base{PHOTO}.yaml", "data": {"images": [PHOTO], "held_out": PHOTO, "coco": [f"no{PHOTO}"]}}
        )
    )
    (folder / "broken.yaml").write_text(json.dumps({CLASS: 1, "loss": {"preset": CLASS}}))
    (folder / "risf.yaml").write_text(f"clip_config: {tiny[0]}\nclip_weights: {tiny[1]}\nnovel: {json.dumps(CLASS)}\n")
    EmbeddingCache(folder / "cache").write([(b"0", np.ones(2, np.float32))], encoder=CLASS, kind="crop")
    split = "--novel", "all", "--shots", 1, "--seeds", 0, "--out", folder / "split"
    assert risf("prepare-splits", "--coco", folder / "gt.json", *split).exit_code == 0
    return folder


@pytest.mark.parametrize("line", COMMANDS)
def test_no_control_character_of_a_file_reaches_the_terminal(
    line: str, folder: Path, risf: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    done = risf(*line.split())
    assert not OBEYED & {*done.output}, ascii(done.output)
    assert not COMMANDS[line] or any(escaped in done.output for escaped in ("\\x1b", "\\u001b")), done.output
