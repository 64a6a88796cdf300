"""CM-CLIP: a second opinion on saved detections from an image-text encoder (RISF, CVIU 2024)."""

from risf_core.rescore.pipeline import RescoreCounts, RescoreResult, rescore
from risf_core.rescore.presets import with_preset
from risf_core.rescore.run import RescoredFile, rescore_file
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.support import SupportChoice

__all__ = [
    "RescoreCounts",
    "RescoreResult",
    "RescoreSettings",
    "RescoredFile",
    "SupportChoice",
    "rescore",
    "rescore_file",
    "with_preset",
]
