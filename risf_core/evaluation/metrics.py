"""Metrics: the figures of one evaluation, over all classes, of each class and of groups of classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Group
from risf_core.vocabulary import ClassVocabulary

UNDEFINED = -1.0  # pycocotools' value where there is no ground truth to measure against

GROUP_PREFIXES: Mapping[Group, str] = {"base": "b", "novel": "n"}  # as few-shot papers write them: bAP, nAP


@dataclass(frozen=True)
class Metrics:
    """Figures in 0..1, or -1 where there is no ground truth to measure against (of that class, group or size)."""

    overall: Mapping[str, float]  # "AP", "AP50" ... -> value
    per_class: Mapping[str, Mapping[str, float]]  # class name -> the same figures of it alone
    groups: Mapping[Group, Mapping[str, float]] = field(default_factory=dict)  # "base", "novel" -> the same figures
    protocol: str = "coco"
    evaluator: str = ""  # the library that made them

    def flat(self) -> dict[str, float]:
        """The overall figures, then those of the groups under their prefixes: AP ... bAP ... nAP ..."""
        named = dict(self.overall)
        for group, figures in self.groups.items():
            named |= {f"{GROUP_PREFIXES[group]}{name}": value for name, value in figures.items()}
        return named

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf evaluate --json` prints of one detections file."""
        return {
            "protocol": self.protocol,
            "evaluator": self.evaluator,
            "metrics": self.flat(),
            "per_class": {name: dict(figures) for name, figures in self.per_class.items()},
        }


def group_labels(vocabulary: ClassVocabulary) -> dict[Group, NDArray[np.int64]]:
    """The labels of the base and of the novel classes; nothing where no class is novel."""
    groups: list[Group] = ["base", "novel"] if vocabulary.novel else []
    return {group: vocabulary.labels(group) for group in groups}


def labels_by_group(vocabulary: ClassVocabulary) -> dict[str, NDArray[np.int64]]:
    """The labels of all classes under "", and those of base and novel classes under their prefixes where some are."""
    groups = {GROUP_PREFIXES[group]: labels for group, labels in group_labels(vocabulary).items()}
    return {"": vocabulary.labels()} | groups


def class_means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean (B,) of what is defined of each row (B, K), 0 where nothing is."""
    defined = ~np.isnan(values)
    return np.asarray(np.where(defined, values, 0.0).sum(axis=1) / np.maximum(defined.sum(axis=1), 1))


def differences(figures: Mapping[str, float], first: Mapping[str, float]) -> dict[str, float | None]:
    """Each figure minus the first's; None where either of the two is undefined."""
    return {
        name: None if UNDEFINED in (value, first[name]) else value - first[name]
        for name, value in figures.items()
        if name in first
    }
