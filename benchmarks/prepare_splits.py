"""Seconds and peak memory of `risf prepare-splits` on data of COCO's size, beside those of merely reading the file.

    python benchmarks/prepare_splits.py [--images 120000 --boxes 850000 --seeds 10] [--masks]

The data are made: 80 classes as unequal as COCO's, boxes clustered by image as COCO's are. Both layouts are written.
Each figure is that of a fresh process. `--masks` gives every box a polygon of 25 points, as heavy as COCO's own file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

GOAL_SECONDS, GOAL_BYTES = 60.0, 4e9
CLASSES = 80


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=120_000)
    parser.add_argument("--boxes", type=int, default=850_000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--masks", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.json"
        write_made_coco(path, images=arguments.images, boxes=arguments.boxes, masks=arguments.masks)
        print(f"{arguments.images:,} images, {arguments.boxes:,} boxes, {CLASSES} classes, "
              f"{path.stat().st_size / 1e6:,.0f} MB; {arguments.seeds} seeds, 6 shot counts, both layouts; "
              f"{os.cpu_count()} cores")  # fmt: skip
        read_seconds, read_bytes = measure([sys.executable, "-c", f"import json; json.load(open({str(path)!r}))"])
        command = [sys.executable, "-m", "risf_cli", "prepare-splits", "--coco", str(path),
                   "--novel", "class 0,class 9", "--seeds", f"0-{arguments.seeds - 1}", "--shots", "1,2,3,5,10,30",
                   "--layout", "both", "--quiet", "--out", str(Path(folder) / "split")]  # fmt: skip
        seconds, peak = measure(command)
        files = sum(1 for found in (Path(folder) / "split").rglob("*") if found.is_file())
        check_seconds, check_bytes = measure(
            [sys.executable, "-m", "risf_cli", "check-split", str(Path(folder) / "split"), "--quiet"]
        )
    print(f"{'':34}{'seconds':>9}{'peak GB':>9}")
    print(f"{'json.load of the file alone':34}{read_seconds:>9.1f}{read_bytes / 1e9:>9.2f}")
    print(f"{f'prepare-splits ({files:,} files)':34}{seconds:>9.1f}{peak / 1e9:>9.2f}")
    print(f"{'check-split':34}{check_seconds:>9.1f}{check_bytes / 1e9:>9.2f}")
    print(
        f"prepare-splits takes {seconds / read_seconds:.1f} times the bare reading, {peak / read_bytes:.2f} its memory"
    )
    met = seconds < GOAL_SECONDS and peak < GOAL_BYTES
    print(f"goal: under {GOAL_SECONDS:.0f} s and {GOAL_BYTES / 1e9:.0f} GB: {'met' if met else 'MISSED'}")


def measure(command: list[str]) -> tuple[float, int]:
    """Seconds and peak resident bytes of a command."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command[:5])} ... failed")
    return time.perf_counter() - start, usage.ru_maxrss * 1024


def write_made_coco(path: Path, *, images: int, boxes: int, masks: bool) -> None:
    """A COCO file of about that many boxes, its annotations in random order as in COCO's own."""
    generator = np.random.default_rng(0)
    weights = 1 / np.arange(2, CLASSES + 2)  # a few classes hold most boxes
    clusters = generator.geometric(0.45, size=boxes)  # boxes of one class in one image
    clusters = clusters[: int(np.searchsorted(np.cumsum(clusters), boxes)) + 1]
    image_of = np.repeat(generator.integers(0, images, len(clusters)), clusters)[:boxes]
    class_of = np.repeat(generator.choice(CLASSES, len(clusters), p=weights / weights.sum()), clusters)[:boxes]
    order = generator.permutation(boxes)
    corners = np.round(generator.uniform(0, 400, (boxes, 2)), 2).tolist()
    sizes = np.round(generator.uniform(5, 200, (boxes, 2)), 2).tolist()
    with open(path, "w") as handle:
        image_rows = [
            {"id": i, "file_name": f"COCO_train2014_{i:012}.jpg", "height": 480, "width": 640} for i in range(images)
        ]
        categories = [{"id": c + 1, "name": f"class {c}", "supercategory": "made"} for c in range(CLASSES)]
        handle.write(f'{{"images": {json.dumps(image_rows)}, "categories": {json.dumps(categories)}, "annotations": [')
        for number, row in enumerate(order.tolist()):
            annotation = {
                "id": row + 1, "image_id": int(image_of[row]), "category_id": int(class_of[row]) + 1,
                "bbox": corners[row] + sizes[row], "area": sizes[row][0] * sizes[row][1],
                "iscrowd": int(number % 85 == 0),
            }  # fmt: skip
            if masks:
                annotation["segmentation"] = [np.round(generator.uniform(0, 400, 50), 2).tolist()]
            handle.write((", " if number else "") + json.dumps(annotation))
        handle.write("]}")


if __name__ == "__main__":
    main()
