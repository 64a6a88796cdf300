"""Cutting boxes out of a photo, in the forms an image encoder can be fed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.ops import roi_align

from risf_core.boxes import clip_boxes
from risf_core.choices import CropRule

_CONTEXT = 0.10  # how far the context rule widens a box, on each side, as a share of its side

Resampling = Literal["bicubic", "bilinear"]
_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


def cut_crops(
    image: NDArray[np.uint8],
    boxes: NDArray[np.float64],
    *,
    side: int,
    rule: CropRule = "squash",
    fill: tuple[int, int, int] = (0, 0, 0),
    resampling: Resampling = "bicubic",
) -> NDArray[np.uint8]:
    """The boxes of a photo, each resized to a square with antialiasing, (N, 3, side, side) RGB.

    Args:
        image: (H, W, 3) RGB.
        boxes: (N, 4) corners inside the image, each with an area; fractions of a pixel count.
        rule: squash resizes box to square; pad fits the longer side and fills the rest, the box in the middle;
            context widens the box by 10 % a side (within the image), then squashes.
        fill: the colour of the padding.
    """
    photo = Image.fromarray(image)
    if rule == "context":
        boxes = clip_boxes(_widened(boxes), image.shape[:2])
    # in memory the channels come last, as Pillow has them and as encoders are fed
    crops: NDArray[np.uint8] = np.empty((len(boxes), side, side, 3), dtype=np.uint8).transpose(0, 3, 1, 2)
    for crop, box in zip(crops, boxes, strict=True):
        crop[:] = _square(photo, box, side, rule, fill, resampling).transpose(2, 0, 1)
    return crops


def cut_released_crops(image: NDArray[np.uint8], boxes: NDArray[np.float64], *, side: int) -> NDArray[np.float32]:
    """Crops (N, 3, side, side) as the authors' code makes them: BGR in 0..1, RoIAlign (aligned, sampling ratio 0)."""
    bgr = torch.from_numpy(np.ascontiguousarray(image[..., ::-1])).permute(2, 0, 1)[None].float() / 255
    rois = torch.from_numpy(boxes).float()
    crops = roi_align(bgr, [rois], output_size=side, spatial_scale=1.0, sampling_ratio=0, aligned=True)
    result: NDArray[np.float32] = crops.numpy()
    return result


def _widened(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    margin = (boxes[:, 2:] - boxes[:, :2]) * _CONTEXT  # (N, 2)
    return np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)


def _square(
    photo: Image.Image,
    box: NDArray[np.float64],
    side: int,
    rule: CropRule,
    fill: tuple[int, int, int],
    resampling: Resampling,
) -> NDArray[np.uint8]:
    x0, y0, x1, y1 = box.tolist()
    if rule != "pad":
        return np.asarray(photo.resize((side, side), _FILTERS[resampling], box=(x0, y0, x1, y1)))
    scale = side / max(x1 - x0, y1 - y0)
    width = max(1, round((x1 - x0) * scale))
    height = max(1, round((y1 - y0) * scale))
    canvas = Image.new("RGB", (side, side), fill)
    fitted = photo.resize((width, height), _FILTERS[resampling], box=(x0, y0, x1, y1))
    canvas.paste(fitted, ((side - width) // 2, (side - height) // 2))
    return np.asarray(canvas)
