"""The fast evaluator against pycocotools, and the bootstrap's resamples against as many evaluations, side by side.

python benchmarks/evaluation_speed.py [--rows 500000] [--images 5000] [--resamples 1000]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from made_detections import write_made_data

GOAL_SECONDS = 60  # for 1,000 resamples of 5,000 images and 500,000 detections on 2 cores

Result = TypeVar("Result")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--images", type=int, default=5_000)
    parser.add_argument("--resamples", type=int, default=1_000)
    parser.add_argument("--skip-pycocotools", action="store_true", help="it takes minutes")
    arguments = parser.parse_args()

    from risf_core.evaluation import bootstrap, evaluate, match, read_detections_for, read_ground_truth

    with tempfile.TemporaryDirectory() as folder:
        truth_path, path = write_made_data(Path(folder), detections=arguments.rows, images=arguments.images)
        truth = read_ground_truth(truth_path)
        first = read_detections_for(path, truth).detections
        command = ["evaluate", str(path), "--annotations", str(truth_path), "--quiet"]
        turns = [[processor_seconds(command), processor_seconds([*command, "--errors"])] for _ in range(3)]
        plain, with_errors = map(min, zip(*turns, strict=True))
    noise = np.random.default_rng(1).normal(0, 0.05, len(first))
    second = first.with_scores(np.clip(first.scores + noise, 0, 1))
    print(f"{len(first)} detections, {len(truth)} boxes, {len(truth.images)} images, {len(truth.vocabulary)} classes")

    fast, fast_seconds = timed(lambda: evaluate(first, truth))
    print(f"evaluate with ultrafast-pycocotools  {fast_seconds:8.2f} s")
    print(f"risf evaluate, processor time        {plain:8.2f} s")
    print(f"the same with --errors               {with_errors:8.2f} s, {with_errors / plain:.2f} times (goal 2)")
    if not arguments.skip_pycocotools:
        slow, slow_seconds = timed(lambda: evaluate(first, truth, evaluator="pycocotools"))
        same = "the same bits" if (slow.overall, slow.per_class) == (fast.overall, fast.per_class) else "OTHER VALUES"
        print(f"evaluate with pycocotools            {slow_seconds:8.2f} s")
        print(f"ratio                                {slow_seconds / fast_seconds:8.1f}, {same}")

    matches, match_seconds = timed(lambda: [match(table, truth) for table in (first, second)])
    generator = np.random.default_rng(0)
    results, seconds = timed(
        lambda: bootstrap(matches, truth.vocabulary, resamples=arguments.resamples, generator=generator)
    )
    total = match_seconds + seconds
    print(f"matches of two files                 {match_seconds:8.2f} s")
    print(f"{arguments.resamples} resamples of both              {seconds:8.2f} s")
    print(f"bootstrap of two files               {total:8.2f} s  (goal {GOAL_SECONDS} s)")
    again = 2 * arguments.resamples * fast_seconds
    print(f"evaluating 2 x {arguments.resamples} times instead   {again:8.0f} s, {again / total:.0f} times as long")
    difference = evaluate(second, truth).overall["AP"] - fast.overall["AP"]
    interval = results[1].difference
    assert interval is not None
    low, high = interval.figures["AP"] or (np.nan, np.nan)
    print(f"AP difference {100 * difference:+.2f}, 95 % interval {100 * low:+.2f} to {100 * high:+.2f}")


def timed(work: Callable[[], Result]) -> tuple[Result, float]:
    """What the work returns, and its seconds."""
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start


def processor_seconds(command: list[str]) -> float:
    """Seconds of processor time of a command of risf, which other work on the machine hardly changes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "risf_cli", *command], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
