"""The demo's data set: made photos with COCO files, training and test labelled in full."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.demo.scenes import SceneSettings, draw_scene
from risf_core.demo.things import BASE, NOVEL
from risf_core.files import write_json
from risf_core.progress import Progress

CLASSES: tuple[str, ...] = tuple(sorted((*BASE, *NOVEL)))
TRAIN_NAME, TEST_NAME, PHOTOS_NAME = "train.json", "instances.json", "photos"
_NOVEL_WEIGHT = 0.5  # of a novel thing in training photos against a base one: novel things are the rarer ones
_TRAIN_STREAM, _TEST_STREAM = 0, 1  # of a seed: no photo of one is in the other


@dataclass(frozen=True)
class MadeDataset:
    """Where the files are."""

    train: Path
    test: Path
    photos: Path


def make_dataset(
    folder: Path,
    *,
    train_photos: int,
    test_photos: int,
    seed: int,
    progress: Progress | None = None,
) -> MadeDataset:
    """Write `photos/`, `train.json` and `instances.json` (the test photos); the same arguments write the same bytes.

    No file is written for no photos.

    Every object of every photo is labelled; `risf prepare-splits` takes the labels of novel objects out of the base
    set, and all but the drawn shots out of the few-shot sets, so that they are there without a label.
    """
    made = MadeDataset(folder / TRAIN_NAME, folder / TEST_NAME, folder / PHOTOS_NAME)
    made.photos.mkdir(parents=True, exist_ok=True)
    total = train_photos + test_photos
    rarer = tuple(_NOVEL_WEIGHT if name in NOVEL else 1.0 for name in CLASSES)
    even = (1.0,) * len(CLASSES)
    parts = (
        (made.train, train_photos, rarer, _TRAIN_STREAM, 0),
        (made.test, test_photos, even, _TEST_STREAM, train_photos),
    )
    for path, count, weights, stream, done in (part for part in parts if part[1]):
        generator = np.random.default_rng([seed, stream])
        settings = SceneSettings(CLASSES, weights)
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for image_id in range(done + 1, done + count + 1):
            scene = draw_scene(settings, generator)
            name = f"{image_id:06d}.jpg"
            scene.image.save(made.photos / name, quality=90)
            width, height = scene.image.size
            images.append({"id": image_id, "file_name": name, "height": height, "width": width})
            rows = zip(scene.boxes_xywh.tolist(), scene.areas.tolist(), scene.names, strict=True)
            annotations += [
                {"image_id": image_id, "category_id": CLASSES.index(own) + 1, "bbox": box, "area": area, "iscrowd": 0}
                for box, area, own in rows
            ]
            if progress is not None:
                progress(image_id, total)
        for number, row in enumerate(annotations, 1):
            row["id"] = number
        categories = [{"id": label, "name": own} for label, own in enumerate(CLASSES, 1)]
        write_json(path, {"images": images, "annotations": annotations, "categories": categories}, indent=None)
    return made


def seconds_per_scene(count: int = 8) -> float:
    """How long this machine takes to draw a scene: its speed, in a fraction of a second."""
    settings = SceneSettings(CLASSES, (1.0,) * len(CLASSES))
    generator = np.random.default_rng(0)
    began = time.perf_counter()
    for _ in range(count):
        draw_scene(settings, generator)
    return (time.perf_counter() - began) / count
