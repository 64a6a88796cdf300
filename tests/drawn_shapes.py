"""Made photos of coloured shapes and their boxes, cheap to draw and easy to learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from risf_core.files import write_json

COLOURS = {"red": (200, 40, 40), "green": (40, 150, 60), "blue": (50, 70, 200), "yellow": (220, 200, 40)}
FORMS = ("disc", "square", "triangle")
CLASSES: tuple[str, ...] = tuple(f"{colour} {form}" for colour in COLOURS for form in FORMS)

_SIZE = (192, 256)  # height, width


@dataclass(frozen=True)
class Scene:
    """One made photo."""

    image: Image.Image
    boxes_xywh: NDArray[np.float64]  # (M, 4)
    labels: NDArray[np.int64]  # (M,) positions in CLASSES


def make_example(folder: Path, *, photos: int, generator: np.random.Generator) -> None:
    """Write `photos/` and `instances.json` of so many scenes."""
    (folder / "photos").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id in range(1, photos + 1):
        scene = draw_scene(generator)
        name = f"{image_id:06d}.jpg"
        scene.image.save(folder / "photos" / name, quality=90)
        images.append({"id": image_id, "file_name": name, "height": _SIZE[0], "width": _SIZE[1]})
        for box, label in zip(scene.boxes_xywh.tolist(), scene.labels.tolist(), strict=True):
            truth = {"image_id": image_id, "category_id": label + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, **truth})
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(CLASSES)]
    dataset = {"images": images, "annotations": annotations, "categories": categories}
    write_json(folder / "instances.json", dataset, indent=None)


def draw_scene(generator: np.random.Generator) -> Scene:
    """A noisy background with three to six shapes of any class, some of them overlapping."""
    height, width = _SIZE
    coarse = generator.integers(60, 200, (6, 8, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    boxes, labels = [], []
    for _ in range(int(generator.integers(3, 7))):
        side = generator.uniform(24, 80)
        x, y = generator.uniform(0, width - side), generator.uniform(0, height - side)
        label = int(generator.integers(len(CLASSES)))
        draw_shape(image, (x, y, side, side), label, generator)
        boxes.append((x, y, side, side))
        labels.append(label)
    noise = generator.normal(0, 12, (height, width, 3))
    noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
    return Scene(Image.fromarray(noisy), np.round(boxes, 2), np.array(labels))


def draw_shape(
    image: Image.Image, box: tuple[float, float, float, float], label: int, generator: np.random.Generator
) -> None:
    """Draw the shape of a class into a box x, y, width, height, in a shade of its colour."""
    colour, form = CLASSES[label].split()
    shade = generator.uniform(-35, 35, 3)
    red, green, blue = (
        int(np.clip(value + change, 0, 255)) for value, change in zip(COLOURS[colour], shade, strict=True)
    )
    fill = (red, green, blue)
    x, y, w, h = box
    pen = ImageDraw.Draw(image)
    if form == "disc":
        pen.ellipse((x, y, x + w, y + h), fill=fill)
    elif form == "square":
        pen.rectangle((x, y, x + w, y + h), fill=fill)
    else:
        pen.polygon([(x + w / 2, y), (x, y + h), (x + w, y + h)], fill=fill)
