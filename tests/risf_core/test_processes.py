"""Processes that run together bring their values to the first; where one ends early, the first says so."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from risf_core.errors import ConfigError
from risf_core.processes import Processes, gather_to_first, started_processes

GATHER = """
import json, sys
from risf_core.errors import RisfError
from risf_core.errors import ConfigError
from risf_core.processes import gather_to_first, started_processes
processes = started_processes()
try:
    gathered = gather_to_first({"rank": processes.rank, "of": processes.count}, processes)
except RisfError as error:
    sys.exit(f"error: {error}")
print(json.dumps(gathered))
"""
# it meets the others and then ends, as a process that runs out of memory does
DIE = """
import os
import torch.distributed as distributed
distributed.init_process_group("gloo")
os._exit(3)
"""


def run_together(*scripts: str) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each script, run as torchrun would start them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    started = []
    for rank, script in enumerate(scripts):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": len(scripts), "MASTER_PORT": port}
        environment = {
            **os.environ, "MASTER_ADDR": "127.0.0.1", "OMP_NUM_THREADS": "1", **{k: str(v) for k, v in place.items()}
        }  # fmt: skip
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        started.append(subprocess.Popen([sys.executable, "-c", script], env=environment, **pipes))
    try:
        return [(*process.communicate(timeout=120), process.returncode)[::-1] for process in started]
    finally:
        for process in started:
            process.kill()


def test_the_first_of_two_processes_gets_the_values_of_both():
    (code, _, first), (other_code, _, second) = run_together(GATHER, GATHER)
    assert (code, other_code) == (0, 0)
    assert first.strip() == '[{"rank": 0, "of": 2}, {"rank": 1, "of": 2}]'
    assert second.strip() == "null"


def test_a_process_that_ends_early_is_told_by_the_first():
    (code, said, printed), (other_code, _, _) = run_together(GATHER, DIE)
    assert (code, other_code) == (1, 3)
    assert printed == ""
    message = said.strip().splitlines()[-1]
    assert message.startswith("error: another of the 2 processes has ended before its share was done (")
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
