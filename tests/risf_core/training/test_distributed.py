"""Several processes: two that hold one image each train as one that holds two."""

from __future__ import annotations

import inspect
from functools import partial
from pathlib import Path

import pytest
import torch

from risf_core.config import read_config
from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.model import build_detector
from risf_core.engines.train import train
from risf_core.errors import ConfigError
from risf_core.processes import Processes
from risf_core.training import distributed
from risf_core.training.loop import Hooks
from risf_core.training.metrics_log import read_metrics
from risf_core.training.stepping import LOSS_NAMES
from tests.risf_core.training.conftest import SMALL
from tests.risf_core.training.runs import final_weights, first_ones
from tests.together import run_together


def train_on_first_ones(folder: Path, overrides: list[str]) -> None:
    train(read_config(overrides=overrides), folder, hooks=Hooks(sampler_of=first_ones))


def test_two_processes_of_one_image_train_as_one_of_two(scenes: Path, small, tmp_path: Path) -> None:
    same = ("data.short_sides=[64]", "solver.iterations=5", "solver.steps=[]", "solver.learning_rate=0.005")
    data = [f"data.coco=[{scenes}/instances.json]", f"data.images=[{scenes}/photos]"]
    for batch in (2, 4):  # 4: with two portions a step
        one, two = tmp_path / f"one-{batch}", tmp_path / f"two-{batch}"
        overrides = [*SMALL, *data, *same, f"solver.batch={batch}", "solver.images_per_step=1"]
        job = partial(train_on_first_ones, two, overrides)
        for ended in run_together(job, job, folder=tmp_path):
            assert ended.code == 0, ended.stderr
            assert "FutureWarning" not in ended.stderr
        train(
            small(*same, f"solver.batch={batch}", "solver.images_per_step=2"), one, hooks=Hooks(sampler_of=first_ones)
        )
        for part in LOSS_NAMES:
            losses, others = ([line[part] for line in read_metrics(run)] for run in (one, two))
            assert others == pytest.approx(losses, abs=1e-5)
        weights, others = final_weights(one), final_weights(two)
        for name, value in weights.items():
            torch.testing.assert_close(others[name], value, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("parameters", "option"),
    [  # of torch 2.3 and of 2.15
        (("module", "device_ids", "broadcast_buffers", "find_unused_parameters"), "broadcast_buffers"),
        (("module", "broadcast_buffers", "find_unused_parameters", "forward_sync_buffers"), "forward_sync_buffers"),
    ],
)
def test_buffers_are_never_sent_whatever_the_release_of_torch_calls_that(
    monkeypatch, parameters: tuple[str, ...], option: str
) -> None:
    called: dict[str, object] = {}

    class Parallel:
        __signature__ = inspect.Signature(
            [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in parameters]
        )

        def __init__(self, module, **options: object) -> None:
            called.update(options)

    monkeypatch.setattr(distributed, "DistributedDataParallel", Parallel)
    model = build_detector(ARCHITECTURES["small"], class_count=2)
    distributed.with_shared_gradients(model, Processes(0, 2), torch.device("cpu"))
    assert called[option] is False
    assert {name for name in called if "buffers" in name} == {option}


@pytest.mark.parametrize(
    ("device", "gpus", "backend"), [("cpu", 0, "gloo"), ("cuda:1", 2, "nccl"), ("cuda:0", 1, "gloo")]
)
def test_processes_that_share_a_gpu_meet_over_gloo(monkeypatch, device: str, gpus: int, backend: str) -> None:
    begun: list[str] = []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda name, timeout: begun.append(name))
    monkeypatch.setattr(torch.distributed, "destroy_process_group", lambda: None)
    with distributed.training_group(Processes(1, 2, 2), torch.device(device)):
        assert begun == [backend]


def test_a_batch_that_the_processes_cannot_share_is_refused(small, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"solver\.batch 2 cannot be shared by 3 processes"):
        train(small(), tmp_path / "run", processes=Processes(0, 3))
