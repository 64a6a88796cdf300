"""Rows of other classes: which are added, what they score, and boxes without classes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.detections import Detections
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import ConfigError
from risf_core.photos import Photo
from risf_core.rescore import RescoreSettings, rescore
from risf_core.rescore.crop_jobs import CropJob
from risf_core.rescore.fitted import FittedFusion, Line, Term
from risf_core.rescore.relabel import choose_labels
from risf_core.vocabulary import ClassVocabulary

CLASSES = ClassVocabulary(("red", "green", "blue"), (3, 5, 9))
LEFT, RIGHT = [0, 0, 10, 10], [10, 0, 10, 10]
OTHER = RescoreSettings(temperature=2.0, background=None, relabel=1)
HIT, MISS = math.exp(2) / (math.exp(2) + 2), 1 / (math.exp(2) + 2)  # softmax of cosines 1, 0, 0 at temperature 2


@pytest.fixture
def scene(tmp_path: Path) -> dict[int, Photo]:
    """The left half of image 1 is red, the right half green."""
    halves = np.zeros((10, 20, 3), dtype=np.uint8)
    halves[:, :10], halves[:, 10:] = (255, 0, 0), (0, 255, 0)
    Image.fromarray(halves).save(tmp_path / "1.png")
    return {1: Photo(tmp_path / "1.png", (10, 20))}


def table(*rows: tuple) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True)
    return Detections.from_rows([1] * len(rows), boxes, scores, labels)


def asked(detections: Detections, scene, colours, settings: RescoreSettings = OTHER, fitted=None):
    return rescore(
        detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings, fitted=fitted
    ).detections


def test_the_best_other_class_is_a_row_behind_the_detectors(scene, colours) -> None:
    after = asked(table((LEFT, 0.5, 2), (RIGHT, 0.9, 1)), scene, colours)
    assert after.labels.tolist() == [2, 1, 0, 0]  # red on the left; on the right red and blue are alike
    assert after.boxes_xywh.tolist() == [LEFT, RIGHT, LEFT, RIGHT]
    # the detector says nothing for what it did not name
    expected = [0.7 * 0.5 + 0.3 * MISS, 0.7 * 0.9 + 0.3 * HIT, 0.3 * HIT, 0.3 * MISS]
    assert after.scores == pytest.approx(expected, abs=1e-6)
    assert [extras.get("added_by") for extras in after.extras] == [None, None, "clip", "clip"]
    assert "score_detector" not in after.extras[2]


def test_several_rows_of_a_box_share_its_added_ones(scene, colours) -> None:
    detections = table((LEFT, 0.5, 2), (LEFT, 0.4, 0))
    assert asked(detections, scene, colours).labels.tolist() == [2, 0, 1]
    more = RescoreSettings(temperature=2.0, background=None, relabel=5)
    assert asked(detections, scene, colours, more).labels.tolist() == [2, 0, 1]


def test_an_object_gets_a_name_once() -> None:
    """Two boxes on one object and one elsewhere; the encoder is surer of the second."""
    boxes = np.array([[0, 0, 10, 10], [0, 1, 10, 11], [50, 50, 60, 60]], dtype=float)
    voice = np.array([[0.1, 0.6, 0.3], [0.05, 0.9, 0.05], [0.1, 0.8, 0.1]])
    job = CropJob(
        np.array([0, 1, 2, 3, 4, 5]), np.array([0, 1, 2, 0, 1, 2]), ImageCrops(Photo(Path()), boxes), (99, 99)
    )
    labels = np.array([0, 0, 0, -1, -1, -1])
    choose_labels(job, labels, voice, np.array([0, 1, 2]), known=3)
    assert labels.tolist() == [0, 0, 0, -1, 1, 1]


def test_boxes_without_classes_are_replaced_and_keep_their_score_as_that_of_an_object(scene, colours) -> None:
    detections = table((LEFT, 0.5, -1), (RIGHT, 0.9, -1), (LEFT, 0.01, -1))
    settings = RescoreSettings(temperature=2.0, background=None, relabel=1, class_agnostic=True)
    after = asked(detections, scene, colours, settings)
    assert after.labels.tolist() == [0, 1]
    assert after.scores == pytest.approx([0.7 * 0.5 + 0.3 * HIT, 0.7 * 0.9 + 0.3 * HIT], abs=1e-6)


def test_a_box_without_class_and_area_counts_once(scene, colours) -> None:
    detections = table((LEFT, 0.5, -1), ([50, 50, 10, 10], 0.5, -1))
    settings = RescoreSettings(temperature=2.0, background=None, relabel=1, class_agnostic=True)
    counts = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings).counts
    assert (counts.added, counts.degenerate, counts.without_support) == (1, 1, 0)


def test_boxes_without_classes_need_a_fusion_that_adds_rows(scene, colours) -> None:
    settings = RescoreSettings(temperature=2.0, background=None, relabel=1, class_agnostic=True)
    fitted = FittedFusion(Line(), Line(), Line(), (Term("text", 1.0, 0.0),))
    with pytest.raises(ConfigError, match="`class_agnostic` needs rows that `relabel` adds"):
        asked(table((LEFT, 0.5, -1)), scene, colours, settings, fitted)


def test_a_fusion_counts_an_added_row_by_its_term_and_without_one_adds_nothing(scene, colours) -> None:
    detections = table((LEFT, 0.5, 2))
    terms = (Term("text", 1.0, 0.0), Term("added", -2.0, 0.0))
    after = asked(detections, scene, colours, fitted=FittedFusion(Line(), Line(), Line(), terms))
    # the odds of a score of 0.5 are 1; log(HIT) - 2 is left of the others
    assert after.scores[1] == pytest.approx(1 / (1 + math.exp(2) / HIT), abs=1e-6)
    assert len(asked(detections, scene, colours, fitted=FittedFusion(Line(), Line(), Line(), terms[:1]))) == 1


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"relabel": -1}, "relabel=-1"),
        ({"relabel": 2, "evidence": "photo"}, "relabel=2"),
        ({"class_agnostic": True}, ""),
    ],
)
def test_what_cannot_be_is_refused(options, value) -> None:
    with pytest.raises(ConfigError) as raised:
        RescoreSettings(**options)
    assert "relabel" in str(raised.value)
    assert value in str(raised.value)
