"""All that can be said of two detections files of the same images, as numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import DEFAULT_BOOTSTRAP, EvaluatorName
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation import EvaluatedFile, bootstrap, match
from risf_core.evaluation.coco import COCO_MAX_DETECTIONS, metrics_of
from risf_core.evaluation.coco_evaluators import accumulate
from risf_core.evaluation.errors import analyse_errors
from risf_core.evaluation.matches import Matches
from risf_core.evaluation.plausible import warn_if_hardly_right
from risf_core.evaluation.results import comparison_json
from risf_core.progress import Progress
from risf_core.report.calibration import Reliability, reliability
from risf_core.report.curves import PrecisionRecall, ScoreHistogram, score_histogram
from risf_core.report.pairing import RowPairs, pair_rows
from risf_core.report.verdicts import IGNORED, TRUE, Kept, kept_at, threshold_for, verdicts_of


@dataclass(frozen=True, eq=False)
class ComparedFile:
    """One of the two files: its rows, its figures, and what the charts show of it."""

    table: Detections
    evaluated: EvaluatedFile
    precision_recall: PrecisionRecall
    verdicts: NDArray[np.int8]  # (N,) TRUE, FALSE or IGNORED
    histogram: ScoreHistogram
    reliability: Reliability
    kept: Kept

    @property
    def name(self) -> str:
        """What messages call the file."""
        return self.evaluated.name


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two files against one ground truth."""

    truth: AnnotatedDataset
    before: ComparedFile
    after: ComparedFile
    pairs: RowPairs
    changed: tuple[Reliability, Reliability] | None  # of the rows whose score changed alone, before and after
    kept_as_many: Kept | None  # AFTER at the threshold that keeps as many detections as BEFORE's
    resamples: int

    @property
    def files(self) -> tuple[ComparedFile, ComparedFile]:
        """Both, BEFORE first."""
        return self.before, self.after

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """The figures of the page."""
        return {
            **comparison_json([file.evaluated for file in self.files], self.truth),
            "reliability": [file.reliability.to_json() for file in self.files],
            "reliability_of_changed": [one.to_json() for one in self.changed] if self.changed else None,
            "at_threshold": [file.kept.to_json() for file in self.files],
            "at_as_many_detections": self.kept_as_many.to_json() if self.kept_as_many else None,
            "rows": {
                "in_both": len(self.pairs),
                "only_before": len(self.pairs.only_before),
                "only_after": len(self.pairs.only_after),
            },
        }


def compare_files(
    before: Detections,
    after: Detections,
    truth: AnnotatedDataset,
    *,
    names: tuple[str, str],
    threshold: float = 0.5,
    resamples: int = DEFAULT_BOOTSTRAP,
    generator: np.random.Generator | None = None,
    evaluator: EvaluatorName = "ultrafast",
    progress: Progress | None = None,
) -> Comparison:
    """The comparison of two tables whose image ids and labels are the ground truth's.

    Args:
        threshold: the score from which on a detection counts as kept.
        resamples: of the paired bootstrap over images; 0 leaves the intervals out.
        generator: the source of the resamples; None: that of seed 0.
        progress: called with the number of resamples done and to do.

    Raises ConfigError where threshold or resamples are out of range.
    """
    if not 0 <= threshold <= 1:
        raise ConfigError(f"`threshold` must be in 0..1, got {threshold:g}")
    tables = (before, after)
    evaluated, curves, matches = [], [], []
    for name, table in zip(names, tables, strict=True):
        accumulated = accumulate(table, truth, max_detections=COCO_MAX_DETECTIONS, evaluator=evaluator)
        metrics = metrics_of(accumulated, truth.vocabulary, caps=COCO_MAX_DETECTIONS)
        warn_if_hardly_right(metrics, table, truth, name=name)
        errors = analyse_errors(table, truth, cap=COCO_MAX_DETECTIONS[-1])
        evaluated.append(EvaluatedFile(name, len(table), metrics, errors=errors))
        curves.append(PrecisionRecall.of(accumulated))
        matches.append(match(table, truth, max_detections=COCO_MAX_DETECTIONS))
    if resamples:
        generator = generator or np.random.default_rng(0)
        intervals = bootstrap(matches, truth.vocabulary, resamples=resamples, generator=generator, progress=progress)
        evaluated = [replace(file, bootstrapped=own) for file, own in zip(evaluated, intervals, strict=True)]
    boxes = int(truth.boxes_per_class().sum())
    first, second = (
        _compared(*parts, threshold=threshold, boxes=boxes)
        for parts in zip(tables, evaluated, curves, matches, strict=True)
    )
    pairs = pair_rows(before, after)
    as_many = threshold_for(first.kept.true + first.kept.false, after.scores, second.verdicts)
    return Comparison(
        truth=truth,
        before=first,
        after=second,
        pairs=pairs,
        changed=_changed(first, second, pairs),
        kept_as_many=None if as_many is None else kept_at(as_many, after.scores, second.verdicts, boxes=boxes),
        resamples=resamples,
    )


def _compared(
    table: Detections,
    evaluated: EvaluatedFile,
    curves: PrecisionRecall,
    matches: Matches,
    *,
    threshold: float,
    boxes: int,
) -> ComparedFile:
    verdicts = verdicts_of(matches, len(table))
    scores, correct = table.scores[verdicts != IGNORED], verdicts[verdicts != IGNORED] == TRUE
    return ComparedFile(
        table=table,
        evaluated=evaluated,
        precision_recall=curves,
        verdicts=verdicts,
        histogram=score_histogram(scores, correct),
        reliability=reliability(scores, correct),
        kept=kept_at(threshold, table.scores, verdicts, boxes=boxes),
    )


def _changed(before: ComparedFile, after: ComparedFile, pairs: RowPairs) -> tuple[Reliability, Reliability] | None:
    """Both reliabilities of the rows in both files whose score changed; None where all did, or none."""
    moved = before.table.scores[pairs.before] != after.table.scores[pairs.after]
    if not moved.any() or moved.sum() == len(before.table) == len(after.table):
        return None
    first, second = (
        _reliability_of(file, rows[moved]) for file, rows in ((before, pairs.before), (after, pairs.after))
    )
    return first, second


def _reliability_of(file: ComparedFile, rows: NDArray[np.int64]) -> Reliability:
    counting = rows[file.verdicts[rows] != IGNORED]
    return reliability(file.table.scores[counting], file.verdicts[counting] == TRUE)
