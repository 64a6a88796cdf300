"""Made ground truth and detections of any size, the same for every benchmark: half the detections lie near a box."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def write_made_data(
    folder: Path, *, detections: int, images: int, classes: int = 80, seed: int = 0
) -> tuple[Path, Path]:
    """Write a COCO dataset and a results list of so many rows; returns the two files."""
    random = np.random.default_rng(seed)
    boxes_count = images * 7
    image_of_box = np.sort(random.integers(images, size=boxes_count))
    class_of_box = (random.zipf(1.3, size=boxes_count) - 1) % classes  # few common classes, many rare ones
    boxes = np.hstack([random.uniform(0, 500, (boxes_count, 2)), np.exp(random.normal(4, 0.9, (boxes_count, 2)))])
    near = random.integers(boxes_count, size=detections)
    is_near = random.random(detections) < 0.5
    anywhere = np.hstack([random.uniform(0, 500, (detections, 2)), np.exp(random.normal(4, 0.9, (detections, 2)))])
    found = np.where(is_near[:, None], boxes[near] + random.normal(0, 6, (detections, 4)), anywhere)
    found[:, 2:] = np.abs(found[:, 2:]) + 1
    scores = np.where(is_near, random.beta(2, 2, detections), random.beta(1, 6, detections)).round(5)
    labels = np.where(random.random(detections) < 0.8, class_of_box[near], random.integers(classes, size=detections))

    truth = {
        "images": [{"id": i, "file_name": f"{i:012d}.jpg", "height": 1600, "width": 1600} for i in range(images)],
        "categories": [{"id": label, "name": f"class {label}"} for label in range(classes)],
        "annotations": [
            {"id": n + 1, "image_id": int(i), "category_id": int(c), "bbox": b, "area": b[2] * b[3], "iscrowd": int(k)}
            for n, (i, c, b, k) in enumerate(
                zip(image_of_box, class_of_box, boxes.round(2).tolist(), random.random(boxes_count) < 0.02, strict=True)
            )
        ],
    }
    columns = zip(image_of_box[near].tolist(), labels.tolist(), found.round(2).tolist(), scores.tolist(), strict=True)
    results = [{"image_id": i, "category_id": c, "bbox": b, "score": s} for i, c, b, s in columns]
    paths = folder / f"truth_{detections}.json", folder / f"detections_{detections}.json"
    for path, content in zip(paths, (truth, results), strict=True):
        path.write_text(json.dumps(content))
    return paths
