"""A tiny Swin: killed and resumed it keeps its weights, two processes train it as one, and it finds novel classes."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from risf_core.datasets.coco import read_coco_dataset
from risf_core.engines.train import train
from risf_core.splits.prepare import SplitSettings, prepare_splits
from tests import together
from tests.risf_core.training.conftest import SMALL
from tests.risf_core.training.runs import assert_same_weights, final_weights
from tests.risf_core.training.shapes import BASE, NAMES, NOVEL, write_shapes
from tests.risf_core.training.test_distributed import train_on_first_ones
from tests.risf_core.training.test_end_to_end import COMMON, SHOTS, config_of, detected, metrics_of, swapped
from tests.risf_core.training.test_resume import last_iteration, resume_training
from tests.together import run_together

SWIN = ("model.architecture=small-swin", "solver.optimizer=adamw", "solver.learning_rate=1e-3",
        "solver.clip_gradients=5")  # fmt: skip
SWIN_BASE = ("model.rpn_gradient_scale=1", "model.rcnn_gradient_scale=1", "solver.iterations=300", "solver.steps=[200]",
             "solver.learning_rate=2e-3")  # fmt: skip
SWIN_FEW_SHOT = ("model.architecture=auto", "solver.iterations=100", "solver.steps=[80]", "solver.learning_rate=2e-3",
                 "model.classifier_dropout=0.2")  # fmt: skip


def test_a_killed_swin_resumes_to_the_same_weights(scenes: Path, small, tmp_path: Path) -> None:
    settings = (*SWIN, "model.drop_path=0.3", "model.classifier_dropout=0.5", "solver.images_per_step=1")
    train(small(*settings), tmp_path / "whole")
    data = [f"data.coco=[{scenes}/instances.json]", f"data.images=[{scenes}/photos]"]
    job = partial(resume_training, tmp_path / "killed", [*SMALL, *data, *settings])
    process = together.start(job, tmp_path, printed=tmp_path / "printed")
    while last_iteration(tmp_path / "killed") < 3:  # between the checkpoints
        assert process.is_alive(), (tmp_path / "printed.err").read_text()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert last_iteration(tmp_path / "killed") < 6, "the run ended before it could be killed"
    resume_training(tmp_path / "killed", [*SMALL, *data, *settings])
    assert_same_weights(tmp_path / "whole", tmp_path / "killed")


def test_two_processes_train_a_swin_as_one(scenes: Path, small, tmp_path: Path) -> None:
    # SGD: AdamW turns the rounding of a gradient near zero into a whole step
    same = (
        "model.architecture=small-swin",
        "solver.learning_rate=0.005",
        "data.short_sides=[64]",
        "solver.iterations=3",
        "solver.steps=[]",
        "solver.batch=4",
    )
    data = [f"data.coco=[{scenes}/instances.json]", f"data.images=[{scenes}/photos]"]
    job = partial(train_on_first_ones, tmp_path / "two", [*SMALL, *data, *same, "solver.images_per_step=1"])
    for ended in run_together(job, job, folder=tmp_path):
        assert ended.code == 0, ended.stderr
    train_on_first_ones(tmp_path / "one", [*SMALL, *data, *same, "solver.images_per_step=2"])
    one, two = final_weights(tmp_path / "one"), final_weights(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-4, rtol=0)


def test_both_stages_of_a_swin_find_novel_classes_above_chance_in_both_settings(tmp_path: Path) -> None:
    train_file = write_shapes(tmp_path, name="train", photos=120, seed=1)
    write_shapes(tmp_path, name="test", photos=40, seed=2, first_id=1001)
    settings = SplitSettings(novel=",".join(NOVEL), shots=(SHOTS,), seeds=(0,))
    prepare_splits(read_coco_dataset(train_file), tmp_path / "split", settings=settings)
    common = (*COMMON, *SWIN, "solver.weight_decay=0.05")
    train(config_of(tmp_path, "coco/base", (*common, *SWIN_BASE)), tmp_path / "base")
    before, found = final_weights(tmp_path / "base"), []
    for setting in ("fsod", "gfsod"):
        tuned = (*common, *SWIN_FEW_SHOT, f"data.shots={SHOTS}", f"model.weights={tmp_path}/base")
        train(config_of(tmp_path, f"coco/{setting}", tuned), tmp_path / setting)
        after = final_weights(tmp_path / setting)
        assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("roi_heads.res5."))
        table = detected(tmp_path, tmp_path / setting)
        names = {NAMES[label] for label in np.unique(table.labels)}
        assert names <= set(NOVEL) if setting == "fsod" else names & set(BASE)
        right, wrong = (metrics_of(tmp_path, each).groups["novel"]["AP50"] for each in (table, swapped(table)))
        assert right > 3 * wrong
        found.append(right)
    assert np.mean(found) > 0.1  # 0.29 and 0.23 where it was written
