"""Swin-L beside ResNet-101: parameters, memory and time of a training step and of a prediction, one image.

    python -m benchmarks.backbones --short-side 320 --threads 1
    python -m benchmarks.backbones --short-side 320 --threads 1 --boxes 64   # in minutes

Weights are random, and the RPN proposes its anchors as they are: as many boxes as a trained one does. Each network runs
in a process of its own, so that its peak of memory is its own. Seconds are the processor's, which other work on the
machine changes little.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from risf_core.detector.architecture import architecture_named
from risf_core.detector.freezing import freeze_for_base
from risf_core.detector.inputs import batch_of
from risf_core.detector.matching import RandomSampler, Target
from risf_core.detector.model import build_detector
from risf_core.devices import usable_cores

NETWORKS = ("r101", "timm/swin_large_patch4_window7_224.ms_in22k")
CLASSES = 60


def main() -> None:
    """Measure each network and print a line of JSON, then the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--short-side", type=int, default=320)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--boxes", type=int, help="that reach the RoI stage (default: 1000 in a prediction, 512 in a step)"
    )
    parser.add_argument("--threads", type=int, default=usable_cores())
    arguments = parser.parse_args()
    height, width = _size(arguments.short_side)
    print(f"{platform.processor() or platform.machine()}, {arguments.threads} threads, one image of {width}x{height}")
    rows = []
    for name in arguments.networks:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            given = (name, arguments.short_side, arguments.boxes, arguments.repeats, arguments.threads)
            rows.append(pool.apply(measured, given))
        print(json.dumps({"network": name, **rows[-1]}), flush=True)
    first, last = rows[0], rows[-1]
    print("ratio of the last to the first:", {key: round(last[key] / first[key], 2) for key in first})


def measured(name: str, short_side: int, boxes: int | None, repeats: int, threads: int) -> dict[str, float]:
    """One network's figures: medians of `repeats`, after one run to warm up."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    architecture = architecture_named(name)
    if boxes is not None:
        architecture = replace(architecture, proposals_test=(6000, boxes), rois_per_image=boxes)
    model = build_detector(architecture, class_count=CLASSES)
    freeze_for_base(model)
    torch.nn.init.zeros_(model.proposal_generator.rpn_head.anchor_deltas.weight)
    height, width = _size(short_side)
    batch = batch_of([torch.randint(0, 256, (3, height, width), dtype=torch.uint8)], model.architecture.inputs)
    corners = torch.tensor([[20.0, 20, 120, 140], [150, 60, 300, 250]])
    targets = [Target(corners, torch.tensor([0, 1]))]

    def train() -> None:
        model.train().zero_grad()
        losses = model(batch, targets, [RandomSampler(torch.Generator().manual_seed(0))])
        torch.stack(list(losses.values())).sum().backward()

    def predict() -> None:
        model.eval().detect(batch)

    predict_seconds = _median(predict, repeats)
    predict_peak = _peak_gb()
    train_seconds = _median(train, repeats)
    return {
        "parameters_million": round(sum(each.numel() for each in model.parameters()) / 1e6, 1),
        "trained_million": round(sum(each.numel() for each in model.parameters() if each.requires_grad) / 1e6, 1),
        "predict_seconds": predict_seconds,
        "predict_peak_gb": predict_peak,
        "train_seconds": train_seconds,
        "train_peak_gb": _peak_gb(),
    }


def _size(short_side: int) -> tuple[int, int]:
    return short_side, round(short_side * 4 / 3)


def _median(work: Callable[[], None], repeats: int) -> float:
    seconds = []
    for _ in range(repeats + 1):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return round(statistics.median(seconds[1:]), 2)


def _peak_gb() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


if __name__ == "__main__":
    main()
