"""The loop: what it writes, what it reports, and how it ends where it cannot go on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from risf_core.detector.checkpoint import read_checkpoint
from risf_core.engines.train import train
from risf_core.errors import ConfigError, RisfError
from risf_core.training.loop import Hooks
from risf_core.training.meter import RunStatus
from risf_core.training.metrics_log import read_metrics
from tests.messages import assert_names
from tests.risf_core.training.runs import first_ones

PARTS = ("loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg")


def test_a_run_leaves_weights_metrics_and_what_it_was_asked_for(small, scenes: Path, tmp_path: Path) -> None:
    seen: list[RunStatus] = []
    run = train(small(), tmp_path / "run", hooks=Hooks(on_progress=seen.append))
    checkpoint = read_checkpoint(tmp_path / "run")
    assert run.weights == tmp_path / "run/model_final.pth" == checkpoint.source
    assert checkpoint.architecture.name == "small"
    assert checkpoint.vocabulary is not None
    assert len(checkpoint.vocabulary) == checkpoint.class_count == 12
    lines = read_metrics(tmp_path / "run")
    assert [line["iteration"] for line in lines] == [progress.iteration for progress in seen] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        assert line["loss"] == pytest.approx(sum(line[part] for part in PARTS))
        assert 0 <= line["loading_share"] <= 1
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.02] * 4 + [0.002] * 2)
    described = json.loads((tmp_path / "run/run.json").read_text())
    assert described["config"]["solver"]["batch"] == 2
    assert set(described["versions"]) >= {"risf", "torch", "torchvision"}
    import hashlib

    assert described["inputs"]["coco"] == hashlib.sha256((scenes / "instances.json").read_bytes()).hexdigest()


def test_the_config_of_a_run_is_a_config_that_reads_back(small, tmp_path: Path) -> None:
    from risf_core.config import read_config

    config = small("solver.iterations=1", "solver.steps=[]")
    train(config, tmp_path / "run")
    assert read_config(tmp_path / "run/config.yaml").values == config.values


def test_accumulation_takes_the_same_step_as_the_whole_batch_at_once(small, tmp_path: Path) -> None:
    same = ("solver.batch=4", "data.short_sides=[64]", "solver.iterations=3", "solver.steps=[]",
            "solver.learning_rate=0.001")  # fmt: skip
    for images in (1, 4):
        hooks = Hooks(sampler_of=first_ones)
        train(small(*same, f"solver.images_per_step={images}"), tmp_path / str(images), hooks=hooks)
    one, four = read_metrics(tmp_path / "1"), read_metrics(tmp_path / "4")
    for part in PARTS:
        assert [line[part] for line in one] == pytest.approx([line[part] for line in four], abs=1e-5)


@pytest.mark.parametrize("extra", [("solver.precision=bf16",), ("solver.channels_last=true",)])
def test_mixed_precision_and_channels_last_train_to_about_the_same_loss(small, tmp_path: Path, extra) -> None:
    short = ("solver.iterations=2", "solver.steps=[]", "solver.learning_rate=0.001")
    for name, more in (("plain", ()), ("other", extra)):
        train(small(*short, *more), tmp_path / name, hooks=Hooks(sampler_of=first_ones))
    plain, other = (read_metrics(tmp_path / name) for name in ("plain", "other"))
    assert [line["loss"] for line in other] == pytest.approx([line["loss"] for line in plain], rel=0.03)


def test_evaluations_on_held_out_images_stand_in_the_metrics_and_leave_weights(
    small, scenes: Path, tmp_path: Path
) -> None:
    seen = []
    config = small(
        "solver.evaluate_every=4", f"data.held_out={scenes}/instances.json", "data.held_out_images=3",
    )  # fmt: skip
    hooks = Hooks(on_evaluation=lambda iteration, figures: seen.append((iteration, figures["AP"])))
    train(config, tmp_path / "run", hooks=hooks)
    assert [iteration for iteration, _ in seen] == [4, 6]
    lines = [line for line in read_metrics(tmp_path / "run") if "held_out/AP" in line]
    assert [(line["iteration"], line["held_out/AP"]) for line in lines] == seen
    best = torch.load(tmp_path / "run/model_best.pth", weights_only=True)["model"]
    assert best.keys() == torch.load(tmp_path / "run/model_final.pth", weights_only=True)["model"].keys()


def test_a_line_after_an_evaluation_is_of_all_iterations_since_the_last_one(
    small, scenes: Path, tmp_path: Path, monkeypatch
) -> None:
    from risf_core.training import loop

    monkeypatch.setattr(loop, "held_out_metrics", lambda *arguments: {"AP": 0.5})
    held_out = ("solver.evaluate_every=4", f"data.held_out={scenes}/instances.json", "data.held_out_images=3")
    train(small(*held_out), tmp_path / "each")
    train(small(*held_out, "solver.log_every=3"), tmp_path / "third")
    each, third = ([line for line in read_metrics(tmp_path / run) if "loss" in line] for run in ("each", "third"))
    assert [line["iteration"] for line in third] == [3, 6]
    for part in ("loss", *PARTS):
        of_each = [line[part] for line in each]
        assert [line[part] for line in third] == pytest.approx([sum(of_each[:3]) / 3, sum(of_each[3:]) / 3])


def test_metrics_go_to_tensorboard_where_it_is_installed(small, tmp_path: Path, monkeypatch) -> None:
    written: dict[str, list[int]] = {}

    class SummaryWriter:  # tensorboard's own is not among what tests install
        def __init__(self, folder: str, *, purge_step: int) -> None:
            assert (folder, purge_step) == (str(tmp_path / "run/tensorboard"), 1)

        def add_scalar(self, name: str, value: float, iteration: int) -> None:
            written.setdefault(name, []).append(iteration)

        def close(self) -> None:
            written["closed"] = []

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: module)
    train(small("solver.iterations=2", "solver.steps=[]"), tmp_path / "run")
    assert written["loss"] == written["learning_rate"] == [1, 2]
    assert "closed" in written


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_images(small, tmp_path: Path) -> None:
    with pytest.raises(RisfError) as caught:
        train(small("solver.learning_rate=1e30"), tmp_path / "run")
    message = str(caught.value)
    (folder,) = (tmp_path / "run").glob("bad_loss_iteration_*")
    iteration = int(folder.name.rpartition("_")[2])
    assert message.startswith(
        f"the loss is NaN or infinite at iteration {iteration}, learning rate 1e+30 (loss_rpn_cls "
    )
    assert f"the images of the batch are in {folder}" in message
    batch = json.loads((folder / "batch.json").read_text())
    assert (batch["iteration"], batch["learning_rate"]) == (iteration, 1e30)
    assert len(batch["images"]) == 2
    for image in batch["images"]:
        saved = np.asarray(Image.open(folder / image["saved_as"]).convert("RGB")).astype(int)
        source = Image.open(image["path"]).convert("RGB").resize(saved.shape[1::-1], Image.Resampling.BILINEAR)
        pixels = np.asarray(source).astype(int)
        assert min(np.abs(saved - pixels).max(), np.abs(saved - pixels[:, ::-1]).max()) <= 1
        assert len(image["boxes"]) == len(image["labels"])


def test_out_of_memory_says_what_to_lower(small, tmp_path: Path) -> None:
    def no_memory(example):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:83] DefaultCPUAllocator: can't allocate memory: you tried")

    with pytest.raises(ConfigError) as caught:
        train(small(), tmp_path / "run", hooks=Hooks(sampler_of=no_memory))
    assert_names(
        str(caught.value),
        "0",
        "solver.images_per_step",
        "2",
        "data.short_sides",
        "112",
        "data.long_side",
        "160",
        "model.activation_checkpointing=true",
    )


def test_evaluations_without_test_images_are_refused(small, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give `held_out`, a COCO JSON"):
        train(small("solver.evaluate_every=2"), tmp_path / "run")


def test_a_schedule_that_is_scaled_to_the_batch_says_so(small, tmp_path: Path) -> None:
    said: list[str] = []
    train(
        small("solver.iterations=1", "solver.steps=[]", "solver.scale_schedule=true"),
        tmp_path / "run",
        on_note=said.append,
    )
    assert (
        "1 iterations at learning rate 0.02 are meant for batches of 16: 8 at 0.0025 for batches of 2 "
        "(`solver.scale_schedule=false` takes them as they are)"
    ) in said
    said.clear()
    train(small("solver.iterations=1", "solver.steps=[]"), tmp_path / "as-stated", on_note=said.append)
    assert not any("meant for" in line for line in said)
