"""What AdamW decays, clipping, and a step by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from risf_core.config import SolverConfig
from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.freezing import freeze_for_few_shot
from risf_core.detector.model import build_detector
from risf_core.engines.train import train
from risf_core.training.metrics_log import read_metrics
from risf_core.training.optimizer import optimizer_of
from tests.risf_core.training.runs import final_weights


def test_adamw_decays_matrices_and_kernels_alone() -> None:
    model = build_detector(ARCHITECTURES["small-swin"], class_count=3)
    freeze_for_few_shot(model)
    decayed, plain = optimizer_of(model, SolverConfig(optimizer="adamw", weight_decay=0.05)).param_groups
    assert (decayed["weight_decay"], plain["weight_decay"], decayed["betas"]) == (0.05, 0.0, (0.9, 0.999))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    kinds = [{names[id(each)].rpartition(".")[2] for each in group["params"]} for group in (decayed, plain)]
    assert kinds == [{"weight"}, {"weight", "bias", "relative_position_bias_table"}]
    assert {names[id(each)] for each in plain["params"] if each.ndim > 2} == {
        f"affine_{part}.{name}" for part in ("rpn", "rcnn") for name in ("weight", "bias")
    }
    trained = [name for name, each in model.named_parameters() if each.requires_grad]
    assert len(trained) == len(decayed["params"]) + len(plain["params"])
    assert not any(name.startswith("roi_heads.res5.") for name in trained)


def test_a_step_of_adamw_is_that_of_its_paper() -> None:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, 2.0)
    nn.init.constant_(layer.bias, 2.0)
    optimizer = optimizer_of(layer, SolverConfig(optimizer="adamw", weight_decay=0.1, learning_rate=0.01))
    layer(torch.tensor([[3.0]])).sum().backward()
    optimizer.step()
    # at the first step the ratio of the moments is the gradient's sign
    assert layer.weight.item() == pytest.approx(2.0 * (1 - 0.01 * 0.1) - 0.01)
    assert layer.bias.item() == pytest.approx(2.0 - 0.01)


def test_gradients_are_clipped_to_their_norm(small, tmp_path) -> None:
    steps = (
        "solver.iterations=1",
        "solver.steps=[]",
        "solver.momentum=0",
        "solver.weight_decay=0",
        "solver.learning_rate=1",
    )
    train(small(*steps, "solver.learning_rate=0"), tmp_path / "before")
    train(small(*steps, "solver.clip_gradients=0.25"), tmp_path / "after")
    before, after = final_weights(tmp_path / "before"), final_weights(tmp_path / "after")
    moved = sum((after[name] - before[name]).square().sum() for name in before)
    assert moved.sqrt().item() == pytest.approx(0.25, rel=1e-3)


def test_a_swin_trains_with_adamw_and_recomputing_changes_no_loss(small, tmp_path) -> None:
    settings = (
        "model.architecture=small-swin", "model.drop_path=0.3", "solver.optimizer=adamw", "solver.learning_rate=1e-3",
        "solver.clip_gradients=5",
    )  # fmt: skip
    train(small(*settings), tmp_path / "kept")
    train(small(*settings, "model.activation_checkpointing=true"), tmp_path / "recomputed")
    kept, recomputed = ([line["loss"] for line in read_metrics(tmp_path / run)] for run in ("kept", "recomputed"))
    assert recomputed == pytest.approx(kept, rel=1e-4)


def test_the_first_stages_of_a_swin_may_be_left_as_they_are(small, tmp_path) -> None:
    settings = ("model.architecture=small-swin", "model.freeze_at=3", "solver.optimizer=adamw", "solver.iterations=2")
    train(small(*settings, "solver.steps=[]", "solver.learning_rate=0"), tmp_path / "before")
    train(small(*settings, "solver.steps=[]", "solver.learning_rate=1e-3"), tmp_path / "after")
    before, after = final_weights(tmp_path / "before"), final_weights(tmp_path / "after")
    moved = {name for name in before if name.startswith("backbone.") and not torch.equal(before[name], after[name])}
    assert {".".join(name.split(".")[:3]) for name in moved} == {"backbone.layers.2"}
