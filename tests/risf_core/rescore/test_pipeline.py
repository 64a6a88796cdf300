"""CM-CLIP over a table, with an encoder whose answers are known by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.detections import Detections
from risf_core.errors import ConfigError, EncoderError, ImageError
from risf_core.photos import Photo
from risf_core.rescore.fitted import FittedFusion, Line, Term
from risf_core.rescore.pipeline import rescore
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

CLASSES = ClassVocabulary(("red", "green", "blue"), (3, 5, 9), frozenset({"green"}))


@pytest.fixture
def scene(tmp_path: Path) -> dict[int, Photo]:
    """Image 1: left half red, right half green. Image 2: all blue."""
    halves = np.zeros((10, 20, 3), dtype=np.uint8)
    halves[:, :10] = (255, 0, 0)
    halves[:, 10:] = (0, 255, 0)
    Image.fromarray(halves).save(tmp_path / "1.png")
    Image.new("RGB", (8, 8), (0, 0, 255)).save(tmp_path / "2.png")
    return {1: Photo(tmp_path / "1.png", (10, 20)), 2: Photo(tmp_path / "2.png")}


LEFT, RIGHT, ALL = [0, 0, 10, 10], [10, 0, 10, 10], [0, 0, 8, 8]


def table(*rows: tuple) -> Detections:
    image_ids, boxes, scores, labels = zip(*rows, strict=True)
    return Detections.from_rows(image_ids, boxes, scores, labels)


def one_of(temperature: float, names: int, hit: bool, *, background_cosine: float | None = None) -> float:
    """softmax of cosines 1 (its own colour) and 0 (the others), by hand."""
    powers = [math.exp(temperature)] + [1.0] * (names - 1)
    if background_cosine is not None:
        powers.append(math.exp(temperature * background_cosine))
    return (math.exp(temperature) if hit else 1.0) / sum(powers)


NO_BACKGROUND = RescoreSettings(temperature=2.0, background=None)


def test_scores_are_the_papers_formula(scene, colours):
    detections = table((1, LEFT, 0.5, 0), (1, LEFT, 0.4, 1), (2, ALL, 0.9, 2))
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=NO_BACKGROUND)
    right, wrong = one_of(2, 3, True), one_of(2, 3, False)
    expected = [0.7 * 0.5 + 0.3 * right, 0.7 * 0.4 + 0.3 * wrong, 0.7 * 0.9 + 0.3 * right]
    assert result.detections.scores == pytest.approx(expected, abs=1e-6)


def test_background_takes_its_share(scene, colours):
    settings = RescoreSettings(temperature=2.0, alpha=0.0)
    result = rescore(table((2, ALL, 0.5, 2)), vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    expected = one_of(2, 3, True, background_cosine=1 / math.sqrt(3))  # the fake's colour of other words is grey
    assert result.detections.scores[0] == pytest.approx(expected, abs=1e-6)


def test_the_photo_and_its_quarters_speak_in_the_place_of_crops(scene, colours):
    detections = table((1, LEFT, 0.5, 0), (1, LEFT, 0.4, 2), (1, [0, 0, 1, 1], 0.3, 1), (1, ALL, 0.01, 0))
    settings = replace(NO_BACKGROUND, evidence="photo")
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    # the quarters on the left are red and those on the right green; the whole photo is both, at cosines of 1/sqrt(2)
    found, missing = one_of(2, 3, True), max(one_of(2, 3, False), 1 / (2 * math.exp(math.sqrt(2)) + 1))
    expected = [0.35 + 0.3 * found, 0.28 + 0.3 * missing, 0.21 + 0.3 * found, 0.01]
    assert result.detections.scores == pytest.approx(expected, abs=1e-6)
    whole, *quarters = [(0, 0, 20, 10), (0, 0, 10, 5), (10, 0, 20, 5), (0, 5, 10, 10), (10, 5, 20, 10)]
    assert colours.boxes_seen == [("1.png", box) for box in (whole, *quarters)]
    assert (result.counts.tiles, result.counts.unique_crops, result.counts.rescored) == (5, 0, 3)
    first, *_, last = result.detections.extras
    assert first == {"score_detector": 0.5, "score_photo": pytest.approx(found)}
    assert last is None


def test_crop_and_photo_speak_half_each(scene, colours):
    settings = replace(NO_BACKGROUND, evidence="text+photo")
    result = rescore(table((1, LEFT, 0.5, 1)), vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    crop, photo = one_of(2, 3, False), one_of(2, 3, True)  # the box is red; green is elsewhere in the photo
    assert result.detections.scores[0] == pytest.approx(0.7 * 0.5 + 0.3 * (crop + photo) / 2, abs=1e-6)
    assert (result.counts.tiles, result.counts.unique_crops) == (5, 1)


@pytest.mark.parametrize(("term", "counts"), [("text", (0, 1)), ("photo", (5, 0)), ("quarters", (5, 0))])
def test_a_fusion_asks_only_for_what_it_has_a_term_for(scene, colours, term, counts):
    fitted = FittedFusion(Line(), Line(), Line(), (Term(term, 1.0, 0.0), Term("size", 0.1, 0.0)))
    detections, settings = table((1, LEFT, 0.5, 1)), replace(NO_BACKGROUND, evidence="text+photo")
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings, fitted=fitted)
    assert (result.counts.tiles, result.counts.unique_crops) == counts


def test_boxes_labels_ids_and_order_never_change(scene, colours):
    detections = table((2, ALL, 0.2, 2), (1, RIGHT, 0.9, 0), (2, ALL, 0.3, 1), (1, LEFT, 0.02, 0))
    after = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene).detections
    for column in ("image_ids", "boxes_xywh", "labels"):
        assert np.array_equal(getattr(after, column), getattr(detections, column))


def test_only_rows_in_the_range_change_and_only_they_keep_their_parts(scene, colours):
    detections = table((1, LEFT, 0.05, 0), (1, LEFT, 0.050001, 0), (1, LEFT, 0.8, 0), (1, LEFT, 0.800001, 0))
    settings = RescoreSettings(max_score=0.8)
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert [bool(extras) for extras in result.detections.extras] == [False, True, True, False]
    assert (result.detections.scores != detections.scores).tolist() == [False, True, True, False]
    parts = result.detections.extras[1]
    assert parts["score_detector"] == 0.050001
    assert result.detections.scores[1] == pytest.approx(0.7 * parts["score_detector"] + 0.3 * parts["score_clip"])
    assert result.counts.outside_score_range == 2


def test_a_rescored_row_keeps_the_three_best_names(scene, colours):
    grey, high, low = math.exp(2 / math.sqrt(3)), math.exp(2), 1.0  # cosines of the crop with grey, its own, the others
    total = grey + high + 2 * low
    best = [["red", round(high / total, 4)], ["background", round(grey / total, 4)], ["green", round(low / total, 4)]]
    detections = table((1, LEFT, 0.5, 0), (1, LEFT, 0.4, 2), (1, LEFT, 0.01, 0), (7, LEFT, 0.5, 0))
    settings = RescoreSettings(temperature=2.0)
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert [(extras or {}).get("clip_names") for extras in result.detections.extras] == [best, best, None, None]


def test_plain_results_keep_no_parts(scene, colours):
    settings = RescoreSettings(keep_parts=False)
    result = rescore(table((1, LEFT, 0.5, 0)), vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert result.detections.extras[0] is None


def test_rescoring_novel_classes_leaves_base_classes_untouched(scene, colours):
    detections = table((1, LEFT, 0.5, 0), (1, RIGHT, 0.5, 1), (2, ALL, 0.5, 2))
    settings = RescoreSettings(rescore_classes="novel", temperature=2.0, background=None)
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert result.detections.scores.tolist() == [0.5, 0.65, 0.5]  # one name in the softmax: probability 1
    assert result.prompts.names == ("green",)
    assert result.counts.outside_classes == 2


def test_the_softmax_can_run_over_all_names_while_few_are_rescored(scene, colours):
    settings = RescoreSettings(
        rescore_classes=("green",), softmax_over="all", temperature=2.0, background=None, alpha=0.0
    )
    detections = table((1, RIGHT, 0.5, 1), (1, LEFT, 0.5, 0))
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert result.detections.scores == pytest.approx([one_of(2, 3, True), 0.5], abs=1e-6)


def test_a_box_that_several_rows_share_is_encoded_once(scene, colours):
    detections = table((1, LEFT, 0.5, 0), (1, RIGHT, 0.6, 1), (1, LEFT, 0.4, 1), (1, LEFT, 0.3, 2))
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene)
    assert sorted(colours.boxes_seen) == [("1.png", (0, 0, 10, 10)), ("1.png", (10, 0, 20, 10))]
    assert result.counts.unique_crops == 2
    assert result.counts.rescored == 4


def test_boxes_are_clipped_to_the_photo_before_they_are_encoded(scene, colours):
    rescore(table((2, [-3, 2, 50, 50], 0.5, 2)), vocabulary=CLASSES, encoder=colours, photos=scene)
    assert colours.boxes_seen == [("2.png", (0, 2, 8, 8))]


def test_boxes_without_area_in_the_photo_stay_and_are_counted(scene, colours):
    detections = table((2, [1, 1, 0, 5], 0.5, 2), (2, [9, 9, 5, 5], 0.5, 2), (2, ALL, 0.5, 2))
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene)
    assert result.counts.degenerate == 2
    assert result.detections.scores[:2].tolist() == [0.5, 0.5]
    assert result.counts.rescored == 1


def test_rows_without_a_photo_or_of_unknown_category_stay_and_are_counted(scene, colours):
    detections = table((7, ALL, 0.5, 2), (2, ALL, 0.5, -1))
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene)
    assert result.detections.scores.tolist() == [0.5, 0.5]
    assert (result.counts.without_photo, result.counts.outside_classes) == (1, 1)


def test_every_row_is_counted_once(scene, colours):
    detections = table(
        (1, LEFT, 0.01, 0), (1, LEFT, 0.5, 0), (1, LEFT, 0.5, 1), (7, ALL, 0.5, 1), (2, [0, 0, 0, 0], 0.5, 1)
    )
    settings = RescoreSettings(rescore_classes=("green",))
    counts = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings).counts
    assert counts.read == 5 == counts.eligible + counts.outside_score_range + counts.outside_classes
    assert counts.eligible == counts.rescored + counts.without_photo + counts.degenerate == 3


def test_rows_over_common_thresholds_are_counted_before_and_after(scene, colours):
    settings = RescoreSettings(alpha=0.0, temperature=50.0, background=None)
    detections = table((1, LEFT, 0.2, 0), (1, LEFT, 0.4, 1), (1, LEFT, 0.01, 0))
    counts = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings).counts
    assert counts.above_before == {"0.05": 2, "0.3": 1, "0.5": 0}
    assert counts.above_after == {"0.05": 1, "0.3": 1, "0.5": 1}


def test_no_eligible_row_asks_nothing_of_the_encoder(scene):
    class Untouchable:
        key = "none"

        def encode_crops(self, images):
            pytest.fail("crops were encoded")

        def encode_texts(self, texts):
            pytest.fail("texts were encoded")

    for detections in (Detections.empty(), table((1, LEFT, 0.01, 0))):
        result = rescore(detections, vocabulary=CLASSES, encoder=Untouchable(), photos=scene)
        assert result.detections == detections


def test_a_fusion_that_found_no_use_for_the_encoder_does_not_ask_it(scene):
    class Silent:
        key = "silent"

        def encode_crops(self, images):
            raise AssertionError("asked for crops")

        def encode_texts(self, texts):
            raise AssertionError("asked for texts")

    table_ = table((1, LEFT, 0.5, 0), (2, ALL, 0.2, -1), (7, ALL, 0.9, 1))
    fitted = FittedFusion(Line(), Line(2.0, 0.0), Line())
    result = rescore(table_, vocabulary=CLASSES, encoder=Silent(), photos=scene, fitted=fitted)
    # odds doubled in the logarithm: 0.5 -> 0.5, 0.9 -> 81 / 82; the row of an unknown category stays
    assert result.detections.scores == pytest.approx([0.5, 0.2, 81 / 82])
    counts = result.counts
    assert (counts.rescored, counts.by_score_alone, counts.unique_crops, counts.without_support) == (0, 2, 0, 0)


def test_templates_are_averaged_and_renormalised(scene):
    class TwoTemplates:
        key = "two"

        def encode_crops(self, images):
            for image in images:
                yield np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (len(image.boxes), 1))

        def encode_texts(self, texts):
            assert texts == ["a red", "b red", "a green", "b green", "a blue", "b blue"]
            return np.array([[1, 0], [0, 1], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)

    settings = RescoreSettings(alpha=0.0, temperature=1.0, templates=("a {}", "b {}"), background=None)
    result = rescore(
        table((2, ALL, 0.5, 0)), vocabulary=CLASSES, encoder=TwoTemplates(), photos=scene, settings=settings
    )
    cosines = [0.6 * math.sqrt(0.5) + 0.8 * math.sqrt(0.5), 0.6, 0.8]
    assert result.detections.scores[0] == pytest.approx(
        math.exp(cosines[0]) / sum(math.exp(cosine) for cosine in cosines), abs=1e-6
    )


def test_progress_counts_crops_to_the_end(scene, colours):
    seen = []
    detections = table((1, LEFT, 0.5, 0), (1, RIGHT, 0.5, 0), (2, ALL, 0.5, 0))
    rescore(
        detections,
        vocabulary=CLASSES,
        encoder=colours,
        photos=scene,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert seen == [(2, 3), (3, 3)]


@pytest.mark.parametrize("stated_size", [None, (8, 8)])  # read for its size first, or decoded first
@pytest.mark.parametrize("damaged", [b"not an image", b"cut"])
def test_a_damaged_photo_ends_the_run_or_leaves_its_rows_as_they_are(scene, colours, tmp_path, damaged, stated_size):
    content = (tmp_path / "2.png").read_bytes()[:-30] if damaged == b"cut" else damaged
    (tmp_path / "3.png").write_bytes(content)
    photos = {**scene, 3: Photo(tmp_path / "3.png", stated_size)}
    detections = table((1, LEFT, 0.5, 0), (3, ALL, 0.4, 1), (3, [0, 0, 4, 4], 0.3, 1), (2, ALL, 0.9, 2))
    with pytest.raises(ImageError) as refused:
        rescore(detections, vocabulary=CLASSES, encoder=colours, photos=photos, settings=NO_BACKGROUND)
    assert "3.png" in str(refused.value)
    assert "`on_unreadable=keep`" in str(refused.value)
    settings = replace(NO_BACKGROUND, on_unreadable="keep")
    result = rescore(detections, vocabulary=CLASSES, encoder=colours, photos=photos, settings=settings)
    alone = rescore(detections[np.array([0, 3])], vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert result.detections.scores[[0, 3]].tolist() == alone.detections.scores.tolist()
    assert result.detections.scores[[1, 2]].tolist() == [0.4, 0.3]
    assert (result.counts.rescored, result.counts.unreadable, result.counts.eligible) == (2, 2, 4)


def test_embeddings_that_are_not_finite_are_refused(scene):
    class Overflowing:
        key = "overflow"

        def encode_crops(self, images):
            for image in images:
                yield np.full((len(image.boxes), 2), np.nan, dtype=np.float32)

        def encode_texts(self, texts):
            return np.ones((len(texts), 2), dtype=np.float32)

    with pytest.raises(EncoderError) as caught:
        rescore(table((2, ALL, 0.5, 0)), vocabulary=CLASSES, encoder=Overflowing(), photos=scene)
    assert_names(str(caught.value), scene[2].path, "`precision=fp32`", "embeddings")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 1.5}, "`alpha` must be in 0..1, got 1.5"),
        ({"temperature": 0.0}, "`temperature` must be above 0, got 0"),
        ({"min_score": 0.6, "max_score": 0.5}, "`min_score=0.6` and `max_score=0.5` must be ordered and in 0..1"),
        (
            {"alpha": -1, "fusion": "linaer"},
            "`alpha` must be in 0..1, got -1; `fusion` 'linaer' is unknown (did you mean 'linear'?); "
            "give linear, geometric, log-odds",
        ),
        ({"softmax_over": "some"}, "`softmax_over` 'some' is unknown; give rescored or all"),
    ],
)
def test_impossible_settings_are_refused_all_at_once(options, message):
    with pytest.raises(ConfigError) as caught:
        RescoreSettings(**options)
    assert str(caught.value) == message


def test_unknown_classes_are_refused_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        labels_to_rescore(CLASSES, RescoreSettings(rescore_classes=("gren",)))
    assert_names(str(caught.value), "`rescore_classes`", "'gren'", "3", "'green'")


def test_novel_classes_must_be_named():
    with pytest.raises(ConfigError) as caught:
        labels_to_rescore(ClassVocabulary.from_names(["a"]), RescoreSettings(rescore_classes="novel"))
    assert_names(str(caught.value), "`rescore_classes=novel`", "`novel`")


def test_an_alias_of_an_unknown_class_is_refused(scene, colours):
    settings = RescoreSettings(aliases={"rad": "crimson"})
    with pytest.raises(ConfigError) as caught:
        rescore(table((2, ALL, 0.5, 2)), vocabulary=CLASSES, encoder=colours, photos=scene, settings=settings)
    assert_names(str(caught.value), "`alias`", "'rad'", "3", "'red'")
