"""Reading, evaluating and writing 10^4 to 10^6 detections: seconds and peak memory, each size in its own process.

python benchmarks/million_detections.py [--rows 10000 100000 1000000]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from made_detections import write_made_data

GOAL_SECONDS, GOAL_MEGABYTES = 60, 2000  # for 1,000,000 rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", nargs=2, metavar=("TRUTH", "DETECTIONS"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(*map(Path, arguments.one))))
        return
    print(f"{'rows':>9} {'read':>8} {'evaluate':>9} {'write':>8} {'total':>8} {'us/row':>7} {'peak MB':>8}")
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            files = write_made_data(Path(folder), detections=rows, images=max(rows // 100, 1))
            command = [sys.executable, __file__, "--one", *map(str, files)]
            seconds = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        total = seconds["read"] + seconds["evaluate"] + seconds["write"]
        print(
            f"{rows:9d} {seconds['read']:7.2f}s {seconds['evaluate']:8.2f}s {seconds['write']:7.2f}s {total:7.2f}s "
            f"{1e6 * total / rows:7.1f} {seconds['megabytes']:8.0f}"
        )
    print(f"goal for 1000000 rows: {GOAL_SECONDS} s and {GOAL_MEGABYTES} MB; the ground truth is read besides")


def measure(truth_path: Path, detections_path: Path) -> dict[str, float]:
    """Seconds of each step and the process's peak memory in megabytes."""
    from risf_core.evaluation import evaluate, read_ground_truth
    from risf_core.formats.coco import write_detections
    from risf_core.formats.detections_file import read_detections_file

    truth = read_ground_truth(truth_path)
    start = time.perf_counter()
    file = read_detections_file(detections_path, truth.images_by_id, truth.vocabulary)
    read = time.perf_counter()
    evaluate(file.detections, truth)
    evaluated = time.perf_counter()
    write_detections(detections_path.with_suffix(".out.json"), file.detections, truth.vocabulary)
    written = time.perf_counter()
    unit = 1 << 20 if sys.platform == "darwin" else 1 << 10  # bytes there, kilobytes elsewhere
    return {
        "read": read - start,
        "evaluate": evaluated - read,
        "write": written - evaluated,
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit,
    }


if __name__ == "__main__":
    main()
