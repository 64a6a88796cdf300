"""Made scenes with coloured rectangles on noise, for tests that train or run the small variant."""

from __future__ import annotations

import numpy as np
import torch

from risf_core.detector.matching import Target

SIZE = (128, 160)  # height, width
COLOURS = ((230, 30, 30), (30, 30, 230))  # BGR, one a class


def scene(random: np.random.Generator) -> tuple[torch.Tensor, Target]:
    """An image (3, 128, 160) uint8 BGR with one or two rectangles that do not overlap, and where they are."""
    image = random.integers(100, 150, (*SIZE, 3)).astype(np.uint8)
    boxes: list[list[int]] = []
    labels = []
    for half in random.permutation(2)[: random.integers(1, 3)]:
        width, height = random.integers(40, 70, 2)
        x = half * 80 + random.integers(0, 80 - width + 1)
        y = random.integers(0, SIZE[0] - height)
        label = int(random.integers(0, 2))
        image[y : y + height, x : x + width] = COLOURS[label]
        boxes.append([x, y, x + width, y + height])
        labels.append(label)
    pixels = torch.from_numpy(image.transpose(2, 0, 1).copy())
    return pixels, Target(torch.tensor(boxes, dtype=torch.float32), torch.tensor(labels))
