"""Seconds from the start of a command to its error line, for ten faults of input; each started three times, the best.

python benchmarks/error_lines.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image

GOAL_SECONDS = 1.0
DATASET = {
    "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 48}],
    "categories": [{"id": 1, "name": "cat"}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20]}],
}
ROW = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20], "score": 0.5}
MODEL = {"embed_dim": 8, "vision_cfg": {"image_size": 32}, "text_cfg": {"context_length": 8}}
FAULTS = {
    "two encoders named": "rescore dets.json --annotations gt.json --images photos --clip RN50:openai "
    "--clip-config c.json",
    "an unknown encoder": "rescore dets.json --annotations gt.json --images photos --clip ViT-L-15:openai",
    "weights that are not there": "rescore dets.json --annotations gt.json --images photos --clip-weights none.pt",
    "a photo that is missing": "rescore other.json --annotations other-gt.json --images photos",
    "a score above 1": "rescore high.json --annotations gt.json --images photos",
    "finetune on a file that is not there": "finetune --coco none.json --images photos --weights w.pth",
    "finetune without weights": "finetune --coco gt.json --images photos --weights none.pth",
    "tune on an empty file": "tune empty.json --annotations gt.json --images photos",
    "predict without weights": "predict --weights none.pth --images photos --annotations none",
    "evaluate by ids of another file": "evaluate other.json --annotations gt.json",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_inputs(folder)
        slow = 0
        for fault, words in FAULTS.items():
            times = []
            for _ in range(3):
                start = time.perf_counter()
                done = subprocess.run(
                    [sys.executable, "-m", "risf_cli", *words.split()], cwd=folder, capture_output=True, text=True
                )
                times.append(time.perf_counter() - start)
            lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
            if done.returncode != 1 or len(lines) != 1:
                sys.exit(f"{fault}: exit {done.returncode}, not one error line:\n{done.stderr}")
            slow += min(times) > GOAL_SECONDS
            print(f"{min(times):5.2f} s  {fault}: {lines[0][:90]}", flush=True)
    print(f"{len(FAULTS) - slow} of {len(FAULTS)} within {GOAL_SECONDS:g} s")


def write_inputs(folder: Path) -> None:
    """Small files, each with one fault, or none."""
    (folder / "photos").mkdir()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(folder / "photos" / "1.png")
    other = {**DATASET, "images": [{"id": 9, "file_name": "9.png", "width": 64, "height": 48}], "annotations": []}
    contents = {
        "gt": DATASET, "other-gt": other, "c": MODEL, "dets": [ROW], "empty": [], "other": [{**ROW, "image_id": 9}],
        "high": [{**ROW, "score": 1.5}],
    }  # fmt: skip
    for stem, content in contents.items():
        (folder / f"{stem}.json").write_text(json.dumps(content))
    (folder / "w.pth").write_bytes(b"")


if __name__ == "__main__":
    main()
