"""Fitting a fusion to labelled images, so that re-scoring is never worse than the detector alone."""

from risf_core.tuning.sources import Labels, fusion_content, read_labels
from risf_core.tuning.tune import Tuned, tune

__all__ = ["Labels", "Tuned", "fusion_content", "read_labels", "tune"]
