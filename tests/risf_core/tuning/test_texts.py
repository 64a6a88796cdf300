"""Templates and names that labels choose."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import ConfigError
from risf_core.photos import ImageInfo, Photo
from risf_core.rescore import RescoreSettings
from risf_core.rescore.prompts import Texts
from risf_core.tuning.texts import TextChoices, TextTrial, check_texts
from risf_core.tuning.tune import Tuned, tune
from risf_core.vocabulary import ClassVocabulary

WORDS = ("cat", "dog", "cow", "background")
NAMES = ClassVocabulary.from_names(("cat", "part 7", "cow"))
SETTINGS = RescoreSettings(temperature=10.0, keep_parts=False)
CANDIDATES = {"part 7": ("cow", "dog", "sheep"), "cow": ("sheep",)}


class Sees:
    """Crops by where they are: the thing of each third of a photo, with some noise. Texts by the thing they name."""

    key = "sees"

    def __init__(self, noise: float = 0.3) -> None:
        self.crops, self.noise = 0, noise

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[np.ndarray]:
        for image in images:
            self.crops += len(image.boxes)
            rng = np.random.default_rng(int(image.photo.path.stem))
            things = np.eye(8)[(image.boxes[:, 0] // 100).astype(int)]
            yield unit(things + rng.normal(0, self.noise, things.shape))

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        vectors = []
        for text in texts:
            named = [word in text for word in WORDS]
            odd = np.random.default_rng(list(text.encode())).normal(size=4)  # whatever else a text says
            vectors.append(np.concatenate([4.0 * np.array(named), odd]))
        return unit(np.array(vectors))


def unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def tuned(folder: Path, encoder: Sees, choices: TextChoices | None, images: int = 20) -> Tuned:
    """Photos with a cat, a dog and a cow, side by side; a detector that finds each under all names."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(images), 3)
    boxes = np.tile(np.array([[0, 0, 90, 90], [100, 0, 90, 90], [200, 0, 90, 90]], dtype=float), (images, 1))
    infos = [ImageInfo(image_id, None, 100, 300) for image_id in range(images)]
    truth = AnnotatedDataset.from_columns(NAMES, infos, ids, np.tile(np.arange(3), images), boxes)
    rows, named = np.repeat(np.arange(len(ids)), 3), np.tile(np.arange(3), len(ids))
    right = named == rows % 3
    scores = 1 / (1 + np.exp(-(2.0 * right - 1 + rng.normal(0, 2, len(rows)))))
    table = Detections.from_rows(ids[rows], boxes[rows], scores, named)
    photos = {image_id: Photo(folder / f"{image_id}.png", (100, 300)) for image_id in range(images)}
    return tune(table, truth, encoder=encoder, photos=photos, settings=SETTINGS, texts=choices, resamples=0)


def test_a_wrong_name_is_replaced_by_the_right_one_and_each_crop_is_encoded_once(tmp_path: Path) -> None:
    encoder = Sees()
    chosen = tuned(tmp_path, encoder, TextChoices(names=CANDIDATES))
    assert chosen.texts is not None
    assert chosen.texts.aliases == {"part 7": "dog"}
    asked_once = encoder.crops
    plain = tuned(tmp_path, other := Sees(), None)
    assert asked_once == other.crops
    assert plain.texts is None
    held_out = [found.cross_validation.methods[-1].figures["AP"] for found in (plain, chosen)]
    assert held_out[1] > held_out[0]
    assert chosen.to_json()["texts"]["aliases"] == {"part 7": "dog"}


def test_names_that_nothing_speaks_for_are_not_taken(tmp_path: Path) -> None:
    choices = TextChoices((), {"cat": ("sheep", "horse"), "cow": ("zebra",)})
    assert tuned(tmp_path, Sees(), choices).texts in (None, Texts(SETTINGS.templates, {}))


def test_an_encoder_that_knows_nothing_changes_no_text_that_is_used(tmp_path: Path) -> None:
    assert tuned(tmp_path, Sees(noise=1e6), TextChoices(names=CANDIDATES)).texts is None


def trial(logits: np.ndarray, images: np.ndarray, labels: np.ndarray) -> TextTrial:
    """Two classes of which the second may have either of two names; no background."""
    places = np.arange(len(labels))
    templates = tuple((f"{number} {{}}",) for number in range(len(logits)))
    names = ("cat", "part 7", "dog")
    return TextTrial(
        templates, names, {0: (0,), 1: (1, 2)}, names[:2], logits, labels, images, places, places, lambda texts: None
    )  # type: ignore[arg-type, return-value]


def test_the_choice_is_by_the_likelihood_of_the_right_classes() -> None:
    """By hand: under "dog" each dog gains log(0.9 / 0.1), each cat loses log(0.9 / 0.5)."""
    of_cats = np.log([0.5, 0.5, 0.5])  # cat beside "part 7": 0.5, beside "dog": 0.5
    of_dogs = np.log([0.1, 0.1 / 9, 0.9])  # "part 7" beside cat: 0.1, "dog" beside cat: 0.9
    logits = np.full((1, 8, 4), -np.inf, dtype=np.float32)
    labels = np.array([0, 1] * 4)
    logits[0, :, :3] = np.where(labels[:, None] == 0, of_cats, of_dogs)
    rows = trial(logits, np.arange(8) // 2, labels)
    assert rows.choose() == Texts(("0 {}",), {"part 7": "dog"})
    assert rows[np.array([0, 1])].choose() is None  # one image is too little
    one_dog = np.flatnonzero((labels == 0) | (np.arange(8) == 1))
    assert rows[one_dog].choose() is None  # nor do four images speak where one of them has a dog
    swapped = logits.copy()
    swapped[0, :, [1, 2]] = swapped[0, :, [2, 1]]
    assert trial(swapped, np.arange(8) // 2, labels).choose() is None


def test_a_template_is_chosen_by_all_classes_together() -> None:
    labels, images = np.array([0, 1] * 4), np.arange(8) // 2
    flat = np.log([0.5, 0.5, 1e-9, 0.0 + 1e-30])
    sharp = np.where(labels[:, None] == 0, np.log([0.8, 0.2, 1e-9, 1e-30]), np.log([0.2, 0.8, 1e-9, 1e-30]))
    logits = np.stack([np.tile(flat, (8, 1)), sharp]).astype(np.float32)
    assert trial(logits, images, labels).choose() == Texts(("1 {}",), {})
    assert trial(logits[::-1], images, labels).choose() is None


def test_texts_of_unknown_classes_and_of_no_use_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`alias` names the class 'catt'.*did you mean 'cat'"):
        check_texts(TextChoices(names={"catt": ("dog",)}), NAMES, SETTINGS)
    with pytest.raises(ConfigError, match="`templates=auto` compares crops with names, `evidence=support`"):
        check_texts(TextChoices(), NAMES, replace(SETTINGS, evidence="support"))
    with pytest.raises(ConfigError, match=r"has no \{\}"):
        check_texts(TextChoices(("a photo",)), NAMES, SETTINGS)
