"""The whole job of `risf evaluate`: detections files in, their metrics side by side out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from risf_core.choices import DEFAULT_BOOTSTRAP, EvaluatorName, Protocol
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.reading import read_ground_truth
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation.aggregate import Aggregate, aggregate
from risf_core.evaluation.coco import COCO_MAX_DETECTIONS, checked_caps
from risf_core.evaluation.compare import LEVEL, bootstrap
from risf_core.evaluation.error_analysis import ErrorAnalysis
from risf_core.evaluation.errors import analyse_errors
from risf_core.evaluation.inputs import read_detections_for
from risf_core.evaluation.plausible import require_boxes, warn_if_hardly_right
from risf_core.evaluation.protocols import evaluate, match
from risf_core.evaluation.results import EvaluatedFile, comparison_json, write_aggregate_csv, write_class_csv
from risf_core.files import STANDARD_STREAM, display_name, write_json
from risf_core.formats.conventions import Conventions
from risf_core.outputs import check_outputs
from risf_core.progress import Progress


@dataclass(frozen=True)
class EvaluationSettings:
    """How files are evaluated. Raises ConfigError where settings exclude each other."""

    protocol: Protocol = "coco"
    max_dets: Sequence[int] | None = None  # the caps on detections of an image and class; None: COCO's 1, 10, 100
    bootstrap: int | None = None  # resamples of the images; None: 1000 where files are compared, else 0
    seed: int = 0  # of the resamples
    aggregate: bool = False  # the files are runs of one setting
    evaluator: EvaluatorName = "ultrafast"
    errors: bool = False  # analyse what costs AP, and what other scores could reach

    def __post_init__(self) -> None:
        if self.aggregate and self.bootstrap:
            raise ConfigError("`aggregate` is about runs and `bootstrap` about images; choose one")
        if self.protocol == "voc" and self.max_dets is not None:
            raise ConfigError("`max_dets` is COCO's; the voc protocol counts all detections")
        if self.errors and (self.protocol == "voc" or self.aggregate):
            raise ConfigError("`errors` are analysed by COCO's protocol, one file at a time; leave `errors` out")

    @property
    def caps(self) -> list[int]:
        """The caps ascending; a single one is the last of COCO's 1, 10, 100."""
        caps = checked_caps(self.max_dets or COCO_MAX_DETECTIONS)
        return caps if len(caps) > 1 else [*(cap for cap in (1, 10) if cap < caps[0]), *caps]

    def resamples(self, files: int) -> int:
        """How many resamples the intervals of N files are from."""
        if self.bootstrap is not None:
            return self.bootstrap
        return DEFAULT_BOOTSTRAP if files > 1 and not self.aggregate else 0


@dataclass(frozen=True)
class Evaluation:
    """The metrics of some files against one ground truth."""

    annotations: Path
    settings: EvaluationSettings
    truth: AnnotatedDataset
    files: Sequence[EvaluatedFile]
    runs: Aggregate | None  # the files as runs of one setting, where they are

    @property
    def resamples(self) -> int:
        """How many resamples the intervals are from; 0: there are none."""
        return self.settings.resamples(len(self.files))

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf evaluate --json` prints."""
        content: dict[str, Any] = {"annotations": str(self.annotations)}
        if self.settings.protocol == "coco":
            content["max_dets"] = self.settings.caps
        if self.resamples:
            content["bootstrap"] = {"resamples": self.resamples, "seed": self.settings.seed, "level": LEVEL}
        content["recognised"] = [file.recognised for file in self.files]
        content |= comparison_json(self.files, self.truth)
        if self.runs is not None:
            content["aggregate"] = self.runs.to_json()
        return content


def evaluate_files(
    detections: Sequence[Path | str],
    *,
    annotations: Path,
    novel: str | None = None,
    settings: EvaluationSettings | None = None,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "drop"] = "error",
    out: Path | None = None,
    csv: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """The metrics of detections files of any form (``-``: stdin), the others compared with the first.

    Args:
        annotations: COCO JSON, VOC folder, YOLO data.yaml or the root of an export, as `read_ground_truth` reads them.
        novel: the novel classes, as `ClassVocabulary.with_novel_choice` reads them.
        out: a file for what `to_json` gives; a stream is passed over.
        csv: a file for the figures of each class.
    """
    settings = settings or EvaluationSettings()
    records = [f"{file}.record.json" for file in detections]
    check_outputs({"out": out, "csv": csv}, inputs=[*detections, *records, annotations, novel])
    truth = read_ground_truth(annotations)
    require_boxes(truth, protocol=settings.protocol, name=display_name(annotations))
    truth = truth.with_vocabulary(truth.vocabulary.with_novel_choice(novel))
    tables, files = [], []
    resamples = settings.resamples(len(detections))
    for file in detections:
        read = read_detections_for(file, truth, conventions=conventions, on_unmatched=on_unmatched)
        table = read.detections
        metrics = evaluate(
            table,
            truth,
            protocol=settings.protocol,
            max_detections=settings.caps,
            evaluator=settings.evaluator,
        )
        warn_if_hardly_right(metrics, table, truth, name=display_name(file))
        evaluated = EvaluatedFile(display_name(file), len(table), metrics, recognised=read.outcome)
        if settings.errors:
            evaluated = replace(evaluated, errors=_errors(table, truth, settings, resamples=resamples))
        files.append(evaluated)
        if resamples:
            tables.append(table)
    if tables:
        files = _with_intervals(files, tables, truth, settings, progress)
    runs = aggregate([file.metrics for file in files]) if settings.aggregate else None
    evaluation = Evaluation(annotations, settings, truth, files, runs)
    if csv is not None and runs is not None:
        write_aggregate_csv(csv, runs, truth)
    elif csv is not None:
        write_class_csv(csv, files, truth)
    if out is not None and str(out) != STANDARD_STREAM:
        write_json(out, evaluation.to_json())
    return evaluation


def _errors(
    table: Detections, truth: AnnotatedDataset, settings: EvaluationSettings, *, resamples: int
) -> ErrorAnalysis:
    return analyse_errors(
        table,
        truth,
        cap=settings.caps[-1],
        resamples=resamples,
        generator=np.random.default_rng(settings.seed),
    )


def _with_intervals(
    files: Sequence[EvaluatedFile],
    tables: Sequence[Detections],
    truth: AnnotatedDataset,
    settings: EvaluationSettings,
    progress: Progress | None,
) -> list[EvaluatedFile]:
    matches = [match(table, truth, protocol=settings.protocol, max_detections=settings.caps) for table in tables]
    intervals = bootstrap(
        matches,
        truth.vocabulary,
        resamples=settings.resamples(len(files)),
        generator=np.random.default_rng(settings.seed),
        progress=progress,
    )
    return [replace(file, bootstrapped=own) for file, own in zip(files, intervals, strict=True)]
