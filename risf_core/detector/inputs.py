"""From photos to a batch of the network, and from its boxes back to the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from risf_core.detector.architecture import InputSettings
from risf_core.detector.model import ImageBatch
from risf_core.detector.roi_heads import ImageDetections


def resized_size(size: tuple[int, int], *, short_side: int, long_side: int) -> tuple[int, int]:
    """(height, width) with the short side as asked, or smaller where the long side would pass its bound.

    >>> resized_size((480, 640), short_side=800, long_side=1333)
    (800, 1067)
    """
    scale = short_side / min(size)
    height, width = size[0] * scale, size[1] * scale
    if max(height, width) > long_side:
        shrink = long_side / max(height, width)
        height, width = height * shrink, width * shrink
    return max(int(height + 0.5), 1), max(int(width + 0.5), 1)


def network_pixels(rgb: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """A photo (H, W, 3) RGB resized to (height, width), as BGR pixels (3, height, width) uint8.

    The resize is PIL's bilinear one, antialiased and on whole numbers, as in detectron2.
    """
    from PIL import Image

    height, width = size
    photo = Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.ascontiguousarray(np.asarray(photo)[:, :, ::-1].transpose(2, 0, 1)))


def batch_of(images: Sequence[Tensor], inputs: InputSettings, *, device: torch.device | str = "cpu") -> ImageBatch:
    """The batch of images (3, H, W) uint8 BGR: in the network's colours, then padded with 0 right and below."""
    mean, std = (
        torch.tensor(each, dtype=torch.float32, device=device).reshape(3, 1, 1) for each in (inputs.mean, inputs.std)
    )
    flipped = [0] if inputs.order == "rgb" else []  # the axis of the channels
    height, width = max(image.shape[1] for image in images), max(image.shape[2] for image in images)
    sizes = [(image.shape[1], image.shape[2]) for image in images]
    padded = [
        functional.pad((image.to(device).flip(flipped).float() - mean) / std, (0, width - w, 0, height - h))
        for image, (h, w) in zip(images, sizes, strict=True)
    ]
    return ImageBatch(torch.stack(padded), sizes)


def in_photo(found: ImageDetections, *, size: tuple[int, int], photo_size: tuple[int, int]) -> ImageDetections:
    """Detections of an image resized to `size`, in the pixels of the photo; boxes that become empty are left out."""
    (height, width), (photo_height, photo_width) = size, photo_size
    scale = found.boxes.new_tensor([photo_width / width, photo_height / height] * 2)
    bound = found.boxes.new_tensor([photo_width, photo_height] * 2)
    boxes = torch.minimum((found.boxes * scale).clamp(min=0), bound)
    kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return ImageDetections(boxes[kept], found.scores[kept], found.labels[kept])
