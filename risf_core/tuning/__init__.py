"""Fitting a fusion to labelled images, so that re-scoring helps where it can and else keeps to the detector."""

from risf_core.tuning.run import TunedFile, TuneSettings, tune_file
from risf_core.tuning.texts import TextChoices
from risf_core.tuning.tune import Tuned

__all__ = ["TextChoices", "TuneSettings", "Tuned", "TunedFile", "tune_file"]
