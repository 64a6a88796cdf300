"""benchmarks/losses.py: the same labelled objects with and without unlabelled ones beside them; runs are kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import losses
from risf_core.files import read_json


def test_shots_are_the_same_whatever_else_is_in_the_photos(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(losses, "SHOTS", 1)
    alone, among = (
        read_json(losses.few_shot_set(tmp_path / f"{share:g}", seed=3, share=share), what="shots")
        for share in (0.0, 1.0)
    )
    assert alone["images"] == among["images"]
    labels = [[row["category_id"] for row in each["annotations"]] for each in (alone, among)]
    assert labels[0] == labels[1]
    assert Counter(labels[0]) == dict.fromkeys(range(1, len(losses.CLASSES) + 1), 1)
    different = 0
    for image, free, covered in zip(alone["images"], alone["annotations"], among["annotations"], strict=True):
        assert free["image_id"] == covered["image_id"] == image["id"]
        (x, y, width, height), (left, top, across, down) = free["bbox"], covered["bbox"]
        assert x <= left  # what another thing covers is not of the box
        assert y <= top
        assert left + across <= x + width
        assert top + down <= y + height
        pixels = [np.asarray(Image.open(tmp_path / share / "photos" / image["file_name"])) for share in ("0", "1")]
        different += not np.array_equal(*pixels)
    assert different > 0.9 * len(alone["images"])


def test_finished_runs_are_not_run_again(tmp_path: Path, monkeypatch) -> None:
    done: list[losses.Run] = []

    def measured(folder, run, sizes):
        done.append(run)
        return dict.fromkeys(losses.FIGURES, run.rate)  # the larger the better, up to a rate

    monkeypatch.setattr(losses, "measured", lambda *given: {**measured(*given), "nAP": min(0.2, given[1].rate)})
    first = losses.choose(losses.Results(tmp_path, None), losses.BNRL, wanted=True)
    assert (first.rate, first.scenes) == (0.2, losses.TEST_SCENES)
    count = len(done)
    assert losses.choose(losses.Results(tmp_path, None), losses.BNRL, wanted=True) == first
    assert len(done) == count
    assert {run.scenes for run in done} == {losses.VALIDATION_SCENES}
    assert not {run.seed for run in done} & set(losses.TEST_SEEDS)
