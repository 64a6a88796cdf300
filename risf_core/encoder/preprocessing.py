"""Preprocessing: from a photo's boxes to what a model is fed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from risf_core.choices import Precision
from risf_core.encoder.crops import cut_crops
from risf_core.encoder.protocol import ImageCrops
from risf_core.images import decode_rgb

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Preprocessing:
    """How a crop becomes the model's input; taken from the model, except for `crop`."""

    side: int  # pixels
    mean: tuple[float, float, float]  # of RGB in 0..1
    std: tuple[float, float, float]
    interpolation: str  # bicubic | bilinear, with antialiasing
    crop: str  # squash | pad | context | released

    def cut(self, job: ImageCrops) -> NDArray[np.uint8]:
        """The crops (n, 3, side, side) of a photo, RGB."""
        red, green, blue = (round(255 * value) for value in self.mean)
        return cut_crops(
            decode_rgb(job.photo.path, job.photo.size),
            job.boxes,
            side=self.side,
            rule=self.crop,  # type: ignore[arg-type]  # a CropRule where it is not "released"
            fill=(red, green, blue),
            resampling=self.interpolation,  # type: ignore[arg-type]  # checked where it was read
        )

    def model_input(self, crops: torch.Tensor, *, batch_size: int, device: str, precision: Precision) -> torch.Tensor:
        """Normalised crops on the device, (`batch_size`, 3, side, side), of uint8 ones (n, 3, side, side); rest zeros.

        All batches have one shape: a crop's embedding is then the same in any company.
        """
        crops = functional.pad(crops, (0, 0) * 3 + (0, batch_size - len(crops)))
        mean = torch.tensor(self.mean, device=device).view(3, 1, 1)
        std = torch.tensor(self.std, device=device).view(3, 1, 1)
        pixels = (on_device(crops, device).float().div_(255) - mean).div_(std)
        return pixels.to(DTYPES[precision], memory_format=torch.channels_last)


def on_device(crops: torch.Tensor, device: str) -> torch.Tensor:
    """Crops on the model's device; a GPU copies them while it works."""
    if device.startswith("cuda"):
        crops = crops.pin_memory()
    return crops.to(device, non_blocking=True)
