"""The clock of the benchmarks that may run on a GPU."""

from __future__ import annotations

import time

import torch


def clock(device: str) -> float:
    """Seconds, once the device has done all that it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter()
