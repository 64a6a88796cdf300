"""What a run starts from: weights of every form, with the head that its classes need."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from risf_core.config import published_config, read_config
from risf_core.detector.architecture import architecture_named
from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.model import build_detector
from risf_core.errors import CheckpointError, ConfigError
from risf_core.losses import LOSS_PRESETS, BnrlSettings
from risf_core.training.starting import Start, loss_settings, starting_model
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

WHOLE = ClassVocabulary.from_names(["ant", "bee", "cat", "dog", "elk"], novel=["bee", "elk"])
CLASS_ROWS = "roi_heads.box_predictor.cls_score.weight"


@pytest.fixture
def weights(tmp_path: Path):
    """Writes weights of the small variant in a form; returns their path and their state."""

    def write(names: list[str] | None, form: str = "defrcn", *, count: int = 3) -> tuple[Path, dict[str, torch.Tensor]]:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            model = build_detector(architecture_named("small"), class_count=len(names or [None] * count))
        vocabulary = ClassVocabulary.from_names(names) if names else None
        path = tmp_path / f"weights.{ {'safetensors': 'safetensors', 'msra': 'pkl'}.get(form, 'pth') }"
        state = model.state_dict()
        write_checkpoint(Checkpoint(path, "defrcn", state, model.architecture, vocabulary), path, form=form)
        if names is None and form == "defrcn":  # as DeFRCN's own files: without a word on classes
            torch.save({"model": state}, path)
        return path, state

    return write


def started(path: Path | None, *overrides: str, name: str = "coco/gfsod", vocabulary=WHOLE) -> Start:
    stated = [f"model.weights={path}"] if path is not None else []
    return starting_model(
        read_config(published_config(name), overrides=[*stated, *overrides]).values, vocabulary, whole=WHOLE
    )


def rows_of(start: Start) -> torch.Tensor:
    return start.model.state_dict()[CLASS_ROWS]


def test_generalised_keeps_rows_by_the_names_that_the_weights_state(weights) -> None:
    path, state = weights(["dog", "ant", "fox"])
    rows = rows_of(started(path))
    assert rows[0].equal(state[CLASS_ROWS][1])  # ant
    assert rows[3].equal(state[CLASS_ROWS][0])  # dog
    assert rows[5].equal(state[CLASS_ROWS][3])  # background


def test_safetensors_start_a_run_as_pth_does(weights) -> None:
    path, state = weights(["dog", "ant", "fox"], "safetensors")
    rows = rows_of(started(path))
    assert rows[0].equal(state[CLASS_ROWS][1])  # ant
    assert rows[3].equal(state[CLASS_ROWS][0])  # dog


def test_weights_without_names_are_understood_by_their_number_of_classes(weights) -> None:
    path, state = weights(None, count=3)  # the split has three base classes: ant, cat, dog
    rows = rows_of(started(path))
    for place, old in ((0, 0), (2, 1), (3, 2), (5, 3)):
        assert rows[place].equal(state[CLASS_ROWS][old])


def test_a_detector_of_other_classes_keeps_those_that_a_list_names(weights, tmp_path: Path) -> None:
    path, state = weights(None, count=4)
    with pytest.raises(CheckpointError) as caught:
        started(path)
    assert_names(str(caught.value), path, "4", "3", "5", "`model.weights_classes=FILE`")
    (tmp_path / "names.txt").write_text("fox\ncat\nowl\nant\n")
    rows = rows_of(started(path, f"model.weights_classes={tmp_path}/names.txt"))
    assert rows[2].equal(state[CLASS_ROWS][1])
    assert rows[0].equal(state[CLASS_ROWS][3])


def test_generalised_training_that_would_keep_nothing_is_refused(weights) -> None:
    path, _ = weights(["owl", "fox"])
    with pytest.raises(CheckpointError, match=r"none of its 2 classes is among the 5 to train"):
        started(path)


def test_few_shot_takes_all_but_a_fresh_head_that_follows_the_seed(weights) -> None:
    path, state = weights(["ant", "cat", "dog"])
    novel = WHOLE.restrict("novel")
    first, again, other = (
        started(path, f"solver.seed={seed}", name="coco/fsod", vocabulary=novel) for seed in (0, 0, 1)
    )
    assert rows_of(first).shape == (3, state[CLASS_ROWS].shape[1])
    assert rows_of(first).equal(rows_of(again))
    assert not rows_of(first).equal(rows_of(other))
    for name, value in first.model.state_dict().items():
        if "box_predictor" not in name:
            assert value.equal(state[name]), name


def test_imagenet_weights_give_the_backbone_alone(weights) -> None:
    path, state = weights(["ant"], "msra")
    start = started(path, "model.architecture=auto", name="coco/base", vocabulary=WHOLE.restrict("base"))
    found = start.model.state_dict()
    assert found["backbone.res4.0.conv1.weight"].equal(state["backbone.res4.0.conv1.weight"])
    assert found["roi_heads.res5.0.conv1.weight"].equal(state["roi_heads.res5.0.conv1.weight"])
    assert len(rows_of(start)) == 4
    assert any("a backbone alone; RPN and heads are fresh" in note for note in start.notes)


def test_a_coco_c4_detector_starts_with_identity_affines(weights) -> None:
    path, _ = weights(["ant", "cat", "dog"], "detectron2")
    model = started(path).model
    assert bool((model.affine_rcnn.weight == 1).all())
    assert bool((model.affine_rcnn.bias == 0).all())


def test_another_architecture_than_the_weights_is_refused(weights) -> None:
    path, _ = weights(["ant"])
    with pytest.raises(CheckpointError) as caught:
        started(path, "model.architecture=r50")
    assert_names(str(caught.value), path, "model.architecture", "`model.architecture=auto`")
    with pytest.raises(ConfigError, match=r"model\.architecture is auto, which is that of the weights"):
        started(None)


def test_numbers_of_the_loss_replace_those_of_the_preset() -> None:
    loss = read_config(published_config("coco/fsod"), overrides=["loss.gamma=2"]).values.loss
    assert loss_settings(loss) == BnrlSettings(alpha=0.2, gamma=2.0, epsilon=1.0, background_weight=0.2)
    assert loss_settings(read_config().values.loss) == LOSS_PRESETS["cross-entropy"]
