"""From labelled boxes to re-scored detections: both stages on made shapes, over two seeds of shots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from risf_core.config import published_config, read_config
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.detections import Detections
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.detector.prediction import predict
from risf_core.detector.weights import detector_of
from risf_core.encoder.protocol import ImageCrops
from risf_core.engines.train import train
from risf_core.evaluation import Metrics, evaluate, read_ground_truth
from risf_core.images import decode_rgb
from risf_core.photos import find_photos
from risf_core.rescore.pipeline import rescore
from risf_core.rescore.settings import RescoreSettings
from risf_core.splits.prepare import SplitSettings, prepare_splits
from tests.drawn_shapes import COLOURS
from tests.risf_core.training.shapes import BASE, NAMES, NOVEL, write_shapes

SHOTS = 5
COMMON = (
    "data.short_sides=[128]", "data.long_side=266", "data.workers=0", "solver.device=cpu", "solver.batch=2",
    "solver.scale_schedule=false", "solver.warmup_iterations=20",
)  # fmt: skip
# The small variant starts from nothing, so its RPN may form the features too
BASE_RUN = (*COMMON, "model.architecture=small", "model.rpn_gradient_scale=1", "model.rcnn_gradient_scale=1",
            "solver.iterations=300", "solver.steps=[200]", "solver.learning_rate=0.05")  # fmt: skip
FEW_SHOT_RUN = (*COMMON, "solver.iterations=60", "solver.steps=[48]", "solver.learning_rate=0.02",
                "model.classifier_dropout=0.2", "data.seed={seed}", f"data.shots={SHOTS}")  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.json, test.json, photos/, split/ and base/, a run on the base classes."""
    folder = tmp_path_factory.mktemp("world")
    train_file = write_shapes(folder, name="train", photos=120, seed=1)
    write_shapes(folder, name="test", photos=40, seed=2, first_id=1001)
    settings = SplitSettings(novel=",".join(NOVEL), shots=(SHOTS,), seeds=(0, 1))
    prepare_splits(read_coco_dataset(train_file), folder / "split", settings=settings)
    train(config_of(folder, "coco/base", BASE_RUN), folder / "base")
    return folder


def config_of(world: Path, name: str, overrides: Iterable[str], seed: int = 0):
    options = [f"data.split={world}/split", f"data.images=[{world}/photos]"]
    return read_config(published_config(name), overrides=[*(o.format(seed=seed) for o in overrides), *options])


def tuned(world: Path, name: str, seed: int) -> Path:
    """The run of a few-shot stage, trained once."""
    folder = world / f"{name.replace('/', '-')}-{seed}"
    if not folder.exists():
        train(config_of(world, name, [*FEW_SHOT_RUN, f"model.weights={world}/base"], seed), folder)
    return folder


def truth_of(world: Path) -> AnnotatedDataset:
    truth = read_ground_truth(world / "test.json")
    return truth.with_vocabulary(truth.vocabulary.with_novel(NOVEL))


@cache
def detected(world: Path, run: Path) -> Detections:
    """What a run finds in the test images, labels in the order of the test file."""
    checkpoint = read_checkpoint(run)
    model, _ = detector_of(checkpoint)
    truth = truth_of(world)
    found = find_photos(truth.images_by_id, images=None, folders=[world / "photos"])
    prediction = predict(model, found.photos, vocabulary=checkpoint.vocabulary)
    assert prediction is not None
    place = np.array([truth.vocabulary.names.index(name) for name in checkpoint.vocabulary.names])
    table = prediction.detections
    return with_labels(table, place[table.labels])


def with_labels(table: Detections, labels: np.ndarray) -> Detections:
    return Detections.from_rows(table.image_ids, table.boxes_xywh, table.scores, labels)


def metrics_of(world: Path, table: Detections) -> Metrics:
    return evaluate(table, truth_of(world))


def swapped(table: Detections) -> Detections:
    """The same boxes with the two novel classes swapped and the base ones moved on: what chance would name them."""
    wrong = np.array([1, 2, 3, 0, 5, 4])
    return with_labels(table, wrong[table.labels])


@pytest.mark.parametrize("seed", [0, 1])
def test_few_shot_training_finds_the_novel_classes_well_above_chance(world: Path, seed: int) -> None:
    table = detected(world, tuned(world, "coco/fsod", seed))
    assert {NAMES[label] for label in np.unique(table.labels)} <= set(NOVEL)
    right, wrong = (metrics_of(world, t).groups["novel"]["AP50"] for t in (table, swapped(table)))
    assert right > 0.2
    assert right > 3 * wrong


@pytest.mark.parametrize("seed", [0, 1])
def test_generalised_training_adds_the_novel_classes_and_keeps_the_base_ones(world: Path, seed: int) -> None:
    before = metrics_of(world, detected(world, world / "base"))
    after = metrics_of(world, detected(world, tuned(world, "coco/gfsod", seed)))
    assert before.groups["base"]["AP50"] > 0.5
    assert before.groups["novel"]["AP50"] == 0
    assert after.groups["novel"]["AP50"] > 0.2
    assert after.groups["base"]["AP50"] > 0.8 * before.groups["base"]["AP50"]


def test_the_heads_rows_of_base_classes_were_kept_by_name_at_the_start(world: Path) -> None:
    from risf_core.training.starting import starting_model

    config = config_of(world, "coco/gfsod", [*FEW_SHOT_RUN, f"model.weights={world}/base"]).values
    base = read_checkpoint(world / "base")
    vocabulary = truth_of(world).vocabulary
    start = starting_model(config, vocabulary, whole=vocabulary)
    rows = dict(zip(vocabulary.names, start.model.roi_heads.box_predictor.cls_score.weight, strict=False))
    old = base.state["roi_heads.box_predictor.cls_score.weight"]
    for place, name in enumerate(BASE):
        assert rows[name].equal(old[place])
    assert f"{base.source}: head of 6 classes: 4 kept by name, 2 fresh" in start.notes
    assert not any(parameter.requires_grad for parameter in start.model.roi_heads.res5.parameters())
    assert all(parameter.requires_grad for parameter in start.model.backbone.res4.parameters())


class ColourEye:
    """A fake encoder that sees colours alone: the middle of a crop, and the colour that a prompt names."""

    key = "colours"

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[np.ndarray]:
        for image in images:
            pixels = decode_rgb(image.photo.path, image.photo.size).astype(np.float64) - 125  # less the background
            centres = (image.boxes[:, :2] + image.boxes[:, 2:]) / 2
            yield self._unit([pixels[int(y), int(x)] for x, y in centres])

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        named = [[np.array(COLOURS[colour]) - 125 for colour in COLOURS if colour in text] for text in texts]
        return self._unit([found[0] if found else np.ones(3) for found in named])

    @staticmethod
    def _unit(rows: Sequence[np.ndarray]) -> np.ndarray:
        table = np.asarray(rows, dtype=np.float32) + 1e-6
        return table / np.linalg.norm(table, axis=1, keepdims=True)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_detections_are_rescored_and_evaluated(world: Path, seed: int) -> None:
    table = detected(world, tuned(world, "coco/gfsod", seed))
    truth = truth_of(world)
    settings = RescoreSettings(rescore_classes="novel", temperature=10.0)
    photos = find_photos(truth.images_by_id, images=None, folders=[world / "photos"]).photos
    result = rescore(table, vocabulary=truth.vocabulary, encoder=ColourEye(), photos=photos, settings=settings)
    novel = np.isin(table.labels, truth.vocabulary.labels("novel"))
    assert result.counts.rescored == np.count_nonzero(novel)
    np.testing.assert_array_equal(result.detections.boxes_xywh, table.boxes_xywh)
    np.testing.assert_array_equal(result.detections.scores[~novel], table.scores[~novel])
    before, after = metrics_of(world, table), metrics_of(world, result.detections)
    assert after.groups["base"] == before.groups["base"]
    assert after.groups["novel"]["AP50"] >= before.groups["novel"]["AP50"] - 0.02  # colours are no worse a judge
