"""The detectron2 engine beside the default one: the same losses, results, files and faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("detectron2", reason="`make test-detectron2` runs the comparisons with detectron2")

from detectron2.engine import HookBase
from detectron2.utils.events import get_event_storage
from PIL import Image

from risf_core.config import read_config
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.detector.inputs import batch_of, network_pixels
from risf_core.detector.prediction import predict
from risf_core.detector.weights import detector_of
from risf_core.engines import on_engine
from risf_core.engines.train import train
from risf_core.errors import RisfError
from risf_core.evaluation import evaluate, read_ground_truth
from risf_core.photos import find_photos
from risf_core.training.loop import Hooks
from risf_core.training.metrics_log import read_metrics
from risf_core.training.stepping import LOSS_NAMES
from tests.conftest import Run
from tests.lively import lively_detector, random_photo
from tests.risf_core.training.runs import final_weights, first_ones
from tests.risf_core.training.shapes import write_shapes

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")  # upstream's anchor generator
ENGINES = ("torchvision", "detectron2")
COMMON = (
    "data.short_sides=[128]", "data.long_side=266", "data.workers=0", "solver.device=cpu", "solver.batch=2",
    "solver.scale_schedule=false", "solver.log_every=1", "solver.steps=[]",
)  # fmt: skip
SCRATCH = ("model.architecture=small", "model.rpn_gradient_scale=1", "model.rcnn_gradient_scale=1")


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with train.json, test.json, photos/ and base/, a run that finds something."""
    folder = tmp_path_factory.mktemp("world")
    write_shapes(folder, name="train", photos=60, seed=1)
    write_shapes(folder, name="test", photos=16, seed=2, first_id=1001)
    more = ("solver.iterations=220", "solver.steps=[160]", "solver.learning_rate=0.05", "solver.warmup_iterations=20")
    train(config_of(folder, *SCRATCH, *more), folder / "base")
    return folder


def config_of(world: Path, *overrides: str):
    data = (f"data.coco=[{world}/train.json]", f"data.images=[{world}/photos]")
    return read_config(overrides=[*COMMON, *data, *overrides])


def average_precision(world: Path, run: Path, engine: str) -> float:
    """AP on the test images of a run's weights, found by an engine."""
    truth = read_ground_truth(world / "test.json")
    checkpoint = read_checkpoint(run)
    model = on_engine(detector_of(checkpoint)[0], engine)
    photos = find_photos(truth.images_by_id, images=None, folders=[world / "photos"]).photos
    found = predict(model, photos, vocabulary=checkpoint.vocabulary)
    assert checkpoint.vocabulary.names == truth.vocabulary.names
    return evaluate(found.detections, truth, evaluator="pycocotools").overall["AP"]


# --- the same run ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["base", "few-shot"])
def test_twenty_iterations_have_the_same_losses_and_end_with_the_same_precision(world, stage, tmp_path) -> None:
    settings = ["solver.iterations=20", "solver.learning_rate=0.005", f"model.weights={world}/base"]
    settings += ["data.setting=generalised"]  # keeps the head: there are detections to compare
    if stage == "few-shot":  # everything that only this stage has
        settings += ["loss.preset=paper", "model.classifier_dropout=0.5"]
        settings += ["model.freeze_res5=true", "model.rcnn_gradient_scale=0.01", "model.rpn_gradient_scale=0"]
    for engine in ENGINES:  # batches, dropout and sampled boxes of both come from the seed and the image's place
        train(config_of(world, *settings, f"solver.engine={engine}"), tmp_path / engine)
    ours, theirs = (read_metrics(tmp_path / engine) for engine in ENGINES)
    assert [line["iteration"] for line in theirs] == list(range(1, 21))
    assert ours[0].keys() == theirs[0].keys()
    for line, other in zip(ours, theirs, strict=True):
        for part in LOSS_NAMES:
            assert other[part] == pytest.approx(line[part], rel=0.01, abs=1e-5), (line["iteration"], part)
        assert other["learning_rate"] == line["learning_rate"]
    precisions = [average_precision(world, tmp_path / engine, engine) for engine in ENGINES]
    assert precisions[0] > 0.15  # the comparison has something to compare
    assert precisions[1] == pytest.approx(precisions[0], abs=1e-2)


def test_the_same_weights_find_the_same_boxes_in_both(world) -> None:
    model, _ = detector_of(read_checkpoint(world / "base"))
    pixels = network_pixels(np.asarray(Image.open(world / "photos/001001.png").convert("RGB")), (160, 213))
    batch = batch_of([pixels, pixels[:, :120]], model.architecture.inputs)
    ours = model.eval().detect(batch)
    theirs = on_engine(model, "detectron2").detect(batch)
    for found, expected in zip(theirs, ours, strict=True):
        assert len(found.scores) > 5
        torch.testing.assert_close(found.boxes, expected.boxes, rtol=0, atol=1e-3)
        torch.testing.assert_close(found.scores, expected.scores, rtol=0, atol=1e-5)
        assert found.labels.tolist() == expected.labels.tolist()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = on_engine(model, "detectron2").detect(batch)
    for found, expected in zip(half, ours, strict=True):
        assert (found.boxes.dtype, found.scores.dtype) == (torch.float32, torch.float32)
        assert found.scores[0] == pytest.approx(expected.scores[0].item(), abs=0.05)


@pytest.mark.parametrize("architecture", ["small", "r50", "r101"])
def test_the_model_has_the_published_names_and_the_same_frozen_parameters(architecture) -> None:
    from risf_core.detector.freezing import freeze_for_few_shot

    model = lively_detector(architecture)
    freeze_for_few_shot(model)
    other = on_engine(model, "detectron2")
    state = other.state_dict()
    assert state.keys() == model.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    copied = deepcopy(other)
    (hook,) = copied.roi_heads._forward_pre_hooks.values()
    assert hook.affine is copied.affine_rcnn  # not the original's
    assert {name for name, each in other.named_parameters() if each.requires_grad} == {
        name for name, each in model.named_parameters() if each.requires_grad
    }


def test_half_precision_and_channels_last_train_to_about_the_same_loss(world, tmp_path) -> None:
    settings = ["solver.iterations=2", "solver.learning_rate=0.001", f"model.weights={world}/base"]
    half = ["solver.precision=bf16", "solver.channels_last=true"]
    for name, more in (("plain", []), ("half", half)):
        config = config_of(world, *settings, *more, "solver.engine=detectron2", "data.setting=generalised")
        train(config, tmp_path / name, hooks=Hooks(sampler_of=first_ones))
    plain, other = (read_metrics(tmp_path / name) for name in ("plain", "half"))
    assert [line["loss"] for line in other] == pytest.approx([line["loss"] for line in plain], rel=0.05)


# --- from one engine to the other --------------------------------------------------------------------------------


class Killed(Exception):
    """What ends a run before its time."""


@pytest.mark.parametrize(("first", "second"), [ENGINES, ENGINES[::-1]])
def test_a_run_of_one_engine_goes_on_in_the_other(world, tmp_path, first, second) -> None:
    settings = ["solver.iterations=8", "solver.checkpoint_every=2", "solver.learning_rate=0.005"]
    settings += [f"model.weights={world}/base"]

    def kill(progress) -> None:
        if progress.iteration == 5:
            raise Killed

    train(config_of(world, *settings, f"solver.engine={first}"), tmp_path / "whole", hooks=Hooks(sampler_of=first_ones))
    with pytest.raises(Killed):
        train(
            config_of(world, *settings, f"solver.engine={first}"),
            tmp_path / "parts",
            hooks=Hooks(sampler_of=first_ones, on_progress=kill),
        )
    assert not (tmp_path / "parts/model_final.pth").exists()
    train(
        config_of(world, *settings, f"solver.engine={second}"),
        tmp_path / "parts",
        resume=True,
        hooks=Hooks(sampler_of=first_ones),
    )
    assert [line["iteration"] for line in read_metrics(tmp_path / "parts")] == list(range(1, 9))
    whole, parts = final_weights(tmp_path / "whole"), final_weights(tmp_path / "parts")
    start = read_checkpoint(world / "base").state
    moved = [name for name in whole if not torch.equal(whole[name], start[name])]
    assert len(moved) > 20
    for name in moved:  # momenta that went to another parameter would send it elsewhere
        if whole[name].shape == start[name].shape and "box_predictor" not in name:
            step = (whole[name] - start[name]).norm()
            assert (whole[name] - parts[name]).norm() < 0.02 * step + 1e-6, name


# --- the command line --------------------------------------------------------------------------------------------


def test_both_stages_and_prediction_run_from_the_command_line(risf: Run, world, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> str:
        done = risf(*words)
        assert done.exit_code == 0, done.output
        return done.stderr

    sets = [word for each in (*COMMON, "solver.iterations=6") for word in ("--set", each)]
    data = ["--coco", world / "train.json", "--images", world / "photos"]
    fresh = ["--weights", "none", "--set", "model.architecture=small"]
    said = run("base-train", "--engine", "detectron2", *data, *fresh, *sets, "--out", "base")
    assert "fp32 on cpu, engine detectron2" in said
    held_out = ["--held-out", world / "test.json", "--set", "solver.evaluate_every=6"]
    run("finetune", "--engine", "detectron2", *data, "--weights", "base", *held_out, *sets, "--out", "tuned")
    assert [line["iteration"] for line in read_metrics(Path("tuned"))] == [1, 2, 3, 4, 5, 6, 6]
    assert "held_out/AP" in read_metrics(Path("tuned"))[-1]
    assert {each.name for each in Path("tuned").iterdir()} >= {"run.json", "config.yaml", "model_last.pth"}
    config = json.loads(Path("tuned/run.json").read_text())["config"]
    assert (config["loss"]["preset"], config["solver"]["engine"]) == ("paper", "detectron2")
    look = ["--images", world / "photos", "--annotations", world / "test.json", "--device", "cpu", "--min-score", 0]
    for engine in ENGINES:
        run("predict", "--engine", engine, "--weights", "tuned", *look, "--out", f"{engine}.json")
    ours, theirs = (json.loads(Path(f"{engine}.json").read_text()) for engine in ENGINES)
    assert len(ours) == len(theirs) > 100
    scores, others = (np.array([row["score"] for row in rows]) for rows in (ours, theirs))
    np.testing.assert_allclose(np.sort(scores), np.sort(others), atol=1e-4)


def test_a_fault_in_a_run_is_one_error_and_no_traceback(world, tmp_path, caplog) -> None:
    with pytest.raises(RisfError, match="the loss is NaN or infinite at iteration"):
        train(config_of(world, *SCRATCH, "solver.iterations=9", "solver.learning_rate=1e30",
                        "solver.engine=detectron2"), tmp_path / "run")  # fmt: skip
    assert not [record for record in caplog.records if record.exc_info]


# --- upstream's own parts ----------------------------------------------------------------------------------------


def test_hooks_of_ones_own_are_called_and_losses_are_in_upstreams_storage(world, tmp_path) -> None:
    class Own(HookBase):
        def __init__(self) -> None:
            self.seen: list[tuple[int, float]] = []

        def after_step(self) -> None:
            self.seen.append((self.trainer.iter, get_event_storage().latest()["total_loss"][0]))

    own = Own()
    train(
        config_of(world, *SCRATCH, "solver.iterations=3", "solver.engine=detectron2"),
        tmp_path / "run",
        hooks=Hooks(detectron2=(own,)),
    )
    assert [iteration for iteration, _ in own.seen] == [0, 1, 2]
    assert [loss for _, loss in own.seen] == pytest.approx([line["loss"] for line in read_metrics(tmp_path / "run")])


def test_two_processes_of_one_image_train_as_one_of_two(world, tmp_path) -> None:
    settings = ("solver.iterations=3", f"model.weights={world}/base", "solver.engine=detectron2", "solver.batch=4")
    data = (f"data.coco=[{world}/train.json]", f"data.images=[{world}/photos]")
    overrides = [*COMMON, *data, *settings, "solver.images_per_step=1"]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         "-m", "tests.parity.two_processes", json.dumps({str(tmp_path / "two"): overrides})],
        capture_output=True, text=True, check=False, timeout=300, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    config = config_of(world, *settings, "solver.images_per_step=2")
    train(config, tmp_path / "one", hooks=Hooks(sampler_of=first_ones))
    for part in LOSS_NAMES:
        losses, others = ([line[part] for line in read_metrics(tmp_path / run)] for run in ("one", "two"))
        assert others == pytest.approx(losses, abs=1e-4)


def test_the_decoupled_layers_refuse_heads_of_several_feature_maps() -> None:
    from types import SimpleNamespace

    from risf_core.engines.detectron2 import decouple
    from risf_core.errors import ConfigError

    pyramid = SimpleNamespace(proposal_generator=SimpleNamespace(in_features=["p2", "p3"]), roi_heads=None)
    with pytest.raises(ConfigError, match=r"takes the features p2, p3; DeFRCN's layers are before heads of one"):
        decouple(pyramid, rcnn_gradient_scale=0.01)


def test_a_script_of_ones_own_trains_with_the_parts_as_the_package_shows(world, tmp_path, monkeypatch) -> None:
    from detectron2.checkpoint import DetectionCheckpointer
    from detectron2.engine import SimpleTrainer

    import risf_core.engines.detectron2 as parts
    from risf_core.datasets.coco import read_coco_dataset
    from risf_core.losses import LOSS_PRESETS, bnrl_loss
    from risf_core.splits.prepare import SplitSettings, prepare_splits
    from tests.parity.upstream import upstream_config

    settings = SplitSettings(novel="blue square,red triangle", shots=(5,), seeds=(0,))
    prepare_splits(read_coco_dataset(world / "train.json"), tmp_path / "split", settings=settings)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").symlink_to(world / "photos")
    cfg = upstream_config("r50", rois_per_image=16)
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.SOLVER.IMS_PER_BATCH = (96,), 2
    lines = parts.__doc__.partition("::\n")[2].splitlines()
    names = {"cfg": cfg}
    exec("\n".join(line.removeprefix("    ") for line in lines), names)  # the lines of the docstring, as they stand
    model, data = names["model"], names["data"]
    model.load_state_dict(lively_detector("r50", classes=2).state_dict())  # as they would load a checkpoint

    assert data.vocabulary.names == ("blue square", "red triangle")
    boxes = [each for record in data.dicts for each in record["annotations"]]
    assert sorted(each["category_id"] for each in boxes) == [0] * 5 + [1] * 5
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=0.001)
    SimpleTrainer(model, names["loader"], optimizer).train(0, 2)
    assert model.affine_rcnn.weight.grad.abs().sum() > 0
    predictor = model.roi_heads.box_predictor
    assert predictor.dropout.p == 0.8
    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 2, 0, 2])
    expected = bnrl_loss(logits, labels, alpha=0.2, gamma=4.0, epsilon=1.0, background_weight=0.2)
    assert torch.equal(predictor.classification_loss(logits, labels), expected)
    assert LOSS_PRESETS["paper"].gamma == 4.0
    DetectionCheckpointer(model, str(tmp_path)).save("own")
    checkpoint = read_checkpoint(tmp_path / "own.pth")
    assert (checkpoint.form, checkpoint.class_count, checkpoint.implied) == ("defrcn", 2, ())
    ours, _ = detector_of(checkpoint)
    pixels = network_pixels(random_photo((96, 128), 0), (96, 128))
    batch = batch_of([pixels], ours.architecture.inputs)
    with torch.no_grad():
        torch.testing.assert_close(
            ours.eval().backbone(batch.pixels), model.eval().backbone(batch.pixels)["res4"], rtol=1e-4, atol=1e-4
        )
