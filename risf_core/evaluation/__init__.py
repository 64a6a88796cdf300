"""AP of detections against ground truth."""

from risf_core.datasets.reading import read_ground_truth
from risf_core.evaluation.aggregate import Aggregate, Spread, aggregate
from risf_core.evaluation.compare import Bootstrapped, Intervals, bootstrap
from risf_core.evaluation.inputs import read_detections_for
from risf_core.evaluation.metrics import UNDEFINED, Metrics, differences
from risf_core.evaluation.protocols import evaluate, match
from risf_core.evaluation.results import EvaluatedFile
from risf_core.evaluation.run import Evaluation, EvaluationSettings, evaluate_files

__all__ = [
    "UNDEFINED",
    "Aggregate",
    "Bootstrapped",
    "EvaluatedFile",
    "Evaluation",
    "EvaluationSettings",
    "Intervals",
    "Metrics",
    "Spread",
    "aggregate",
    "bootstrap",
    "differences",
    "evaluate",
    "evaluate_files",
    "match",
    "read_detections_for",
    "read_ground_truth",
]
