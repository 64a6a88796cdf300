"""What an encoder says of a crop or a text."""

from risf_core.encoder.choice import EncoderChoice
from risf_core.encoder.protocol import CropEncoder, ImageCrops

__all__ = ["CropEncoder", "EncoderChoice", "ImageCrops"]
