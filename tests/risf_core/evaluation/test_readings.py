"""Detections in another convention than the annotations' are named by the reading that makes them right."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from risf_core.evaluation import evaluate_files

Row = dict[str, Any]
WIDTH, HEIGHT, IMAGES = 640, 400, 12


def truth() -> list[Row]:
    """Four boxes of four classes in each of twelve images, of three in the last image."""
    rng = np.random.default_rng(3)
    rows = []
    for image in range(IMAGES):
        for category in (1, 2, 3, 4)[: 3 if image == IMAGES - 1 else 4]:
            x, y, w, h = rng.integers([0, 0, 40, 40], [WIDTH // 2, HEIGHT // 2, WIDTH // 3, HEIGHT // 3]).tolist()
            rows.append({"image_id": image, "category_id": category, "bbox": [x, y, w, h]})
    return rows


def warnings_of(folder: Path, rows: list[Row], caplog: pytest.LogCaptureFixture) -> list[str]:
    document = {
        "images": [{"id": i, "width": WIDTH, "height": HEIGHT} for i in range(IMAGES)],
        "categories": [{"id": i, "name": name} for i, name in enumerate(["ant", "bee", "cow", "dog", "elk", "fox"])],
        "annotations": truth(),
    }
    (folder / "gt.json").write_text(json.dumps(document))
    (folder / "d.json").write_text(json.dumps(rows))
    evaluate_files([folder / "d.json"], annotations=folder / "gt.json")
    messages = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [message for message in messages if "d.json" in message]


def boxes(change: Callable[[float, float, float, float], list[float]]) -> Callable[[Row], Row]:
    return lambda row: {**row, "bbox": change(*row["bbox"])}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (boxes(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]), "as centre x, centre y"),
        (boxes(lambda x, y, w, h: [y, x, y + h, x + w]), "as y0, x0, y1, x1"),
        (boxes(lambda x, y, w, h: [1000 * x / 640, 2.5 * y, 1000 * w / 640, 2.5 * h]), "in thousandths"),
        (boxes(lambda x, y, w, h: [x * 0.65, y * 0.65, w * 0.65, h * 0.65]), "resized to 416 on its longer side"),
        (boxes(lambda x, y, w, h: [x, y * 1.6, w, h * 1.6]), "resized to 640 x 640"),
        (boxes(lambda x, y, w, h: [x, y + 120, w, h]), "resized to 640 and padded around"),
        (boxes(lambda x, y, w, h: [HEIGHT - y - h, x, h, w]), "turned a quarter to the right"),
        (lambda row: {**row, "category_id": row["category_id"] - 1}, "with category ids one higher"),
        (lambda row: {**row, "category_id": (row["category_id"] + 1) % 4 + 1}, "in another order of the classes"),
        (lambda row: {**row, "image_id": row["image_id"] + 1}, "of the previous image"),
    ],
)
def test_the_reading_that_fits_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, change: Callable[[Row], Row], said: str
) -> None:
    rows = [{**change(row), "score": 0.9 - i / 1000} for i, row in enumerate(truth())]
    warning = warnings_of(tmp_path, [row for row in rows if row["image_id"] < IMAGES], caplog)[-1]
    assert said in warning


def test_scores_that_are_distances_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    right = [{**row, "score": 0.001 * i} for i, row in enumerate(truth())]
    wrong = [{**row, "category_id": 5, "score": 0.9 - 0.001 * i} for i, row in enumerate(truth())]
    (warning,) = warnings_of(tmp_path, right + wrong, caplog)
    assert "with the lowest scores first" in warning


def test_scores_that_are_all_the_same_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (warning,) = warnings_of(tmp_path, [{**row, "score": 1} for row in truth()], caplog)
    assert "all 47 scores are 1.0" in warning


def test_few_right_detections_that_no_reading_explains_are_no_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rng = np.random.default_rng(0)
    rows = [{**row, "category_id": int(rng.integers(0, 6)), "score": float(rng.random())} for row in truth()]
    rows += [{**row, "bbox": [x, 300, 30, 30], "score": 0.95} for row, x in zip(truth(), range(47), strict=True)]
    assert not warnings_of(tmp_path, rows + [{**row, "score": 0.96} for row in truth()[:3]], caplog)
