"""A small data set of coloured shapes that the small variant learns in a minute on a CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from risf_core.files import write_json
from tests.drawn_shapes import CLASSES, draw_shape

SIZE = (96, 128)  # height, width
BASE = ("red disc", "green square", "blue triangle", "yellow disc")
NOVEL = ("blue square", "red triangle")
NAMES = (*BASE, *NOVEL)


def write_shapes(folder: Path, *, name: str, photos: int, seed: int, first_id: int = 1) -> Path:
    """Write `NAME.json` and its photos, one or two shapes in each; returns the JSON's path."""
    generator = np.random.default_rng(seed)
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for image_id in range(first_id, first_id + photos):
        pixels = generator.integers(110, 140, (*SIZE, 3), dtype=np.uint8)
        image = Image.fromarray(pixels)
        for half in generator.permutation(2)[: generator.integers(1, 3)].tolist():
            side = float(generator.uniform(36, 58))
            x, y = half * 64 + generator.uniform(0, 63 - side), generator.uniform(0, 95 - side)
            label = int(generator.integers(len(NAMES)))
            draw_shape(image, (x, y, side, side), CLASSES.index(NAMES[label]), generator)
            box = [round(float(value), 2) for value in (x, y, side, side)]
            annotations.append(
                {"id": 0, "image_id": image_id, "category_id": label + 1,
                 "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            )  # fmt: skip
        image.save(folder / "photos" / f"{image_id:06d}.png")
        images.append({"id": image_id, "file_name": f"{image_id:06d}.png", "height": SIZE[0], "width": SIZE[1]})
    categories = [{"id": label + 1, "name": each} for label, each in enumerate(NAMES)]
    for number, row in enumerate(annotations):
        row["id"] = 100_000 * seed + number + 1
    path = folder / f"{name}.json"
    write_json(path, {"images": images, "annotations": annotations, "categories": categories}, indent=None)
    return path
