"""Iterations a second of training, with images loaded from disk beside the same steps on images in memory.

    python -m benchmarks.training_speed --architecture r50 --architecture r101 --device cpu --short-side 320

Base training. Weights are random, scaled so that the RPN proposes as many boxes as a trained one's: fresh weights may
propose next to none, and a step with few RoIs costs little.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import clock
from risf_core.choices import Precision
from risf_core.config import ConfigInForce, published_config, read_config
from risf_core.detector.runs import RunDescription
from risf_core.devices import choose_device, choose_precision
from risf_core.engines.train import train
from risf_core.files import write_json
from risf_core.processes import Processes
from risf_core.training.data_sets import read_training_data
from risf_core.training.loading import training_steps
from risf_core.training.loop import Hooks
from risf_core.training.meter import RunStatus
from risf_core.training.saving import save_weights
from risf_core.training.starting import starting_model
from risf_core.training.stepping import Stepper, seeded_samplers
from risf_core.vocabulary import ClassVocabulary
from tests.lively import lively_detector

CLASSES = 60  # COCO's base classes


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architecture", action="append", choices=["r50", "r101", "small"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--images", type=int, default=2, help="images a step")
    parser.add_argument("--short-side", type=int, default=800)
    parser.add_argument("--iterations", type=int, default=10, help="that are measured, after as many that are not")
    parser.add_argument("--workers", type=int, default=4)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    print(f"{device}, {precision}, {arguments.images} images of short side {arguments.short_side} a step")
    print(f"{'':8} {'from disk':>10} {'in memory':>10} {'ratio':>6} {'loading':>8}")
    with tempfile.TemporaryDirectory() as folder:
        make_photos(Path(folder), count=64)
        for name in arguments.architecture or ["r50", "r101"]:
            compare(Path(folder), name, device, precision, arguments)


def compare(
    folder: Path, name: str, device: str, precision: Precision, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Print the row of a network; returns iterations a second from disk and the share of waiting for images."""
    write_weights(folder, name)
    config = config_of(folder, name, device, precision, arguments)
    disk, share = from_disk(config, folder / f"run-{name}")
    memory = in_memory(config, device, arguments.iterations)
    print(f"{name:8} {disk:8.3f}/s {memory:8.3f}/s {disk / memory:6.2f} {share:8.1%}", flush=True)
    return disk, share


def make_photos(folder: Path, *, count: int) -> None:
    """Photos of COCO's usual size, with seven boxes each as in COCO."""
    generator = np.random.default_rng(0)
    images, annotations = [], []
    for image_id in range(1, count + 1):
        coarse = generator.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((640, 480)).save(folder / f"{image_id}.jpg", quality=92)
        images.append({"id": image_id, "file_name": f"{image_id}.jpg", "height": 480, "width": 640})
        for _ in range(7):
            x, y, side = generator.uniform(0, 400), generator.uniform(0, 300), generator.uniform(20, 180)
            annotations.append(
                {"id": len(annotations) + 1, "image_id": image_id, "category_id": len(annotations) % CLASSES + 1,
                 "bbox": [x, y, side, side]}
            )  # fmt: skip
    categories = [{"id": number, "name": f"class {number}"} for number in range(1, CLASSES + 1)]
    write_json(folder / "train.json", {"images": images, "annotations": annotations, "categories": categories})


def write_weights(folder: Path, name: str) -> None:
    """A detector that finds many things, of which base training takes all but the head."""
    model = lively_detector(name, classes=CLASSES)
    vocabulary = ClassVocabulary.from_names([f"class {number}" for number in range(1, CLASSES + 1)])
    save_weights(folder / f"{name}.pth", model.state_dict(), RunDescription(model.architecture, vocabulary))


def config_of(folder: Path, name: str, device: str, precision: str, arguments: argparse.Namespace) -> ConfigInForce:
    side = arguments.short_side
    return read_config(
        published_config("coco/base"),
        overrides=[
            f"data.coco=[{folder}/train.json]", f"data.images=[{folder}]", f"data.workers={arguments.workers}",
            f"data.short_sides=[{side}]", f"data.long_side={round(side * 5 / 3)}", f"model.architecture={name}",
            f"model.weights={folder}/{name}.pth",
            f"solver.device={device}", f"solver.precision={precision}", f"solver.batch={arguments.images}",
            f"solver.images_per_step={arguments.images}", "solver.scale_schedule=false", "solver.steps=[]",
            f"solver.iterations={2 * arguments.iterations}", f"solver.log_every={arguments.iterations}",
            "solver.learning_rate=1e-6",
        ],
    )  # fmt: skip


def from_disk(config: ConfigInForce, run: Path) -> tuple[float, float]:
    """Iterations a second and the share of time that waits for images, of the second half of a run."""
    seen: list[RunStatus] = []
    train(config, run, hooks=Hooks(on_progress=seen.append))
    return 1 / seen[-1].seconds_per_iteration, seen[-1].loading_share


def in_memory(config: ConfigInForce, device: str, iterations: int) -> float:
    """Iterations a second of the same steps on batches that are there already."""
    values = config.values
    data = read_training_data(values.data)
    model = starting_model(values, data.records.vocabulary, whole=data.records.vocabulary).model.to(device)
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    stepper = Stepper(
        model,
        torch.optim.SGD(parameters, lr=1e-6, momentum=0.9),
        inputs=model.architecture.inputs,
        device=torch.device(device),
        precision=choose_precision(values.solver.precision, device),
        channels_last=values.solver.channels_last,
        sampler_of=seeded_samplers(0),
    )
    steps = training_steps(
        data.records.records, values.data, seed=0, group_size=values.solver.batch, accumulation=1,
        processes=Processes(),
    )  # fmt: skip
    groups = [list(next(steps).groups) for _ in range(4)]
    start = 0.0
    for number in range(2 * iterations):
        if number == iterations:
            start = clock(device)
        stepper.step(iter(groups[number % 4]), count=1, rate=1e-6, seed=number)
    return iterations / (clock(device) - start)


if __name__ == "__main__":
    main()
