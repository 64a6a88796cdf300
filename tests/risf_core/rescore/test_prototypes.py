"""Prototypes by hand: the mean of a class's crops, without those of the photo that is asked about."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.errors import ConfigError, DataError
from risf_core.files import sha256_of
from risf_core.photos import ImageInfo, Photo
from risf_core.rescore.pipeline import rescore
from risf_core.rescore.prototypes import TEMPERATURE, Prototypes, make_prototypes
from risf_core.rescore.settings import RescoreSettings
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

NAMES = ClassVocabulary.from_names(("part no. 4711", "part no. 4724", "part no. 4737"), novel=("part no. 4711",))
RED, GREEN, BLUE = range(3)
UNIT = np.eye(3, dtype=np.float32)
ALL = np.arange(3)


def made(rows: list[tuple[np.ndarray, int, str]]) -> Prototypes:
    embeddings, labels, photos = zip(*rows, strict=True)
    boxes = np.array([[0, 0, 5, 5 + n] for n in range(len(rows))], dtype=float)
    return Prototypes(np.stack(embeddings), np.array(labels), photos, boxes, 3)


def test_a_prototype_is_the_mean_of_its_crops_at_unit_length() -> None:
    prototypes = made([(UNIT[0], RED, "a"), (UNIT[1], RED, "b"), (UNIT[2], GREEN, "a")])
    cosines = prototypes.similarities(UNIT, photo="another")
    half = math.sqrt(0.5)
    assert cosines[:, RED] == pytest.approx([half, half, 0])
    assert cosines[:, GREEN] == pytest.approx([0, 0, 1])
    assert np.isnan(cosines[:, BLUE]).all()


def test_a_crop_is_not_compared_with_support_of_its_own_photo() -> None:
    prototypes = made([(UNIT[0], RED, "a"), (UNIT[1], RED, "b"), (UNIT[2], GREEN, "a")])
    cosines = prototypes.similarities(UNIT[:1], photo="a")
    assert cosines[0, RED] == pytest.approx(0)  # of b's crop alone: its own would have said 1
    assert np.isnan(cosines[0, GREEN])  # its only crop lies in this photo


def test_probabilities_are_a_softmax_about_the_mean_of_the_prototypes() -> None:
    prototypes = made([(UNIT[0], RED, "a"), (UNIT[1], GREEN, "b"), (UNIT[2], BLUE, "c")])
    probabilities = prototypes.probabilities(UNIT[:1], photo="another", classes=ALL)
    # about their mean three right angles are 120 degrees apart: cosines 1, -1/2, -1/2
    powers = [math.exp(TEMPERATURE), math.exp(-TEMPERATURE / 2), math.exp(-TEMPERATURE / 2)]
    assert probabilities[0] == pytest.approx([power / sum(powers) for power in powers])
    two = prototypes.probabilities(UNIT[:1], photo="another", classes=np.array([RED, BLUE]))
    assert np.isnan(two[0, GREEN])
    assert two[0, RED] + two[0, BLUE] == pytest.approx(1)


def test_the_nearest_shot_speaks_as_a_plain_loop_has_it() -> None:
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(7, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels, photos = [RED, RED, RED, GREEN, GREEN, BLUE, BLUE], ["a", "b", "c", "a", "b", "a", "a"]
    prototypes = made(list(zip(vectors, labels, photos, strict=True)))
    assert prototypes.several
    asked = np.array([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    found = prototypes.nearest(asked, photo="a", classes=ALL)
    left = [(v.astype(float), label) for v, label, p in zip(vectors, labels, photos, strict=True) if p != "a"]
    means = []
    for label in (RED, GREEN):  # BLUE has no shot outside of photo a
        mean = sum(v for v, own in left if own == label)
        means.append(mean / np.linalg.norm(mean))
    middle = (means[0] + means[1]) / 2
    for crop, row in zip(asked.astype(float), found, strict=True):
        best = {RED: -1.0, GREEN: -1.0}
        for v, label in left:
            a, b = crop - middle, v - middle
            best[label] = max(best[label], float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
        powers = [math.exp(TEMPERATURE * best[label]) for label in (RED, GREEN)]
        assert row[[RED, GREEN]] == pytest.approx([power / sum(powers) for power in powers])
        assert math.isnan(row[BLUE])


def test_with_a_shot_a_class_the_nearest_is_the_prototype() -> None:
    prototypes = made([(UNIT[0], RED, "a"), (UNIT[1], GREEN, "b"), (UNIT[2], BLUE, "c")])
    assert not prototypes.several
    same = [ask(UNIT, photo="another", classes=ALL) for ask in (prototypes.nearest, prototypes.probabilities)]
    assert same[0] == pytest.approx(same[1])


def test_against_a_single_prototype_there_is_no_probability() -> None:
    prototypes = made([(UNIT[0], RED, "a")])
    assert np.isnan(prototypes.probabilities(UNIT, photo="another", classes=ALL)).all()
    assert prototypes.similarities(UNIT[:1], photo="another")[0, RED] == pytest.approx(1)


def test_the_support_is_known_by_its_boxes_in_whatever_order() -> None:
    rows = [(UNIT[0], RED, "a"), (UNIT[1], GREEN, "b")]
    prototypes = made(rows)
    turned = replace(
        prototypes,
        embeddings=prototypes.embeddings[::-1], labels=prototypes.labels[::-1], photos=("b", "a"),
        boxes=prototypes.boxes[::-1],
    )  # fmt: skip
    assert turned.sha256 == prototypes.sha256
    assert replace(prototypes, labels=np.array([RED, BLUE])).sha256 != prototypes.sha256


@pytest.fixture
def photos(tmp_path: Path) -> dict[int, Photo]:
    """Photo 1: red beside green. Photo 2: red beside blue. Photo 3 (not support): red beside green, darker."""
    colours = {1: [(255, 0, 0), (0, 255, 0)], 2: [(250, 0, 0), (0, 0, 255)], 3: [(200, 0, 0), (0, 200, 0)]}
    for number, (left, right) in colours.items():
        pixels = np.zeros((10, 20, 3), dtype=np.uint8)
        pixels[:, :10], pixels[:, 10:] = left, right
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    return {number: Photo(tmp_path / f"{number}.png", (10, 20)) for number in colours}


LEFT, RIGHT = [0, 0, 10, 10], [10, 0, 10, 10]


@pytest.fixture
def support() -> AnnotatedDataset:
    return AnnotatedDataset.from_columns(
        NAMES,
        [ImageInfo(1), ImageInfo(2)],
        np.array([0, 0, 1, 1, 1]),
        np.array([RED, GREEN, RED, BLUE, GREEN]),
        np.array([LEFT, RIGHT, LEFT, RIGHT, LEFT], dtype=float),
        crowd=np.array([False, False, False, False, True]),
    )


def test_shots_speak_for_classes_whose_names_mean_nothing(photos, support, colours) -> None:
    prototypes = make_prototypes(support, photos=photos, encoder=colours)
    assert len(prototypes.labels) == 4  # the crowd is no shot
    detections = Detections.from_rows([3, 3], [LEFT, LEFT], [0.5, 0.6], [RED, GREEN])
    by_name = rescore(detections, vocabulary=NAMES, encoder=colours, photos=photos)
    assert by_name.detections.scores[0] < by_name.detections.scores[1]  # the names cannot tell
    settings = RescoreSettings(evidence="support")
    by_shots = rescore(
        detections, vocabulary=NAMES, encoder=colours, photos=photos, settings=settings, prototypes=prototypes
    )
    assert by_shots.detections.scores == pytest.approx([0.7 * 0.5 + 0.3, 0.7 * 0.6], abs=1e-3)
    assert [set(extras) for extras in by_shots.detections.extras] == [
        {"score_detector", "score_support", "clip_names"}
    ] * 2
    best = by_shots.detections.extras[0]["clip_names"]
    assert {name for name, _ in best} == set(NAMES.names)
    assert best[0][0] == NAMES.names[RED]
    assert best[0][1] == pytest.approx(by_shots.detections.extras[0]["score_support"], abs=5.1e-5)


def test_by_both_the_mean_of_the_two_probabilities_counts(photos, support, colours) -> None:
    prototypes = make_prototypes(support, photos=photos, encoder=colours)
    detections = Detections.from_rows([3, 3], [LEFT, RIGHT], [0.5, 0.6], [RED, RED])
    settings = RescoreSettings(evidence="both")
    result = rescore(
        detections, vocabulary=NAMES, encoder=colours, photos=photos, settings=settings, prototypes=prototypes
    ).detections
    for row, before in enumerate([0.5, 0.6]):
        extras = result.extras[row]
        mean = (extras["score_clip"] + extras["score_support"]) / 2
        assert result.scores[row] == pytest.approx(0.7 * before + 0.3 * mean, abs=1e-12)


def test_a_detection_on_a_shot_itself_is_judged_by_the_other_shots(photos, support, colours) -> None:
    prototypes = make_prototypes(support, photos=photos, encoder=colours)
    detections = Detections.from_rows([1, 1], [LEFT, RIGHT], [0.5, 0.5], [RED, GREEN])
    result = rescore(
        detections,
        vocabulary=NAMES,
        encoder=colours,
        photos=photos,
        settings=RescoreSettings(evidence="support"),
        prototypes=prototypes,
    )
    # photo 1 is left out: red has the shot of photo 2, green has none
    assert result.detections.extras[0]["score_support"] == pytest.approx(1, abs=1e-6)
    assert result.detections.extras[1] is None
    assert result.detections.scores[1] == 0.5
    assert result.counts.without_support == 1
    assert result.counts.eligible == 2


def test_support_crops_are_kept_by_the_cache(photos, support, colours, tmp_path: Path) -> None:
    for expected in (0, 4):
        encoder = CachedEncoder(colours, EmbeddingCache(tmp_path / "cache"))
        first = make_prototypes(support, photos=photos, encoder=encoder)
        assert encoder.hits == expected
    assert len(colours.boxes_seen) == 4
    assert set(first.photos) == {sha256_of(photos[number].path) for number in (1, 2)}


def test_evidence_by_shots_without_shots_is_refused(photos, colours) -> None:
    detections = Detections.from_rows([3], [LEFT], [0.5], [RED])
    with pytest.raises(ConfigError) as refused:
        rescore(
            detections,
            vocabulary=NAMES,
            encoder=colours,
            photos=photos,
            settings=RescoreSettings(evidence="support"),
        )
    assert_names(str(refused.value), "`evidence=support`", "`support`", "annotations")


def test_support_without_a_box_is_refused(photos, support, colours) -> None:
    with pytest.raises(DataError) as refused:
        make_prototypes(support.select_rows(support.crowd), photos=photos, encoder=colours)
    assert str(refused.value) == "the support has no box inside its photos; give each class a few"


def clusters(spread: float, *, classes: int = 4, shots: int = 5) -> Prototypes:
    """Shots around a direction per class, each of a photo of its own, but for the first ones, which share one."""
    generator = np.random.default_rng(5)
    centres = generator.normal(size=(classes, 16))
    rows = []
    for label in range(classes):
        for shot in range(shots):
            vector = centres[label] + spread * generator.normal(size=16)
            photo = "shared" if shot == 0 else f"{label}/{shot}"
            rows.append(((vector / np.linalg.norm(vector)).astype(np.float32), label, photo))
    embeddings, labels, photos = zip(*rows, strict=True)
    boxes = np.array([[0, 0, 5, 5 + n] for n in range(len(rows))], dtype=float)
    return Prototypes(np.stack(embeddings), np.array(labels), photos, boxes, classes)


def log_posterior(prototypes: Prototypes, temperature: float) -> float:
    """A plain loop: log-probability of each shot without its photo's, at the best share of odd ones; and the prior."""
    own_probabilities = []
    for shot, (embedding, own, photo) in enumerate(
        zip(prototypes.embeddings, prototypes.labels, prototypes.photos, strict=True)
    ):
        means = {}
        for label in set(prototypes.labels.tolist()):
            others = [
                prototypes.embeddings[place]
                for place in range(len(prototypes.labels))
                if prototypes.labels[place] == label and prototypes.photos[place] != photo
            ]
            means[label] = sum(other.astype(float) for other in others)
            means[label] /= np.linalg.norm(means[label])
        middle = sum(means.values()) / len(means)
        crop = embedding / np.linalg.norm(embedding.astype(float)) - middle
        powers = {}
        for label, mean in means.items():
            away = mean - middle
            powers[label] = math.exp(temperature * (crop @ away) / np.linalg.norm(crop) / np.linalg.norm(away))
        own_probabilities.append(powers[own] / sum(powers.values()))
        assert shot < 100
    shares = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    best = max(sum(math.log((1 - odd) * each + odd / len(means)) for each in own_probabilities) for odd in shares)
    return best - math.log(temperature / 20) ** 2 / (2 * 0.5**2)


@pytest.mark.parametrize("spread", [0.2, 0.6, 1.5])
def test_the_temperature_is_the_most_probable_one_of_a_plain_loop(spread: float) -> None:
    prototypes = clusters(spread)
    grid = 20 * np.exp(np.linspace(-2, 2, 401))
    expected = grid[np.argmax([log_posterior(prototypes, temperature) for temperature in grid])]
    assert prototypes.with_fitted_temperature().temperature == pytest.approx(expected, rel=0.012)


def test_shots_that_classes_share_ask_for_a_smaller_temperature_than_shots_that_tell_them_apart() -> None:
    near, far = (clusters(spread).with_fitted_temperature().temperature for spread in (0.2, 1.5))
    assert far < 18 < near


def test_one_shot_a_class_says_nothing_of_the_temperature() -> None:
    alone = clusters(0.5, shots=1)
    assert alone.with_fitted_temperature().temperature == TEMPERATURE
