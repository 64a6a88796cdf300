"""What ultralytics itself writes is read as what was put in, to the digits that each form keeps."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from ultralytics.engine.results import Results
from ultralytics.models.yolo.detect import DetectionValidator

from risf_core.formats.conventions import Conventions
from risf_core.formats.from_ultralytics import from_ultralytics
from risf_core.formats.matching import match
from risf_core.formats.registry import read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

NAMES = {0: "cat", 1: "dog", 2: "horse"}
PETS = ClassVocabulary.from_names(list(NAMES.values()))
HEIGHT, WIDTH = 480, 640
IMAGES = {5: ImageInfo(5, "a/0007.jpg", HEIGHT, WIDTH), 6: ImageInfo(6, "b/0012.jpg", HEIGHT, WIDTH)}


def boxes(seed: int, count: int = 20) -> np.ndarray:
    """x0, y0, x1, y1, score, class (N, 6)."""
    random = np.random.default_rng(seed)
    start = random.uniform(0, 300, (count, 2))
    rows = [start, start + random.uniform(1, 170, (count, 2)), random.uniform(0.01, 0.99, (count, 1))]
    return np.hstack([*rows, random.integers(0, 3, (count, 1))]).astype(np.float32)


PUT_IN = {image_id: boxes(image_id) for image_id in IMAGES}


def result(image_id: int) -> Results:
    photo = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
    return Results(photo, f"/data/{IMAGES[image_id].file_name}", NAMES, boxes=torch.from_numpy(PUT_IN[image_id]))


def assert_same(detections, *, pixels: float, scores: float) -> None:
    for image_id, expected in PUT_IN.items():
        rows = detections[detections.image_ids == image_id]
        np.testing.assert_array_equal(rows.labels, expected[:, 5])
        np.testing.assert_allclose(rows.boxes, expected[:, :4], rtol=0, atol=pixels)
        np.testing.assert_allclose(rows.scores, expected[:, 4], rtol=0, atol=scores)


def read(path: Path, name: str, **options):
    form, rows = read_rows(Source(path))
    assert form.name == name
    return match(rows, IMAGES, PETS, conventions=Conventions(**options)).detections


def test_save_txt_and_save_conf(tmp_path):
    for image_id in IMAGES:
        result(image_id).save_txt(tmp_path / "labels" / f"{Path(IMAGES[image_id].file_name).stem}.txt", save_conf=True)
    # %g keeps 6 digits of each of center and size; a corner is off by up to 1.5 times that
    assert_same(read(tmp_path / "labels", "ultralytics-txt"), pixels=1.5 * 640 * 0.5e-6 + 1e-4, scores=0.5e-6)


def test_to_json(tmp_path):
    content = {Path(IMAGES[i].file_name).name: json.loads(result(i).to_json()) for i in IMAGES}
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert_same(read(tmp_path / "r.json", "ultralytics-summary"), pixels=0.6e-5, scores=0.6e-5)


def test_normalised_summary(tmp_path):
    content = {Path(IMAGES[i].file_name).name: result(i).summary(normalize=True) for i in IMAGES}
    (tmp_path / "r.json").write_text(json.dumps(content))
    assert_same(read(tmp_path / "r.json", "ultralytics-summary"), pixels=640 * 0.6e-5, scores=0.6e-5)


def test_predictions_json_of_val(tmp_path):
    validator = DetectionValidator.__new__(DetectionValidator)  # its constructor looks for data and weights
    validator.jdict, validator.class_map = [], [1, 2, 3]
    for image_id, rows in PUT_IN.items():
        table = torch.from_numpy(rows)
        predicted = {"bboxes": table[:, :4], "conf": table[:, 4], "cls": table[:, 5]}
        validator.pred_to_json(predicted, {"im_file": f"/data/{IMAGES[image_id].file_name}"})
    (tmp_path / "predictions.json").write_text(json.dumps(validator.jdict))
    # x, y, width and height are each rounded to 3 places, so a far corner is off by up to two of these
    found = read(tmp_path / "predictions.json", "ultralytics-json", category_ids="dataset")
    assert_same(found, pixels=1.2e-3, scores=0.6e-5)


def test_results_in_memory():
    assert_same(from_ultralytics({i: result(i) for i in IMAGES}, PETS), pixels=1e-4, scores=0)
