"""One process of a training that torchrun starts; run as a script: folders and their overrides, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

from risf_core.config import read_config
from risf_core.engines.train import train
from risf_core.training.loop import Hooks
from tests.risf_core.training.runs import first_ones

if __name__ == "__main__":
    torch.set_num_threads(1)
    for folder, overrides in json.loads(sys.argv[1]).items():
        train(read_config(overrides=overrides), Path(folder), hooks=Hooks(sampler_of=first_ones))
