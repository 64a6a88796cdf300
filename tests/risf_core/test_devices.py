"""Devices and number formats are chosen by what the hardware has; what it lacks is named."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest
import torch

from risf_core import devices
from risf_core.devices import choose_device, choose_precision, cpu_has_bfloat16, usable_cores
from risf_core.errors import ConfigError
from tests.messages import assert_names


@pytest.fixture
def hardware(monkeypatch):
    """Makes torch report so many CUDA GPUs of a compute capability, and Apple's or none."""

    def set_to(*, gpus: int = 0, capability: tuple[int, int] = (8, 0), apple: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: capability)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: apple)
        monkeypatch.delenv("LOCAL_RANK", raising=False)

    set_to()
    return set_to


def test_auto_takes_the_gpu_then_apples_then_the_cpu(hardware, monkeypatch):
    assert choose_device() == "cpu"
    hardware(apple=True)
    assert choose_device("auto") == "mps"
    hardware(gpus=2, apple=True)
    assert choose_device("auto") == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "1")  # set by torchrun: one process a GPU
    assert choose_device("auto") == "cuda:1"


def test_under_torchrun_a_gpu_without_a_number_is_the_processes_own(hardware, monkeypatch):
    hardware(gpus=2)
    monkeypatch.setenv("LOCAL_RANK", "3")  # two processes share each GPU
    assert choose_device("cuda") == "cuda:1"
    assert choose_device("cuda:0") == "cuda:0"


def test_a_stated_device_is_taken_as_it_is(hardware):
    hardware(gpus=2, apple=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert choose_device(name) == name
        torch.device(name)  # torch knows each


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "gpu", "`device=gpu` is not a device; give auto, cpu, cuda, cuda:N or mps"),
        (1, "cuda:", "`device=cuda:` is not a device; give auto, cpu, cuda, cuda:N or mps"),
        (1, "cuda:one", "`device=cuda:one` is not a device; give auto, cpu, cuda, cuda:N or mps"),
        (1, "cuda:\u00b2", "`device=cuda:\u00b2` is not a device; give auto, cpu, cuda, cuda:N or mps"),
        (0, "cpu:1", "`device=cpu:1` is not a device; give auto, cpu, cuda, cuda:N or mps"),
        (0, "cuda", "`device=cuda`: torch sees no CUDA GPU here; give cpu or auto"),
        (2, "cuda:2", "`device=cuda:2`: this machine has 2 GPUs, counted from cuda:0"),
        (1, "cuda:1", "`device=cuda:1`: this machine has 1 GPU, counted from cuda:0"),
        (0, "mps", "`device=mps`: torch sees no Apple GPU here; give cpu or auto"),
    ],
)
def test_devices_that_are_not_there_are_named(hardware, gpus, name, message):
    hardware(gpus=gpus)
    with pytest.raises(ConfigError) as caught:
        choose_device(name)
    assert str(caught.value) == message


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_auto_precision_goes_by_the_compute_capability(hardware, capability, expected):
    hardware(gpus=1, capability=capability)
    assert choose_precision("auto", "cuda:0") == expected
    assert choose_precision("auto", "mps") == "fp16"
    assert choose_precision("fp32", "cuda:0") == "fp32"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_bf16", "bf16"), ("fpu amx_bf16", "bf16"), ("fpu avx2 avx512f", "fp32")],
)
def test_auto_precision_of_a_cpu_goes_by_its_instructions(monkeypatch, tmp_path, flags, expected):
    listing = tmp_path / "cpuinfo"
    listing.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(devices, "Path", lambda _path: listing)
    assert choose_precision("auto", "cpu") == expected


def test_without_a_list_of_instructions_torch_is_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "Path", lambda _path: tmp_path / "none")
    monkeypatch.setattr(torch, "cpu", SimpleNamespace(_is_avx512_bf16_supported=lambda: True))
    assert cpu_has_bfloat16()
    monkeypatch.setattr(torch, "cpu", SimpleNamespace())  # a release that has no such test
    assert not cpu_has_bfloat16()


def test_an_unknown_precision_is_named_with_the_nearest():
    with pytest.raises(ConfigError) as caught:
        choose_precision("bf61", "cpu")
    assert_names(str(caught.value), "`precision=bf61`", "'bf16'", "unknown")


def test_cores_are_those_that_the_process_may_use_and_not_all_of_the_machine(monkeypatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5, 7}, raising=False)
    assert usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS and Windows
    assert usable_cores() == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
