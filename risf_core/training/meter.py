"""What a run reports as it goes: losses, speed and the time it waits for images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from risf_core.processes import Processes
from risf_core.training.distributed import mean_over_processes
from risf_core.training.examples import Example
from risf_core.training.stepping import LOSS_NAMES


@dataclass(frozen=True)
class RunStatus:
    """Where a run is after an iteration, with means over the iterations since the last report."""

    iteration: int
    iterations: int
    losses: dict[str, float]  # by part, in the order of LOSS_NAMES
    learning_rate: float
    seconds_per_iteration: float
    loading_share: float  # of the time, 0..1: waiting for images
    memory_bytes: int | None  # the most that the GPU held; None on a CPU

    @property
    def loss(self) -> float:
        """The sum of the parts."""
        return sum(self.losses.values())

    def figures(self) -> dict[str, float]:
        """What a line of the metrics holds."""
        figures = {
            "loss": self.loss,
            **self.losses,
            "learning_rate": self.learning_rate,
            "iterations_per_second": 1 / self.seconds_per_iteration,
            "loading_share": self.loading_share,
        }
        return figures if self.memory_bytes is None else {**figures, "memory_bytes": self.memory_bytes}


class Meter:
    """Losses and time since the last report."""

    def __init__(self, iterations: int, *, device: torch.device, processes: Processes) -> None:
        self._iterations = iterations
        self._device = device
        self._processes = processes
        self._total = torch.zeros(len(LOSS_NAMES), device=device)
        self._count = 0
        self.waited = 0.0  # seconds since the last report
        self._start = time.perf_counter()

    def loading(self) -> _Waiting:
        """Time within the block is waiting for images."""
        return _Waiting(self)

    def timed(self, groups: Iterator[list[Example]]) -> Iterator[list[Example]]:
        """The groups, the time until each comes counted as waiting."""
        while True:
            with self.loading():
                group = next(groups, None)
            if group is None:
                return
            yield group

    def add(self, losses: Tensor) -> None:
        """Count an iteration."""
        self._total += losses
        self._count += 1

    def wait(self, seconds: float) -> None:
        """Count time that was spent waiting for images."""
        self.waited += seconds

    def report(self, iteration: int, rate: float) -> RunStatus:
        """The means since the last report, which start again."""
        mean = mean_over_processes(self._total / max(self._count, 1), self._processes).tolist()  # waits for the device
        seconds = time.perf_counter() - self._start
        status = RunStatus(
            iteration=iteration,
            iterations=self._iterations,
            losses=dict(zip(LOSS_NAMES, mean, strict=True)),
            learning_rate=rate,
            seconds_per_iteration=seconds / max(self._count, 1),
            loading_share=self.waited / seconds if seconds else 0.0,
            memory_bytes=torch.cuda.max_memory_allocated(self._device) if self._device.type == "cuda" else None,
        )
        self._total = torch.zeros_like(self._total)
        self._count, self.waited, self._start = 0, 0.0, time.perf_counter()
        return status

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Time within the block does not count as training; losses and iterations that were counted stay."""
        begin = time.perf_counter()
        yield
        self._start += time.perf_counter() - begin


class _Waiting:
    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self._meter.wait(time.perf_counter() - self._start)
