"""From a record to what the network trains on: the photo at a drawn size, mirrored or not, with its boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from risf_core.boxes import clip_boxes, has_area
from risf_core.config import DataConfig
from risf_core.detector.inputs import network_pixels, resized_size
from risf_core.detector.matching import Target
from risf_core.images import decode_rgb, upright_size
from risf_core.records import ImageRecord


@dataclass(frozen=True)
class Example:
    """One image as the network sees it, and its true boxes there."""

    pixels: Tensor  # (3, H, W) uint8 BGR
    target: Target
    path: Path
    place: int  # in the endless order

    def pin_memory(self) -> Example:
        """The same in memory that a GPU copies from at once."""
        target = Target(self.target.boxes.pin_memory(), self.target.labels.pin_memory())
        return Example(self.pixels.pin_memory(), target, self.path, self.place)


def make_example(record: ImageRecord, data: DataConfig, *, place: int, generator: np.random.Generator) -> Example:
    """The example of a record: short side drawn from `data.short_sides`, mirrored as often as `data.flip` says.

    Boxes are clipped to the image; those outside of it are dropped. Raises ImageError as `decode_rgb` does.
    """
    short_side = data.short_sides[int(generator.integers(len(data.short_sides)))]
    mirrored = generator.random() < data.flip
    stated = None if record.height is None or record.width is None else (record.height, record.width)
    rgb = decode_rgb(record.path, stated)
    height, width = rgb.shape[:2]
    size = resized_size((height, width), short_side=short_side, long_side=data.long_side)
    pixels = network_pixels(rgb, size)
    boxes = clip_boxes(record.boxes, (height, width))  # (M, 4)
    kept = has_area(boxes)
    boxes = boxes[kept] * np.array([size[1] / width, size[0] / height] * 2)
    if mirrored:
        pixels = pixels.flip(2)
        boxes = np.stack([size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]], axis=1)
    target = Target(torch.from_numpy(boxes.astype(np.float32)), torch.from_numpy(record.labels[kept]))
    return Example(pixels, target, record.path, place)


def is_portrait(record: ImageRecord) -> bool:
    """Whether the image is higher than wide; read from the file where the dataset does not say."""
    if record.height is None or record.width is None:
        height, width = upright_size(record.path)
        return height > width
    return record.height > record.width
