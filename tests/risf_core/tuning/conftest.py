"""Made rows of a detector and an encoder whose knowledge is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from risf_core.rescore.evidence import Evidence
from risf_core.tuning.labels import LabelledRows


@pytest.fixture
def made_rows() -> Callable[..., LabelledRows]:
    """Rows of a detector whose log-odds have some noise, and of an encoder that knows as much as it is told to."""

    def make(
        count: int = 2000, *, images: int = 20, knows: float = 1.0, noise: float = 2.0, seed: int = 0, **changes
    ) -> LabelledRows:
        rng = np.random.default_rng(seed)
        right = (rng.random(count) < 0.3).astype(float)
        scores = 1 / (1 + np.exp(-(2 * right - 1 + rng.normal(0, noise, count))))
        probability = 1 / (1 + np.exp(-(knows * (6 * right - 3) + rng.normal(0, 2, count))))
        evidence = Evidence.unknown(count)
        asked = scores > 0.05
        evidence.probability[asked] = probability[asked]
        evidence.rank[asked] = np.round(20 * (1 - probability[asked]))
        rows = LabelledRows(
            scores=scores,
            evidence=evidence,
            boxes_xywh=np.column_stack([np.zeros((count, 2)), rng.uniform(5, 200, (count, 2))]),
            novel=np.zeros(count, dtype=bool),
            rescored_class=np.ones(count, dtype=bool),
            images=rng.integers(images, size=count),
            right=right,
            judged=np.ones(count, dtype=bool),
        )
        return LabelledRows(**{**vars(rows), **changes})

    return make
