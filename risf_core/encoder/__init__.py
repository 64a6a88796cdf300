"""What an encoder says of a crop or a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from risf_core.choices import DEFAULT_CLIP
from risf_core.encoder.choice import EncoderChoice
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.encoder.weights import EncoderSource, find_encoder

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder

__all__ = [
    "DEFAULT_CLIP",
    "CropEncoder",
    "EncoderChoice",
    "EncoderSource",
    "ImageCrops",
    "OpenClipEncoder",
    "find_encoder",
]


def __getattr__(name: str) -> Any:  # Any: whatever the name stands for
    """OpenClipEncoder on first use: it alone needs torch and open_clip."""
    if name == "OpenClipEncoder":
        from risf_core.encoder.open_clip import OpenClipEncoder

        return OpenClipEncoder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
