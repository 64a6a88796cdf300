"""What a GPU does with this project, against the CPU: one JSON and one table. benchmarks/gpu_check.sh starts it.

Each check is on its own: what one of them finds or raises stands in its rows, and the next one runs. Without a GPU
every row says so; --device cpu runs the comparisons on the CPU in the GPU's place.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_convert, box_iou

from benchmarks import rescore_speed, training_speed
from risf_core.config import read_config
from risf_core.demo.dataset import make_dataset
from risf_core.demo.settings import FIRST_PHOTOS, SCENE_SEED
from risf_core.demo.weights import first_detections, packaged_files
from risf_core.detector.prediction_inputs import PhotoChoice
from risf_core.detector.run import DetectorChoice, predict_to_file
from risf_core.devices import choose_device
from risf_core.encoder.choice import EncoderChoice
from risf_core.engines.train import train
from risf_core.errors import ConfigError
from risf_core.files import read_json, write_json, write_text
from risf_core.rescore.run import rescore_file
from risf_core.training.loop import Hooks
from risf_core.training.metrics_log import read_metrics
from tests.risf_core.training.runs import final_weights, first_ones

FULL_FORMAT, HALF_FORMATS = "fp32", ("bf16", "fp16")
STEPS = 20


@dataclass(frozen=True)
class Row:
    """One figure and what became of it."""

    check: str
    figure: str
    goal: str
    verdict: str  # pass, FAIL, no GPU, error


@dataclass(frozen=True)
class Place:
    """Where a check runs and may write."""

    folder: Path
    device: str  # that is compared with the CPU
    short: bool  # small networks and few crops

    @property
    def on_gpu(self) -> bool:
        """Whether there is a GPU at all."""
        return self.device.startswith("cuda")

    def formats(self) -> Iterator[tuple[str, str, bool]]:
        """Name, precision and whether convolutions may round to TF32, of each way that is compared."""
        yield FULL_FORMAT, FULL_FORMAT, False
        if self.on_gpu:
            yield "fp32 with TF32 convolutions (torch's default)", FULL_FORMAT, True
        for half in HALF_FORMATS if self.on_gpu else HALF_FORMATS[:1]:
            yield half, half, False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every check; the files are written anew after each, so that a call that is cut short leaves them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of gpu_check.json and gpu_check.md")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--short", action="store_true", help="small networks, for a test on a CPU")
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=list(CHECKS))
    parser.add_argument("--train", nargs="+", help="settings: a training in --out, one of the checks' processes")
    options = parser.parse_args(arguments)
    if options.train:
        train_without_chance(options.out, options.train)
        return
    device = choose_device(options.device)
    runs = device != "cpu" or options.device == "cpu"
    rows: list[Row] = []
    machine = {
        "gpu": torch.cuda.get_device_name() if device.startswith("cuda") else None,
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "machine": platform.machine(),
    }
    for name in options.checks:
        start = time.perf_counter()
        found, trace = [Row(name, "", "", "no GPU")], None
        if runs:
            with tempfile.TemporaryDirectory() as folder:
                try:
                    found = list(CHECKS[name](Place(Path(folder), device, options.short)))
                except Exception as error:  # of any kind: the other checks are to run
                    trace = traceback.format_exc()
                    found = [Row(name, f"{type(error).__name__}: {error}".splitlines()[0][:200], "", "error")]
        rows += found
        seconds = round(time.perf_counter() - start, 1)
        for row in found:
            said = f": {row.figure} (goal: {row.goal}; {seconds} s)" if row.figure else ""
            print(f"{row.verdict:8} {row.check}{said}", flush=True)
        if trace is not None:
            print(trace, file=sys.stderr, flush=True)
        write_results(options.out, machine, rows)


def write_results(out: Path, machine: Mapping[str, str | None], rows: Sequence[Row]) -> None:
    """The JSON and the table."""
    write_json(out / "gpu_check.json", {**machine, "rows": [asdict(row) for row in rows]})
    lines = [f"{machine['gpu'] or 'no GPU'}, torch {machine['torch']}", "", "| check | figure | goal | verdict |"]
    lines += ["|---|---|---|---|", *(f"| {row.check} | {row.figure} | {row.goal} | {row.verdict} |" for row in rows)]
    write_text(out / "gpu_check.md", "\n".join(lines) + "\n")


def check_rescore(place: Place) -> Iterator[Row]:
    """CM-CLIP's scores."""
    made = make_dataset(place.folder, train_photos=0, test_photos=FIRST_PHOTOS, seed=SCENE_SEED)
    before = place.folder / "before.json"
    write_text(before, first_detections())
    config, weights, _ = packaged_files()
    encoders = {"the demo's encoder": {"clip_config": config, "clip_weights": weights}}
    if not place.short:
        source = rescore_speed.random_encoder("ViT-B-32", place.folder)
        encoders["ViT-B-32"] = {"clip": "ViT-B-32", "clip_weights": source.weights}

    def scores(chosen: Mapping[str, Any], device: str, precision: str) -> np.ndarray:  # Any: the choice's fields
        out = place.folder / "after.json"
        encoder = EncoderChoice(**chosen, device=device, precision=precision, workers=0)
        rescore_file(before, out, annotations=made.test, images=[made.photos], encoder=encoder)
        return np.array([row["score"] for row in read_json(out, what="detections")])

    for name, chosen in encoders.items():
        expected = scores(chosen, "cpu", FULL_FORMAT)
        for form, precision, rounded in place.formats():
            with tf32(rounded):
                worst = float(np.abs(scores(chosen, place.device, precision) - expected).max())
            limit = 1e-4 if form == FULL_FORMAT else 1e-2
            yield judged(f"rescore, {name}, {form}: scores", f"differ by {worst:.1e}", f"{limit:g}", worst <= limit)


def check_predict(place: Place) -> Iterator[Row]:
    """A detector's rows."""
    training_speed.make_photos(place.folder, count=4)
    name = "small" if place.short else "r50"
    training_speed.write_weights(place.folder, name)
    photos = PhotoChoice([place.folder], place.folder / "train.json")

    def rows(device: str, precision: str) -> list[dict]:
        out = place.folder / "found.json"
        side = 160 if place.short else 480
        chosen = DetectorChoice(place.folder / f"{name}.pth", short_side=side, device=device, precision=precision)
        predict_to_file(out, chosen, photos)
        return read_json(out, what="detections")

    expected = rows("cpu", FULL_FORMAT)
    for form, precision, rounded in place.formats():
        with tf32(rounded):
            found = rows(place.device, precision)
        differences = score_differences(expected, found)
        share, worst = len(differences) / len(expected), float(np.quantile(differences, 0.95))
        # bfloat16 has 8 digits: on a CPU, too, scores move by 0.02
        limit, least = {FULL_FORMAT: (1e-4, 0.99), "bf16": (3e-2, 0.8)}.get(form, (1e-2, 0.8))
        yield judged(
            f"predict, {name}, {form}: {len(expected)} rows",
            f"{share:.1%} found again (IoU 0.9), 95 % of their scores within {worst:.1e}",
            f"{least:.0%}, {limit:g}",
            share >= least and worst <= limit,
        )


def score_differences(expected: Sequence[dict], found: Sequence[dict]) -> np.ndarray:
    """Of each row that has one of its image and class at IoU 0.9: how far the scores are apart."""
    differences = []
    for row in expected:
        same = [one for one in found if all(one[key] == row[key] for key in ("image_id", "category_id"))]
        if same:
            boxes = [torch.tensor([one["bbox"] for one in group]) for group in ([row], same)]
            overlaps = box_iou(*(box_convert(each, "xywh", "xyxy") for each in boxes))[0]
            if overlaps.max() >= 0.9:
                differences.append(abs(same[int(overlaps.argmax())]["score"] - row["score"]))
    return np.array(differences or [1.0])


def check_training(place: Place) -> Iterator[Row]:
    """The losses of twenty steps, without chance."""
    settings = small_training(place)

    def losses(device: str, precision: str) -> np.ndarray:
        run = place.folder / "run"
        train_without_chance(run, [*settings, f"solver.device={device}", f"solver.precision={precision}"])
        return np.array([line["loss"] for line in read_metrics(run)])

    expected = losses("cpu", FULL_FORMAT)
    for form, precision, rounded in place.formats():
        with tf32(rounded):
            found = losses(place.device, precision)
        worst, mean = float(np.abs(found / expected - 1).max()), abs(float(found.mean() / expected.mean() - 1))
        limit = 1e-3 if form == FULL_FORMAT else 5e-2
        figure = f"the mean differs by {mean:.1e} of it, one of them by {worst:.1e}"
        yield judged(f"{STEPS} training steps, {form}: losses", figure, f"mean {limit:g}", mean <= limit)


def small_training(place: Place, *, images: int = 1) -> list[str]:
    """Settings of twenty steps on made photos, for any device."""
    training_speed.make_photos(place.folder, count=8)
    name, side = ("small", 96) if place.short else ("r50", 256)
    training_speed.write_weights(place.folder, name)
    arguments = argparse.Namespace(short_side=side, workers=0, images=images, iterations=STEPS // 2)
    config = training_speed.config_of(place.folder, name, place.device, FULL_FORMAT, arguments)
    stated = {**config.values.flat(), "solver.log_every": 1, "solver.checkpoint_every": STEPS}
    stated |= {"solver.learning_rate": 1e-3, "solver.warmup_iterations": 0}
    return [f"{key}={json.dumps(value)}" for key, value in stated.items()]


def train_without_chance(folder: Path, settings: Sequence[str]) -> None:
    """A training whose boxes are not sampled but taken in their order."""
    train(read_config(overrides=settings), folder, force=True, hooks=Hooks(sampler_of=first_ones))


def check_two_processes(place: Place) -> Iterator[Row]:
    """Two processes on one device, one image each, against one process with both images."""
    settings = [*small_training(place, images=2), f"solver.device={json.dumps(place.device.partition(':')[0])}"]
    train_without_chance(place.folder / "one", settings)
    words = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "benchmarks.gpu_check"]
    words += ["--out", str(place.folder / "two"), "--train", *settings, "solver.images_per_step=1"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=180, check=False)
    if done.returncode:
        raise RuntimeError(next((line for line in done.stderr.splitlines() if "Error" in line), done.stderr[-200:]))
    one, two = final_weights(place.folder / "one"), final_weights(place.folder / "two")
    worst = max(float((two[name].float() - value.float()).abs().max()) for name, value in one.items())
    yield judged("two processes on one device: weights", f"differ by {worst:.1e}", "0.001", worst <= 1e-3)


def check_memory(place: Place) -> Iterator[Row]:
    """What is said where the GPU's memory does not suffice."""
    if not place.on_gpu:
        yield Row("out of memory: advice", "", "", "no GPU")
        return
    settings = small_training(place)
    total = torch.cuda.get_device_properties(place.device).total_memory
    torch.cuda.empty_cache()
    most = torch.cuda.memory_reserved(place.device) + 0.4e9  # the weights of r50 are half of that
    torch.cuda.set_per_process_memory_fraction(most / total, torch.device(place.device))
    said = "nothing: it fits"
    try:
        train_without_chance(place.folder / "run", [*settings, "data.short_sides=[1200]", "data.long_side=2000"])
    except ConfigError as error:
        said = str(error)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, torch.device(place.device))
        torch.cuda.empty_cache()
    yield judged("out of memory: advice", said, "one line with what to lower", said.startswith("out of memory on cuda"))


def check_rescore_speed(place: Place) -> Iterator[Row]:
    """Re-scoring beside the encoder alone."""
    model, crops, rounds = ("ViT-B-32", 4, 1) if place.short else ("ViT-L-14-336", 1000, 2)
    options = argparse.Namespace(model=model, crops=crops, rounds=rounds, device=place.device)
    speed = rescore_speed.compare(options, place.folder)
    figure = f"{speed['encoder alone']:.2f} of the encoder alone, {speed['crops per second']:.0f} crops/s"
    yield judged(f"rescore, {model}: speed", figure, "0.9", speed["encoder alone"] >= 0.9)


def check_training_speed(place: Place) -> Iterator[Row]:
    """Training and how much of it waits for photos."""
    training_speed.make_photos(place.folder, count=64)
    side, count = (96, 2) if place.short else (800, 10)
    arguments = argparse.Namespace(images=2, short_side=side, iterations=count, workers=0 if place.short else 4)
    for name in ("small",) if place.short else ("r50", "r101"):
        for precision in (FULL_FORMAT, "bf16")[: 1 if place.short else 2]:
            speed, waits = training_speed.compare(place.folder, name, place.device, precision, arguments)
            yield judged(
                f"training, {name}, {precision}: speed",
                f"{speed:.2f} steps/s, {waits:.1%} loading",
                "5 %",
                waits < 0.05,
            )


CHECKS: Mapping[str, Callable[[Place], Iterator[Row]]] = {
    "rescore": check_rescore,
    "predict": check_predict,
    "training": check_training,
    "two processes": check_two_processes,
    "out of memory": check_memory,
    "rescore speed": check_rescore_speed,
    "training speed": check_training_speed,
}


def judged(check: str, figure: str, goal: str, passed: bool) -> Row:
    """A row with its verdict."""
    return Row(check, figure, goal, "pass" if passed else "FAIL")


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Whether convolutions on a GPU may round their inputs to TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


if __name__ == "__main__":
    main()
