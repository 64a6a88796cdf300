"""What transformers' post-processing and pipeline return is read as what the model's head said."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from transformers.models.detr.image_processing_detr import DetrImageProcessor
from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput
from transformers.pipelines.object_detection import ObjectDetectionPipeline

from risf_core.formats.from_transformers import from_transformers
from risf_core.formats.matching import match
from risf_core.formats.registry import read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
ID2LABEL = dict(enumerate(PETS.names))
HEIGHT, WIDTH = 480, 640
IMAGES = {5: ImageInfo(5, "a/0007.jpg", HEIGHT, WIDTH)}
CENTERS = torch.tensor([[0.5, 0.5, 0.25, 0.5], [0.3, 0.4, 0.11, 0.13]])  # cx, cy, width, height
LABELS, SCORES = [2, 0], [0.75, 0.5]


def results(target_sizes):
    logits = torch.full((1, 2, 4), -30.0)  # three classes and "no object"
    for query, (label, score) in enumerate(zip(LABELS, SCORES, strict=True)):
        logits[0, query, label] = 0.0
        logits[0, query, 3] = float(np.log((1 - score) / score))  # softmax: `score` for the class
    output = DetrObjectDetectionOutput(logits=logits, pred_boxes=CENTERS[None])
    return DetrImageProcessor().post_process_object_detection(output, threshold=0.1, target_sizes=target_sizes)


def expected_corners() -> np.ndarray:
    x, y, width, height = CENTERS.double().numpy().T
    corners = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=1)
    return corners * [WIDTH, HEIGHT, WIDTH, HEIGHT]


def assert_same(found, *, pixels: float) -> None:
    assert found.labels.tolist() == LABELS
    np.testing.assert_allclose(found.scores, SCORES, rtol=0, atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected_corners(), rtol=0, atol=pixels)


@pytest.mark.parametrize("target_sizes", [None, [(HEIGHT, WIDTH)]])
def test_post_process_as_json_and_in_memory(tmp_path, target_sizes):
    [result] = results(target_sizes)
    path = tmp_path / "0007.json"
    path.write_text(json.dumps({key: value.tolist() for key, value in result.items()}))
    form, rows = read_rows(Source(path))
    assert form.name == "transformers-results"
    assert_same(match(rows, IMAGES, PETS).detections, pixels=1e-3)
    sizes = {5: (HEIGHT, WIDTH)}
    assert_same(from_transformers({5: result}, PETS, id2label=ID2LABEL, sizes=sizes), pixels=1e-3)


def test_the_pipelines_rows(tmp_path):
    [result] = results([(HEIGHT, WIDTH)])
    pipeline = ObjectDetectionPipeline.__new__(ObjectDetectionPipeline)  # without a model
    rows_of_photo = [
        {"score": score.item(), "label": ID2LABEL[label.item()], "box": pipeline._get_bounding_box(box)}
        for score, label, box in zip(result["scores"], result["labels"], result["boxes"], strict=True)
    ]
    path = tmp_path / "0007.json"
    path.write_text(json.dumps(rows_of_photo))
    form, rows = read_rows(Source(path))
    assert form.name == "transformers-pipeline"
    found = match(rows, IMAGES, PETS)
    assert_same(found.detections, pixels=1.0)
    assert "whole pixels" in found.outcome
