"""Resuming: killed anywhere and resumed, a run ends with the very weights of an undisturbed one."""

from __future__ import annotations

import json
import os
import random
import resource
import time
from functools import partial
from pathlib import Path

import pytest
import torch

from risf_core.config import read_config
from risf_core.detector.runs import RUN_FILE
from risf_core.engines.train import train
from risf_core.errors import CheckpointError, ConfigError, OutputError
from risf_core.training import run_folder
from risf_core.training.loop import Hooks
from risf_core.training.metrics_log import read_metrics
from risf_core.training.saving import FINAL, LAST, load_state
from tests import together
from tests.messages import assert_names
from tests.risf_core.training.conftest import SMALL
from tests.risf_core.training.runs import assert_same_weights, final_weights


class Stop(Exception):
    pass


def stop_at(iteration: int) -> Hooks:
    def on_progress(progress) -> None:
        if progress.iteration == iteration:
            raise Stop

    return Hooks(on_progress=on_progress)


LONG = ("solver.iterations=34", "solver.steps=[20]", "solver.warmup_iterations=9", "solver.momentum=0.9",
        "model.classifier_dropout=0.5", "solver.batch=2", "solver.images_per_step=1", "data.short_sides=[48, 64]",
        "solver.learning_rate=0.01")  # fmt: skip


def resume_training(folder: Path, overrides: list[str]) -> None:
    train(read_config(overrides=overrides), folder, resume=True)


def last_iteration(folder: Path) -> int:
    return max((line["iteration"] for line in read_metrics(folder)), default=0)


def test_killed_at_ten_random_iterations_a_run_ends_with_the_same_weights(scenes: Path, small, tmp_path: Path) -> None:
    train(small(*LONG), tmp_path / "undisturbed")
    data = [f"data.coco=[{scenes}/instances.json]", f"data.images=[{scenes}/photos]"]
    job = partial(resume_training, tmp_path / "killed", [*SMALL, *data, *LONG])
    chance = random.Random(1)
    for _ in range(10):
        process = together.start(job, tmp_path, printed=tmp_path / "printed")
        wanted = last_iteration(tmp_path / "killed") + chance.randint(1, 3)
        while last_iteration(tmp_path / "killed") < wanted:
            assert process.is_alive(), "the run ended before it could be killed"
            time.sleep(0.01)
        time.sleep(chance.random() * 0.06)  # anywhere in a step, or in the writing of a checkpoint
        process.kill()
        process.join()
    process = together.start(job, tmp_path, printed=tmp_path / "printed")
    process.join()
    assert process.exitcode == 0, (tmp_path / "printed.err").read_text()
    assert_same_weights(tmp_path / "undisturbed", tmp_path / "killed")
    undisturbed, killed = read_metrics(tmp_path / "undisturbed"), read_metrics(tmp_path / "killed")
    assert [line["loss"] for line in killed] == [line["loss"] for line in undisturbed]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_broke_off_goes_on_from_its_last_checkpoint(small, tmp_path: Path, workers: int) -> None:
    config = small(f"data.workers={workers}", "solver.images_per_step=1")
    train(config, tmp_path / "whole")
    with pytest.raises(Stop):
        train(config, tmp_path / "broken", hooks=stop_at(5))
    assert load_state(tmp_path / "broken").iteration == 4
    said: list[str] = []
    train(config, tmp_path / "broken", resume=True, on_note=said.append)
    assert "continues after iteration 4" in said
    assert not [line for line in said if "fresh" in line]  # of the weights that the run once began with
    assert_same_weights(tmp_path / "whole", tmp_path / "broken")
    assert [line["iteration"] for line in read_metrics(tmp_path / "broken")] == [1, 2, 3, 4, 5, 6]


def test_an_evaluation_between_two_iterations_changes_nothing_for_those_that_follow(
    scenes: Path, small, tmp_path: Path
) -> None:
    held_out = (f"data.held_out={scenes}/instances.json", "solver.evaluate_every=2", "data.held_out_images=2")
    train(small(), tmp_path / "never")
    train(small(*held_out), tmp_path / "evaluated")
    with pytest.raises(Stop):
        train(small(*held_out), tmp_path / "broken", hooks=stop_at(5))
    train(small(*held_out), tmp_path / "broken", resume=True)
    assert_same_weights(tmp_path / "never", tmp_path / "evaluated")
    assert_same_weights(tmp_path / "evaluated", tmp_path / "broken")


def test_a_run_that_has_ended_is_resumed_to_itself(small, tmp_path: Path) -> None:
    train(small(), tmp_path / "run")
    before = final_weights(tmp_path / "run")
    train(small(), tmp_path / "run", resume=True)
    assert all(torch.equal(before[name], value) for name, value in final_weights(tmp_path / "run").items())


def test_the_order_of_images_and_the_weights_follow_the_seed(small, tmp_path: Path) -> None:
    short = ("solver.iterations=2", "solver.steps=[]")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(small(*short, f"solver.seed={seed}"), tmp_path / name)
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    with pytest.raises(AssertionError):
        assert_same_weights(tmp_path / "a", tmp_path / "c")


def test_the_largest_seed_trains(small, tmp_path: Path) -> None:
    train(small("solver.iterations=1", "solver.steps=[]", "solver.seed=1000000000"), tmp_path / "run")


def test_a_folder_that_holds_a_run_is_refused(small, tmp_path: Path) -> None:
    config = small("solver.iterations=1", "solver.steps=[]")
    train(config, tmp_path / "run")
    with pytest.raises(ConfigError) as caught:
        train(config, tmp_path / "run")
    assert_names(str(caught.value), f"{tmp_path}/run", "`resume`", "`force`")
    train(small("solver.iterations=2", "solver.steps=[]"), tmp_path / "run", force=True)
    assert len(read_metrics(tmp_path / "run")) == 2


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_run_that_is_replaced_stays_until_the_new_one_has_a_checkpoint(
    small, tmp_path: Path, monkeypatch, killed_at: int
) -> None:
    folder = tmp_path / "run"
    train(small("solver.iterations=1", "solver.steps=[]"), folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    # a kill tidies nothing up
    monkeypatch.setattr(run_folder.shutil, "rmtree", lambda path, ignore_errors=False: None)
    with pytest.raises(Stop):
        train(small("solver.seed=5"), folder, force=True, hooks=stop_at(killed_at + 1))
    monkeypatch.undo()
    now = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert (now == before) == (killed_at == 1)
    if killed_at == 1:
        with pytest.raises(ConfigError, match="begun with other settings"):
            train(small("solver.seed=5"), folder, resume=True)
        train(small("solver.iterations=1", "solver.steps=[]"), folder, resume=True)
        assert not (folder / ".new").exists()
    else:
        assert FINAL not in now
        train(small("solver.seed=5"), folder, resume=True)
        train(small("solver.seed=5"), tmp_path / "whole")
        assert_same_weights(folder, tmp_path / "whole")
        assert [line["iteration"] for line in read_metrics(folder)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_a_replacement_that_a_kill_broke_off_is_finished(tmp_path: Path, moved: int) -> None:
    ready = tmp_path / ".ready"
    ready.mkdir()
    for name in (RUN_FILE, LAST):
        (ready / name).write_text("new")
        (tmp_path / name).write_text("old")
    (tmp_path / FINAL).write_text("old")
    if moved:  # run.json goes first, when the files of the old run are gone
        for name in (FINAL, LAST):
            (tmp_path / name).unlink()
        for name in (RUN_FILE, LAST)[:moved]:
            (ready / name).replace(tmp_path / name)
    with run_folder.run_folder(tmp_path, resume=True, force=False):
        pass
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {RUN_FILE: "new", LAST: "new"}


def test_a_second_run_in_a_folder_that_is_in_use_is_refused(small, tmp_path: Path) -> None:
    refused: list[str] = []

    def second(progress) -> None:
        with pytest.raises(ConfigError) as caught:
            train(small("solver.seed=5"), tmp_path / "run", force=True)
        refused.append(str(caught.value))

    train(small("solver.iterations=1", "solver.steps=[]"), tmp_path / "run", hooks=Hooks(on_progress=second))
    assert refused[0].startswith(f"{tmp_path}/run: is in use by process {os.getpid()} on ")
    assert not (tmp_path / "run/.lock").exists()


def test_a_checkpoint_of_another_run_or_beyond_the_end_is_not_resumed(small, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 5)):
        with pytest.raises(Stop):
            train(small(f"solver.seed={seed}"), tmp_path / name, hooks=stop_at(3))
    (tmp_path / "b" / LAST).replace(tmp_path / "a" / LAST)
    with pytest.raises(CheckpointError, match=r"model_last\.pth: is of another run"):
        train(small(), tmp_path / "a", resume=True)
    with pytest.raises(Stop):
        train(small(), tmp_path / "c", hooks=stop_at(5))
    path = tmp_path / "c" / LAST
    content = torch.load(path, weights_only=True)
    content["training"]["iteration"] = 30
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"model_last\.pth: is at iteration 30 of a run of 6"):
        train(small(), tmp_path / "c", resume=True)
    content["training"]["iteration"] = 4
    content["model"]["odd"] = content["model"].popitem()[1]
    torch.save(content, path)
    with pytest.raises(CheckpointError, match=r"model_last\.pth: does not fit the run"):
        train(small(), tmp_path / "c", resume=True)


def test_a_folder_below_a_file_is_named(small, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file is a file and not a folder"):
        train(small(), tmp_path / "file/run")


def test_resuming_with_other_settings_names_the_keys_that_differ(small, scenes: Path, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train(small(), tmp_path / "run", hooks=stop_at(3))
    with pytest.raises(ConfigError) as caught:
        train(small("solver.momentum=0.5", "data.flip=0", "solver.log_every=5"), tmp_path / "run", resume=True)
    assert_names(str(caught.value), f"{tmp_path}/run", "data.flip", "0.5", "0.0", "solver.momentum", "0.9", "`force`")
    train(small("solver.log_every=2", "data.workers=1"), tmp_path / "run", resume=True)  # not of the result


def test_resuming_with_other_data_of_the_same_name_is_refused(scenes: Path, small, tmp_path: Path) -> None:
    copy = tmp_path / "instances.json"
    copy.write_bytes((scenes / "instances.json").read_bytes())
    config = small(f"data.coco=[{copy}]")
    with pytest.raises(Stop):
        train(config, tmp_path / "run", hooks=stop_at(3))
    content = json.loads(copy.read_text())
    content["annotations"].pop()
    copy.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"begun with other settings: inputs\.coco \(was \"\w+\.\.\., now"):
        train(config, tmp_path / "run", resume=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole(small, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(progress) -> None:
        if progress.iteration == 3:  # from now on no file can grow beyond 20 kB: as on a full disk, writing fails
            resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))

    try:
        with pytest.raises(OutputError) as caught:
            train(small(), tmp_path / "run", hooks=Hooks(on_progress=fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert str(caught.value).startswith(f"{tmp_path}/run/model_last.pth: File too large; the file that was there is un")
    assert load_state(tmp_path / "run").iteration == 2
    train(small(), tmp_path / "run", resume=True)
    train(small(), tmp_path / "whole")
    assert_same_weights(tmp_path / "whole", tmp_path / "run")


def test_a_damaged_checkpoint_is_named(small, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train(small(), tmp_path / "run", hooks=stop_at(3))
    path = tmp_path / "run/model_last.pth"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match=r"model_last\.pth: is cut short or damaged"):
        train(small(), tmp_path / "run", resume=True)
