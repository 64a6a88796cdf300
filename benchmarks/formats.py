"""Reading a million detections from txt files, one per photo, and from JSON: seconds and peak memory (Linux).

python benchmarks/formats.py [--rows 1000000] [--photos 20000]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_detections import write_made_data

GOAL_SECONDS, GOAL_MEGABYTES = 30, 2000  # for 1,000,000 rows in 20,000 txt files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--photos", type=int, default=20_000)
    parser.add_argument("--one", nargs=2, metavar=("TRUTH", "DETECTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*map(Path, arguments.one))))
        return
    with tempfile.TemporaryDirectory() as folder:
        truth, detections = write_made_data(Path(folder), detections=arguments.rows, images=arguments.photos)
        labels = Path(folder) / "labels"
        convert = ["convert", detections, labels, "--to", "ultralytics-txt", "--annotations", truth, "--quiet"]
        subprocess.run([sys.executable, "-m", "risf_cli", *map(str, convert)], check=True, stdout=subprocess.DEVNULL)
        start = time.perf_counter()
        json.loads(detections.read_text())
        print(f"json.loads alone: {time.perf_counter() - start:.1f} s")
        for path in (detections, labels):
            command = [sys.executable, __file__, "--one", str(truth), str(path)]
            read = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{read['form']}: {read['rows']} rows in {read['seconds']:.1f} s, {read['megabytes']:.0f} MB at most")
    print(f"goal for 1000000 rows in 20000 txt files: {GOAL_SECONDS} s and {GOAL_MEGABYTES} MB")


def measure(truth_path: Path, detections: Path) -> dict[str, float | str]:
    """Seconds and the process's peak memory in megabytes; the images and classes are read besides."""
    from risf_core.datasets.reading import read_dataset_index
    from risf_core.formats.detections_file import read_detections_file

    index = read_dataset_index(truth_path)
    start = time.perf_counter()
    read = read_detections_file(detections, index.images, index.vocabulary)
    seconds = time.perf_counter() - start
    status = Path(
        "/proc/self/status"
    ).read_text()  # getrusage's peak is also that of the process which started this one
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
    return {"form": read.form.title, "rows": len(read.detections), "seconds": seconds, "megabytes": peak}


if __name__ == "__main__":
    main()
