"""Photos of noise for tests of commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZES = {5: (60, 80), 9: (90, 70)}  # image id -> height, width


def write_photos(folder: Path) -> list[dict[str, Any]]:
    """Write the photos of SIZES as JPEG, named by id as COCO does; returns their COCO image entries."""
    generator = np.random.default_rng(3)
    folder.mkdir()
    images = []
    for image_id, (height, width) in SIZES.items():
        name = f"{image_id:012d}.jpg"
        Image.fromarray(generator.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(folder / name)
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    return images
