"""Weights of timm's networks in every form that people have them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from risf_core.config import read_config
from risf_core.detector.architecture import ARCHITECTURES, architecture_named
from risf_core.detector.checkpoint import Checkpoint, read_checkpoint
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.conversion import convert_weights
from risf_core.detector.model import build_detector
from risf_core.detector.timm_weights import published_weights
from risf_core.detector.weights import detector_of, load_weights
from risf_core.errors import CheckpointError, ConfigError
from risf_core.training.plan import TrainingChoice, plan_base_training
from risf_core.training.starting import starting_model
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

NAME = "timm/test_efficientnet"  # 0.4 million parameters
SMALL_SWIN = ARCHITECTURES["small-swin"]
NAMES = ClassVocabulary(("cat", "dog"), (3, 7), frozenset({"cat"}))


@pytest.fixture(params=["safetensors", "pth", "authors"])
def file(request, tmp_path: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """A file of timm's weights, and what is in it."""
    torch.manual_seed(0)
    state = timm.create_model("test_efficientnet").state_dict()
    if request.param == "safetensors":
        save_file(state, tmp_path / "w.safetensors")
        return tmp_path / "w.safetensors", state
    nested = {"model": {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(state if request.param == "pth" else nested, tmp_path / "w.pth")
    return tmp_path / "w.pth", state


def test_a_file_of_timm_is_a_backbone_and_a_roi_stage(file) -> None:
    path, state = file
    checkpoint = read_checkpoint(path, architecture=NAME)
    assert (checkpoint.form, checkpoint.class_count, checkpoint.architecture.name) == ("timm", None, NAME)
    model = build_detector(checkpoint.architecture, class_count=2)
    report = load_weights(model, checkpoint, require="backbone")
    assert all(name.startswith(("proposal_generator.", "roi_heads.box_", "affine_")) for name in report.missing)
    own = model.state_dict()
    assert torch.equal(own["backbone.conv_stem.weight"], state["conv_stem.weight"])
    last = max(name for name in state if name.startswith("blocks."))
    assert torch.equal(own[f"roi_heads.res5.{last}"], state[last])
    assert {"conv_head.weight", "classifier.weight"} <= set(checkpoint.left_out)
    with pytest.raises(CheckpointError, match="holds a backbone without RPN and heads"):
        detector_of(checkpoint)
    with pytest.raises(CheckpointError, match="is of a network of timm that it does not name"):
        read_checkpoint(path)
    with pytest.raises(CheckpointError, match="is not of timm/convnext_atto"):
        read_checkpoint(path, architecture="timm/convnext_atto")


def test_a_detector_survives_every_form_that_can_hold_it(tmp_path: Path) -> None:
    model = build_detector(SMALL_SWIN, class_count=2)
    checkpoint = Checkpoint(tmp_path, "defrcn", model.state_dict(), SMALL_SWIN, NAMES)
    for form, name in (("safetensors", "w.safetensors"), ("defrcn", "w.pth"), ("run", "run")):
        write_checkpoint(checkpoint, tmp_path / name, form=form)
        again = read_checkpoint(tmp_path / name)
        assert (again.architecture, again.vocabulary, again.left_out) == (SMALL_SWIN, NAMES, ())
        assert all(torch.equal(again.state[key], value) for key, value in checkpoint.state.items())
    for form in ("msra", "detectron2"):
        with pytest.raises(CheckpointError, match=f"is small-swin, and the form {form} has no such network"):
            write_checkpoint(checkpoint, tmp_path / "w.pkl", form=form)
    with pytest.raises(CheckpointError, match="is small, and the form timm has no such network"):
        write_checkpoint(replace(checkpoint, architecture=ARCHITECTURES["small"]), tmp_path / "w", form="timm")


def test_timms_own_form_comes_back_as_it_was(tmp_path: Path) -> None:
    save_file(timm.create_model("test_efficientnet").state_dict(), tmp_path / "w.safetensors")
    convert_weights(tmp_path / "w.safetensors", tmp_path / "w.pth", form="defrcn", architecture=NAME)
    written = convert_weights(tmp_path / "w.pth", tmp_path / "b", form="timm").written
    assert (written.left_out, written.folded) == ((), ())
    before, after = load_file(tmp_path / "w.safetensors"), load_file(tmp_path / "b")
    assert all(torch.equal(before[name], value) for name, value in after.items())
    assert len(after) > len(before) // 2


def test_published_weights_are_looked_for_in_the_hubs_cache_first(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    swin = "swin_large_patch4_window7_224.ms_in22k"
    with pytest.raises(CheckpointError) as caught:
        published_weights(f"timm/{swin}")
    assert_names(str(caught.value), f"timm/{swin}", "model.safetensors", "https://huggingface.co/timm", "`weights`")
    snapshot = tmp_path / f"models--timm--{swin}" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"weights")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("1")
    plan = plan_base_training(TrainingChoice(config="coco/base-swin-l"), tmp_path / "run")
    assert plan.config.values.model.weights == snapshot / "model.safetensors"


def test_a_training_starts_from_timms_weights_and_drop_path_is_of_timm(file) -> None:
    path, state = file
    settings = [f"model.weights={path}", f"model.architecture={NAME}", "model.drop_path=0.2", "model.freeze_at=2"]
    start = starting_model(read_config(overrides=settings).values, NAMES, whole=NAMES)
    assert (start.model.architecture.drop_path, start.model.architecture.freeze_at) == (0.2, 2)
    assert torch.equal(start.model.backbone.state_dict()["conv_stem.weight"], state["conv_stem.weight"])
    assert any("a backbone alone; RPN and heads are fresh" in note for note in start.notes)
    with pytest.raises(ConfigError, match=r"model\.drop_path is of timm's networks, but model\.architecture is small"):
        starting_model(
            read_config(overrides=["model.architecture=small", "model.drop_path=0.2"]).values, NAMES, whole=NAMES
        )


def test_colours_are_kept_in_a_run_folder(tmp_path: Path) -> None:
    architecture = architecture_named(NAME)
    state = build_detector(architecture, class_count=2).state_dict()
    write_checkpoint(Checkpoint(tmp_path, "defrcn", state, architecture, NAMES), tmp_path / "run", form="run")
    assert read_checkpoint(tmp_path / "run").architecture.inputs == architecture.inputs
