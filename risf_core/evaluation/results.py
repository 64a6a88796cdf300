"""The results of an evaluation as JSON, and as CSV with one row per class."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.evaluation.aggregate import Aggregate
from risf_core.evaluation.compare import Bootstrapped
from risf_core.evaluation.error_analysis import ErrorAnalysis
from risf_core.evaluation.metrics import UNDEFINED, Metrics, differences
from risf_core.files import atomic_writer


@dataclass(frozen=True)
class EvaluatedFile:
    """The metrics of one detections file."""

    name: str
    rows: int  # detections that were evaluated
    metrics: Metrics
    bootstrapped: Bootstrapped | None = None
    recognised: str = ""  # its form, and how photos and classes were matched
    errors: ErrorAnalysis | None = None  # what costs it AP, where that was asked for


def comparison_json(files: Sequence[EvaluatedFile], ground_truth: AnnotatedDataset) -> dict[str, Any]:  # Any: JSON
    """What `risf evaluate --json` prints of files: each with its metrics, and its differences to the first."""
    vocabulary = ground_truth.vocabulary
    return {
        "images": len(ground_truth.images),
        "boxes": int(ground_truth.boxes_per_class().sum()),
        "novel": [name for name in vocabulary.names if name in vocabulary.novel],
        "results": [_file_json(file, files[0] if number else None) for number, file in enumerate(files)],
    }


def write_class_csv(path: Path, files: Sequence[EvaluatedFile], ground_truth: AnnotatedDataset) -> None:
    """Write one row for each file and class: its figures in 0..1, empty where there is nothing to measure against."""
    names = list(files[0].metrics.overall)
    rows = (
        [file.name, *about, *(_number(file.metrics.per_class[about[0]][name]) for name in names)]
        for file in files
        for about in _classes(ground_truth)
    )
    _write_csv(path, ["detections", *_CLASS_COLUMNS, *names], rows)


def write_aggregate_csv(path: Path, runs: Aggregate, ground_truth: AnnotatedDataset) -> None:
    """Write one row for each class: mean and 95 % interval of its figures over the runs, in 0..1."""
    names = list(runs.overall)
    rows = (
        [
            *about,
            runs.runs,
            *(_number(value) for name in names for value in _mean_and_interval(runs, str(about[0]), name)),
        ]
        for about in _classes(ground_truth)
    )
    heads = [f"{name}_{part}" for name in names for part in ("mean", "interval")]
    _write_csv(path, [*_CLASS_COLUMNS, "runs", *heads], rows)


_CLASS_COLUMNS = ("class", "category_id", "group", "boxes")


def _file_json(file: EvaluatedFile, first: EvaluatedFile | None) -> dict[str, Any]:
    content = {"detections": file.name, "rows": file.rows, **file.metrics.to_json()}
    if file.errors is not None:
        content["errors"] = file.errors.to_json()
    if file.bootstrapped is not None:
        content["intervals"] = file.bootstrapped.own.to_json()
    if first is not None:
        content["difference"] = differences(file.metrics.flat(), first.metrics.flat())
    if file.bootstrapped is not None and file.bootstrapped.difference is not None:
        content["difference_intervals"] = file.bootstrapped.difference.to_json()
    return content


def _classes(ground_truth: AnnotatedDataset) -> Iterator[tuple[str, int, str, int]]:
    """Name, category id, group and number of boxes of each class."""
    vocabulary = ground_truth.vocabulary
    columns = zip(
        vocabulary.names,
        vocabulary.names,
        vocabulary.category_ids,
        ground_truth.boxes_per_class(),
        strict=True,
    )
    for name, own_name, category_id, boxes in columns:
        group = "all" if not vocabulary.novel else "novel" if own_name in vocabulary.novel else "base"
        yield name, category_id, group, int(boxes)


def _mean_and_interval(runs: Aggregate, name: str, figure: str) -> tuple[float, float | None]:
    spread = runs.per_class[name][figure]
    return spread.mean, spread.interval


def _number(value: float | None) -> str:
    return "" if value is None or value == UNDEFINED else repr(value)


def _write_csv(path: Path, heads: Sequence[str], rows: Iterator[Sequence[object]]) -> None:
    with atomic_writer(path) as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(heads)
        writer.writerows(rows)
