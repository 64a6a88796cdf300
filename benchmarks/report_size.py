"""What `risf report` on 500,000 detections costs beside `risf evaluate --bootstrap`, and how large its page is."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from made_detections import write_made_data
from PIL import Image

MOST_BYTES = 15_000_000
MOST_RATIO = 2.0  # at most so many times the evaluation that it contains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=500_000)
    parser.add_argument("--classes", type=int, default=80, help="try 1203 too")
    parser.add_argument("--pictures", type=int, default=8, help="pictures of each kind; up to 100")
    parser.add_argument("--bootstrap", type=int, default=1000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        truth, before = write_made_data(
            folder, detections=options.detections, images=options.images, classes=options.classes
        )
        after, photos, page = folder / "after.json", folder / "photos", folder / "report.html"
        write_rescored(before, after)
        write_photos(photos, options.images)
        risf = [sys.executable, "-m", "risf_cli"]
        rest = [str(before), str(after), "--annotations", str(truth), "--bootstrap", str(options.bootstrap), "-q"]
        evaluation = seconds_of([*risf, "evaluate", *rest, "--json"])
        report = seconds_of(
            [*risf, "report", *rest, "--images", str(photos), "--out", str(page), "--pictures", str(options.pictures)]
        )
        size = page.stat().st_size
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"{options.detections} detections, {options.images} images, {options.classes} classes, 2 files")
    print(f"risf evaluate --bootstrap {options.bootstrap}   {evaluation:7.1f} s")
    print(f"risf report                    {report:7.1f} s")
    print(f"ratio                          {report / evaluation:7.2f}      goal: at most {MOST_RATIO}")
    print(f"peak memory of either          {memory:7.2f} GB")
    print(f"page                           {size / 1e6:7.2f} MB   goal: below {MOST_BYTES / 1e6:.0f}")
    sys.exit(size >= MOST_BYTES or report > MOST_RATIO * evaluation)


def write_rescored(before: Path, after: Path) -> None:
    """The same detections with the scores of an encoder that guesses, as `risf rescore` writes them."""
    rows = json.loads(before.read_text())
    for row, share in zip(rows, np.random.default_rng(1).random(len(rows)).tolist(), strict=True):
        row |= {"score_detector": row["score"], "score_clip": share, "score": 0.7 * row["score"] + 0.3 * share}
    after.write_text(json.dumps(rows))


def write_photos(folder: Path, count: int) -> None:
    """One photo of noise under the names of all images."""
    folder.mkdir()
    coarse = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    first = folder / f"{0:012d}.jpg"
    Image.fromarray(coarse.repeat(4, axis=0).repeat(4, axis=1)).save(first, quality=80)
    for number in range(1, count):
        os.link(first, folder / f"{number:012d}.jpg")


def seconds_of(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, capture_output=True, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
