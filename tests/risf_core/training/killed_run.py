# ruff: noqa: T201
"""Trains in children that are killed (kill -9) again and again, and each time resumed; run as a script."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from risf_core.config import read_config
from risf_core.engines.train import train
from risf_core.training.metrics_log import read_metrics


def main(folder: Path, overrides: list[str], kills: int, seed: int) -> None:
    """Kill a run at so many random iterations, then let it end; prints where it was killed."""
    chance = random.Random(seed)
    config = read_config(overrides=overrides)
    killed_at = []
    for _ in range(kills):
        child = _start(folder, config)
        begun = _done(folder)
        wanted = begun + chance.randint(1, 3)
        while _done(folder) < wanted:
            if os.waitpid(child, os.WNOHANG)[0]:
                sys.exit("the run ended before it could be killed")
            time.sleep(0.01)
        time.sleep(chance.random() * 0.06)  # anywhere in a step, or in the writing of a checkpoint
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed_at.append(_done(folder))
    _, status = os.waitpid(_start(folder, config), 0)
    print(json.dumps(killed_at))
    sys.exit(os.waitstatus_to_exitcode(status))


def _start(folder: Path, config) -> int:
    child = os.fork()
    if child:
        return child
    try:
        train(config, folder, resume=True)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)
    os._exit(0)


def _done(folder: Path) -> int:
    return max((line["iteration"] for line in read_metrics(folder)), default=0)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
