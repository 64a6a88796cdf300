"""The demo's table, from figures stated by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from risf_core.demo.summary import WAYS, summary


def figures(novel: list[float], *, first: int = 0, reach: float | None = None) -> dict[str, Any]:
    """What `risf evaluate --out` says of files with these novel APs."""
    results = []
    for value in novel:
        change = value - novel[first]
        result: dict[str, Any] = {"metrics": {"nAP": value, "bAP": 0.5}, "difference": {"nAP": change}}
        if reach is not None:
            result["intervals"] = {"metrics": {name: [v - reach, v + reach] for name, v in result["metrics"].items()}}
            result["difference_intervals"] = {"metrics": {"nAP": [change - 0.01, change + 0.01]}}
        results.append(result)
    return {"results": results}


def test_one_seed_takes_the_intervals_of_the_bootstrap() -> None:
    rows = summary([(figures([0.10, 0.16, 0.12, 0.15], reach=0.02), figures([0.12, 0.15], reach=0.02))])
    assert [row.way for row in rows] == list(WAYS)
    assert [row.novel.value for row in rows] == [0.10, 0.16, 0.12, 0.15]
    assert [row.novel.reach for row in rows] == pytest.approx([0.02] * 4)
    changes = [row.change for row in rows]
    assert changes[0] is None
    # cross-entropy + CM-CLIP and BNRL against cross-entropy, BNRL + CM-CLIP against BNRL
    assert [change.value for change in changes if change] == pytest.approx([0.06, 0.02, 0.03])
    assert [change.reach for change in changes if change] == pytest.approx([0.01] * 3)


def test_several_seeds_give_means_and_paired_intervals() -> None:
    seeds = [([0.10, 0.16, 0.12, 0.15]), ([0.20, 0.24, 0.26, 0.25])]
    rows = summary([(figures(values), figures(values[2:])) for values in seeds])
    assert [row.novel.value for row in rows] == pytest.approx([0.15, 0.20, 0.19, 0.20])
    deviation = math.sqrt(2) * 0.05  # of 0.10 and 0.20: each 0.05 from the mean, n - 1 = 1
    assert rows[0].novel.reach == pytest.approx(1.96 * deviation / math.sqrt(2))
    changes = [row.change for row in rows if row.change]
    assert [change.value for change in changes] == pytest.approx([0.05, 0.04, 0.01])
    assert changes[1].reach == pytest.approx(1.96 * math.sqrt(2) * 0.02 / math.sqrt(2))  # of 0.02 and 0.06
