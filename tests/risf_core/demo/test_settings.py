"""The demo's sizes: how long they take."""

from __future__ import annotations

import pytest

from risf_core.demo.settings import FULL, QUICK


def test_the_time_follows_the_machine_the_seeds_and_the_size() -> None:
    # timed on two cores that draw a scene in 0.03 s: a minute or two
    assert 60 < QUICK.seconds(seeds=1, per_scene=0.03) < 150
    assert QUICK.seconds(seeds=1, per_scene=0.06) == pytest.approx(2 * QUICK.seconds(seeds=1, per_scene=0.03))
    assert QUICK.seconds(seeds=1, per_scene=0.03) < FULL.seconds(seeds=1, per_scene=0.03)
    assert QUICK.seconds(seeds=1, per_scene=0.03) < QUICK.seconds(seeds=5, per_scene=0.03)
