"""CM-CLIP: a second opinion on saved detections from an image-text encoder (RISF, CVIU 2024)."""

from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.fusion_file import check_fusion, conditions_of, read_fusion
from risf_core.rescore.inputs import RescoreInputs, read_inputs
from risf_core.rescore.pipeline import RescoreCounts, RescoreResult, rescore
from risf_core.rescore.prototypes import Prototypes, make_prototypes
from risf_core.rescore.run import RescoredFile, rescore_file
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.support import SupportChoice

__all__ = [
    "FittedFusion",
    "Prototypes",
    "RescoreCounts",
    "RescoreInputs",
    "RescoreResult",
    "RescoreSettings",
    "RescoredFile",
    "SupportChoice",
    "check_fusion",
    "conditions_of",
    "make_prototypes",
    "read_fusion",
    "read_inputs",
    "rescore",
    "rescore_file",
]
