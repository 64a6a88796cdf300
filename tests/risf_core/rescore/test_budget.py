"""A budget of passes per photo: which crops are asked, and what rows without a crop score."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image

from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.photos import Photo
from risf_core.rescore import RescoreSettings, rescore
from risf_core.rescore.fitted import FittedFusion, Line, Term
from risf_core.vocabulary import ClassVocabulary

CLASSES = ClassVocabulary(("red", "green", "blue"), (3, 5, 9))
BOXES = [[0, 0, 10, 10], [1, 0, 9, 10], [2, 0, 8, 10]]
HIT = math.exp(2) / (math.exp(2) + 2)  # softmax of cosines 1, 0, 0 at temperature 2


@pytest.fixture
def scene(tmp_path: Path) -> dict[int, Photo]:
    """Image 1 is all red."""
    Image.new("RGB", (10, 10), (255, 0, 0)).save(tmp_path / "1.png")
    return {1: Photo(tmp_path / "1.png", (10, 10))}


def asked(scene, colours, scores: list[float], fitted=None, **options):
    """The result for a red row of each score, each with a box of its own."""
    detections = Detections.from_rows([1] * len(scores), BOXES[: len(scores)], scores, [0] * len(scores))
    settings = RescoreSettings(temperature=2.0, background=None, **options)
    return rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings, fitted=fitted)


def test_the_crops_in_most_doubt_are_asked_and_the_other_rows_stay(scene, colours) -> None:
    result = asked(scene, colours, [0.9, 0.5, 0.2], budget=2)
    assert {box for _, box in colours.boxes_seen} == {(1, 0, 10, 10), (2, 0, 10, 10)}  # p (1 - p) is 0.25 and 0.16
    assert result.detections.scores == pytest.approx([0.9, 0.35 + 0.3 * HIT, 0.14 + 0.3 * HIT], abs=1e-6)
    assert (result.counts.unique_crops, result.counts.rescored) == (2, 2)
    assert (result.counts.over_budget, result.counts.without_support, result.counts.eligible) == (1, 0, 3)


@pytest.mark.parametrize(("budget", "tiles", "crops"), [(1, 1, 0), (3, 1, 2), (5, 5, 0), (6, 5, 1), (99, 5, 3)])
def test_the_photo_is_asked_first(scene, colours, budget, tiles, crops) -> None:
    result = asked(scene, colours, [0.9, 0.5, 0.2], evidence="text+photo", budget=budget)
    assert (result.counts.tiles, result.counts.unique_crops) == (tiles, crops)
    assert len(colours.boxes_seen) == tiles + crops
    # all is red: the photo says of rows without a crop what crops say of the others
    assert result.detections.scores == pytest.approx([0.7 * s + 0.3 * HIT for s in (0.9, 0.5, 0.2)], abs=1e-6)


def test_a_fusion_has_a_line_for_rows_without_a_crop(scene, colours) -> None:
    by_crop, by_photo = (Term("text", 1.0, 0.0),), (Term("photo", 2.0, 0.0),)
    fitted = FittedFusion(Line(), Line(), Line(), by_crop, photo=Line(1.0, -1.0), photo_terms=by_photo)
    result = asked(scene, colours, [0.9, 0.5], fitted, evidence="text+photo", budget=6)
    # by the photo alone the odds are 9 HIT^2 / e and HIT^2 / e: 0.67 is more in doubt than 0.19
    odds = [9 * HIT, math.exp(-1) * HIT**2]
    assert result.detections.scores == pytest.approx([value / (1 + value) for value in odds], abs=1e-6)
    assert ["score_clip" in extras for extras in result.detections.extras] == [True, False]


@pytest.mark.parametrize("options", [{"budget": 0}, {"budget": 5, "relabel": 1}, {"budget": 5, "evidence": "both"}])
def test_what_cannot_be_is_refused(options) -> None:
    with pytest.raises(ConfigError) as raised:
        RescoreSettings(**options)
    assert f"budget={options['budget']}" in str(raised.value)
