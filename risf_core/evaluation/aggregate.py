"""Several runs of one setting as one: the mean of each figure with its 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from risf_core.errors import ConfigError
from risf_core.evaluation.metrics import UNDEFINED, Metrics


@dataclass(frozen=True)
class Spread:
    """A figure over n runs: mean +- interval."""

    mean: float
    deviation: float | None  # s, the sample's standard deviation (n - 1 in the denominator); None for a single run
    interval: float | None  # 1.96 s / sqrt(n)

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of values; -1 where one of them is undefined.

        >>> Spread.of([0.25, 0.25, 1.0, 1.0]).mean
        0.625
        """
        if UNDEFINED in values:
            return cls(UNDEFINED, None, None)
        mean = float(np.mean(values))
        if len(values) < 2:
            return cls(mean, None, None)
        deviation = float(np.std(values, ddof=1))
        return cls(mean, deviation, 1.96 * deviation / math.sqrt(len(values)))

    def to_json(self) -> dict[str, float | None]:
        """The three values by name."""
        return {"mean": self.mean, "deviation": self.deviation, "interval": self.interval}


@dataclass(frozen=True)
class Aggregate:
    """The figures of several runs, for example of seeds 0 to 9, under the names that `Metrics` gives them."""

    runs: int
    overall: Mapping[str, Spread]
    per_class: Mapping[str, Mapping[str, Spread]]
    groups: Mapping[str, Mapping[str, Spread]]  # "base", "novel"
    figures: Mapping[str, Spread]  # AP ... bAP ... nAP ...

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf evaluate --aggregate --json` prints."""
        return {
            "runs": self.runs,
            "metrics": {name: spread.to_json() for name, spread in self.figures.items()},
            "per_class": {
                name: {figure: spread.to_json() for figure, spread in own.items()}
                for name, own in self.per_class.items()
            },
        }


def aggregate(runs: Sequence[Metrics]) -> Aggregate:
    """The spread of every figure over runs that were evaluated alike. Raises ConfigError where there is no run."""
    if not runs:
        raise ConfigError("an aggregate needs at least one run")
    first = runs[0]
    return Aggregate(
        runs=len(runs),
        overall=_spreads([run.overall for run in runs]),
        per_class={name: _spreads([run.per_class[name] for run in runs]) for name in first.per_class},
        groups={group: _spreads([run.groups[group] for run in runs]) for group in first.groups},
        figures=_spreads([run.flat() for run in runs]),
    )


def _spreads(runs: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    return {name: Spread.of([run[name] for run in runs]) for name in runs[0]}
