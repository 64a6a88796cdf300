"""CM-CLIP: a second opinion on saved detections from an image-text encoder (RISF, CVIU 2024)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from risf_core.rescore.crop_encoder import CropEncoder, ImageCrops
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.fusion_file import check_fusion, conditions_of, read_fusion
from risf_core.rescore.inputs import RescoreInputs, read_inputs
from risf_core.rescore.pipeline import RescoreCounts, RescoreResult, rescore
from risf_core.rescore.prototypes import Prototypes, make_prototypes
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.weights import DEFAULT_CLIP, EncoderSource, find_encoder

if TYPE_CHECKING:
    from risf_core.rescore.encoder import OpenClipEncoder

__all__ = [
    "DEFAULT_CLIP",
    "CropEncoder",
    "EncoderSource",
    "FittedFusion",
    "ImageCrops",
    "OpenClipEncoder",
    "Prototypes",
    "RescoreCounts",
    "RescoreInputs",
    "RescoreResult",
    "RescoreSettings",
    "check_fusion",
    "conditions_of",
    "find_encoder",
    "make_prototypes",
    "read_fusion",
    "read_inputs",
    "rescore",
]


def __getattr__(name: str) -> Any:  # Any: whatever the name stands for
    """OpenClipEncoder on first use: it alone needs torch and open_clip."""
    if name == "OpenClipEncoder":
        from risf_core.rescore.encoder import OpenClipEncoder

        return OpenClipEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
