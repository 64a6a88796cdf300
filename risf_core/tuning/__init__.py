"""Fitting a fusion to labelled images, so that re-scoring helps where it can and else keeps to the detector."""

from risf_core.tuning.run import TunedFile, TuneSettings, tune_file
from risf_core.tuning.sources import Labels, fusion_content, read_labels
from risf_core.tuning.tune import Tuned, tune

__all__ = ["Labels", "TuneSettings", "Tuned", "TunedFile", "fusion_content", "read_labels", "tune", "tune_file"]
