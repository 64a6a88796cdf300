"""AP of detections against ground truth."""

from risf_core.evaluation.compare import Bootstrapped, Intervals, bootstrap
from risf_core.evaluation.ground_truth import GroundTruth, read_ground_truth
from risf_core.evaluation.inputs import read_detections_for
from risf_core.evaluation.metrics import UNDEFINED, EvaluatedFile, Metrics, comparison_json, differences
from risf_core.evaluation.protocols import evaluate, match

__all__ = [
    "UNDEFINED",
    "Bootstrapped",
    "EvaluatedFile",
    "GroundTruth",
    "Intervals",
    "Metrics",
    "bootstrap",
    "comparison_json",
    "differences",
    "evaluate",
    "match",
    "read_detections_for",
    "read_ground_truth",
]
