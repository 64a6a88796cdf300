"""What the meter reports: means since the last report, and whose time it was."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from risf_core.processes import Processes
from risf_core.training import meter
from risf_core.training.meter import Meter


def test_a_pause_takes_no_time_and_no_losses(monkeypatch) -> None:
    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(meter, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    count = Meter(10, device=torch.device("cpu"), processes=Processes())
    for losses in ([1.0, 2.0, 3.0, 4.0], [3.0, 2.0, 1.0, 0.0]):
        with count.loading():
            clock.now += 0.5
        clock.now += 1.5
        count.add(torch.tensor(losses))
        with count.paused():
            clock.now += 60
    progress = count.report(2, 0.01)
    assert list(progress.losses.values()) == [2.0, 2.0, 2.0, 2.0]
    assert progress.loss == 8
    assert progress.seconds_per_iteration == pytest.approx(2)
    assert progress.loading_share == pytest.approx(0.25)
    clock.now += 4
    count.add(torch.ones(4))
    following = count.report(3, 0.01)
    assert (following.loss, following.seconds_per_iteration, following.loading_share) == (4, 4, 0)
