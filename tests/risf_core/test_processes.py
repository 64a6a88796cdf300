"""Processes that run together bring their values to the first; where one ends early, the first says so."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from risf_core.errors import ConfigError
from risf_core.processes import Processes, gather_to_first, started_processes
from tests.together import run_together


def gather() -> None:
    processes = started_processes()
    sys.stdout.write(json.dumps(gather_to_first({"rank": processes.rank, "of": processes.count}, processes)))


def die() -> None:
    """Meet the others and then end, as a process that runs out of memory does."""
    import torch.distributed as distributed

    distributed.init_process_group("gloo")
    os._exit(3)


def test_the_first_of_two_processes_gets_the_values_of_both(tmp_path: Path):
    first, second = run_together(gather, gather, folder=tmp_path)
    assert (first.code, second.code) == (0, 0)
    assert first.stdout.strip() == '[{"rank": 0, "of": 2}, {"rank": 1, "of": 2}]'
    assert second.stdout.strip() == "null"


def test_a_process_that_ends_early_is_told_by_the_first(tmp_path: Path):
    first, second = run_together(gather, die, folder=tmp_path)
    assert (first.code, second.code) == (1, 3)
    assert first.stdout == ""
    message = first.stderr.strip().splitlines()[-1]
    assert "RisfError: another of the 2 processes has ended before its share was done (" in message
    assert message.endswith("what was cached is kept, so the same command continues from there")


def test_one_process_alone_meets_nobody(monkeypatch: pytest.MonkeyPatch):
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert started_processes() == Processes(0, 1)
    assert gather_to_first("share", started_processes()) == ["share"]


@pytest.mark.parametrize(
    "environment",
    [
        {"WORLD_SIZE": "x"},
        {"WORLD_SIZE": "0"},
        {"RANK": "5", "WORLD_SIZE": "1"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "3"},
        {"RANK": "0", "WORLD_SIZE": "2"},  # and nowhere to meet
    ],
)
def test_an_environment_that_is_not_torchruns_is_refused(monkeypatch, environment) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    if len(environment) != 2 or environment["WORLD_SIZE"] != "2" or environment["RANK"] != "0":
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        monkeypatch.setenv("MASTER_PORT", "1")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        started_processes()
    assert all(f"{name}={value}" in str(caught.value) for name, value in environment.items())
