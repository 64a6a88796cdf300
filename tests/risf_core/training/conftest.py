"""Made scenes as a COCO data set, and a config of a small run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from risf_core.config import ConfigInForce, read_config
from tests.drawn_shapes import make_example

SMALL = (  # a run of the small variant on small images that a CPU does in no time
    "model.architecture=small", "data.short_sides=[96, 112]", "data.long_side=160", "data.workers=0",
    "solver.batch=2", "solver.scale_schedule=false", "solver.iterations=6", "solver.steps=[4]", "solver.device=cpu",
    "solver.log_every=1", "solver.checkpoint_every=2",
)  # fmt: skip


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `instances.json` and `photos/` of 24 scenes of 12 classes."""
    folder = tmp_path_factory.mktemp("scenes")
    make_example(folder, photos=24, generator=np.random.default_rng(3))
    return folder


@pytest.fixture
def small(scenes: Path):
    """Makes the config of a small base training on the scenes, other settings as ``section.key=value``."""

    def make(*overrides: str) -> ConfigInForce:
        data = [f"data.coco=[{scenes}/instances.json]", f"data.images=[{scenes}/photos]"]
        return read_config(overrides=[*SMALL, *data, *overrides])

    return make
