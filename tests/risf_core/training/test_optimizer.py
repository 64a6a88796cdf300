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
from risf_core.errors import ConfigError
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


def test_layer_decay_counts_blocks_from_the_heads() -> None:
    model = build_detector(ARCHITECTURES["small-swin"], class_count=3)
    optimizer = optimizer_of(model, SolverConfig(optimizer="adamw", weight_decay=0.05, layer_decay=0.5))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    share = {names[id(each)]: group["rate_share"] for group in optimizer.param_groups for each in group["params"]}
    assert share.keys() == dict(model.named_parameters()).keys()
    # two blocks in each of four stages; the patch embedding is below the first, a patch merging below its stage
    for name, power in (
        ("backbone.patch_embed.proj.weight", 9),
        ("backbone.layers.0.blocks.0.attn.qkv.weight", 8),
        ("backbone.layers.0.blocks.1.mlp.fc1.bias", 7),
        ("backbone.layers.1.downsample.reduction.weight", 7),
        ("backbone.layers.2.blocks.1.norm1.weight", 3),
        ("roi_heads.res5.layers.3.blocks.1.norm1.weight", 1),
        ("roi_heads.res5.norm.weight", 1),
        ("roi_heads.box_predictor.cls_score.weight", 0),
        ("proposal_generator.rpn_head.conv.weight", 0),
        ("affine_rpn.weight", 0),
    ):
        assert share[name] == 0.5**power, name
    for group in optimizer.param_groups:
        assert (
            len({names[id(each)].endswith("bias_table") for each in group["params"]} - {group["weight_decay"] == 0})
            <= 1
        )


def test_layer_decay_shrinks_the_steps_of_deeper_blocks(small, tmp_path) -> None:
    model = nn.Sequential()
    with pytest.raises(ConfigError, match=r"solver\.layer_decay"):
        optimizer_of(model, SolverConfig(layer_decay=0.5))
    steps = ("solver.iterations=1", "solver.steps=[]", "solver.weight_decay=0", "solver.momentum=0")
    rates = {"none": 0.0, "whole": 1e-3, "decayed": 1e-3}
    for name, rate in rates.items():
        decay = "solver.layer_decay=0.5" if name == "decayed" else "solver.layer_decay=1"
        train(small(*steps, f"solver.learning_rate={rate}", decay), tmp_path / name)
    before, whole, decayed = (final_weights(tmp_path / name) for name in rates)
    for name, power in (  # one block in each of four stages
        ("backbone.res4.0.conv1.weight", 2),
        ("roi_heads.res5.0.conv1.weight", 1),
        ("roi_heads.box_predictor.cls_score.weight", 0),
    ):
        moved = decayed[name] - before[name]
        torch.testing.assert_close(moved, (whole[name] - before[name]) * 0.5**power, atol=1e-7, rtol=1e-2)
        assert moved.abs().max() > 1e-6


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
