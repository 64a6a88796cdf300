"""Results in memory become detections and back, without the packages that made them where those are not needed."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from risf_core.detections import Detections
from risf_core.errors import DataError
from risf_core.formats.from_supervision import from_supervision
from risf_core.formats.from_torchvision import from_torchvision, to_torchvision
from risf_core.formats.from_transformers import from_transformers
from risf_core.formats.from_ultralytics import from_ultralytics
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
BOXES = [[10.0, 20.0, 30.0, 50.0], [0.0, 5.0, 8.0, 25.0]]
SCORES = [0.5, 0.25]
EXPECTED = Detections.from_rows([7, 7], [[10, 20, 20, 30], [0, 5, 8, 20]], SCORES, [2, 0])


def test_torchvision_results_go_there_and_back():
    assert from_torchvision(to_torchvision(EXPECTED, PETS), PETS) == EXPECTED
    positions = {7: {"boxes": torch.tensor(BOXES), "scores": torch.tensor(SCORES), "labels": torch.tensor([2, 0])}}
    assert from_torchvision(positions, PETS) == EXPECTED
    unknown = Detections.from_rows([7], [[1, 2, 3, 4]], [0.5], [-1])
    with pytest.raises(DataError, match="a row of an unknown category"):
        to_torchvision(unknown, PETS)


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        ({"labels": torch.tensor([2, 0])}, {"category_ids": "positions"}),
        ({"labels": torch.tensor([5, 9])}, {"id2label": {5: "horse", 9: "cat"}}),
        ({"labels": ["x", "y"], "text_labels": ["horse", "cat"]}, {}),
        ({"labels": ["horse", "cat"]}, {}),
    ],
)
def test_transformers_results_go_by_texts_names_or_numbers(labels, options):
    result = {"boxes": torch.tensor(BOXES), "scores": torch.tensor(SCORES), **labels}
    assert from_transformers({7: result}, PETS, **options) == EXPECTED


def test_relative_boxes_of_transformers_take_the_sizes():
    boxes = torch.tensor(BOXES, dtype=torch.float64) / torch.tensor([64, 128, 64, 128])
    result = {"boxes": boxes, "scores": torch.tensor(SCORES), "labels": ["horse", "cat"]}
    assert from_transformers({7: result}, PETS, sizes={7: (128, 64)}) == EXPECTED


def test_ultralytics_results_go_by_the_names_of_classes_and_the_stem_of_the_photo():
    boxes = SimpleNamespace(xyxy=torch.tensor(BOXES), conf=torch.tensor(SCORES), cls=torch.tensor([1.0, 0.0]))
    result = SimpleNamespace(boxes=boxes, names={0: "cat", 1: "horse"}, path="/data/a/0007.jpg")
    assert from_ultralytics({7: result}, PETS) == EXPECTED
    assert from_ultralytics([result], PETS).image_ids.tolist() == ["0007", "0007"]
    with pytest.raises(DataError, match="two photos are named '0007'"):
        from_ultralytics([result, result], PETS)


def supervised(**changes):
    fields = {
        "xyxy": np.array(BOXES), "confidence": np.array(SCORES), "class_id": np.array([1, 0]),
        "data": {"class_name": np.array(["horse", "cat"])},
    }  # fmt: skip
    return SimpleNamespace(**(fields | changes))


def test_supervision_goes_by_class_name_before_class_id():
    assert from_supervision({7: supervised()}, PETS) == EXPECTED
    numbered = supervised(data={}, class_id=np.array([2, 0]))
    assert from_supervision({7: numbered}, PETS) == EXPECTED
    assert from_supervision({7: supervised(class_id=np.array([3, 17]))}, PETS, category_ids="dataset") == EXPECTED


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"confidence": None}, "have no confidence"), ({"data": {}, "class_id": None}, "neither class_name nor class_id")],
)
def test_supervision_without_confidence_or_class_is_refused(changes, words):
    with pytest.raises(DataError, match=words):
        from_supervision({7: supervised(**changes)}, PETS)


def test_no_detections_are_an_empty_table():
    empty = supervised(xyxy=np.empty((0, 4)), confidence=None, class_id=None, data={})
    assert len(from_supervision({7: empty}, PETS)) == 0
    assert len(from_torchvision({}, PETS)) == 0
