"""Images a second of training and of prediction with both engines, in one run on the same photos and weights.

    make setup-detectron2
    .venv-detectron2/bin/python -m benchmarks.engines --device cpu --short-side 400 --rounds 3

The engines take turns, step by step and photo by photo, so that whatever else the machine does falls on both; each
figure is a median. Weights are random, scaled so that every photo has 100 detections. Training is a step of the
few-shot stage (BNRL, res5 frozen) on images in memory; prediction reads files.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from detectron2.utils.events import EventStorage
from PIL import Image

from benchmarks.timing import clock
from risf_core.config import DataConfig
from risf_core.detector.freezing import freeze_for_few_shot
from risf_core.detector.model import Detector
from risf_core.detector.prediction import PredictionSettings, predict, with_short_side
from risf_core.devices import choose_device
from risf_core.engines import on_engine
from risf_core.losses import classification_loss
from risf_core.photos import Photo
from risf_core.records import ImageRecord
from risf_core.training.examples import Example, make_example
from risf_core.training.stepping import Stepper, seeded_samplers
from risf_core.vocabulary import ClassVocabulary
from tests.lively import CLASSES, lively_detector, random_photo

SIZES = [(480, 640), (427, 640)]  # COCO's commonest
ENGINES = ("torchvision", "detectron2")


@dataclass(frozen=True)
class Work:
    """What both engines do."""

    photos: dict[int, Photo]
    examples: Sequence[Example]
    device: str
    precision: str
    short_side: int
    rounds: int


def main() -> None:
    """Print a line for each architecture and kind of work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", default=["r50", "r101"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--short-side", type=int, default=800)
    parser.add_argument("--images", type=int, default=2, help="images of a training step")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine, after one to warm up")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="torch.meshgrid")
    device = choose_device(arguments.device)
    print(
        f"{device}, {arguments.precision}, short side {arguments.short_side}, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    print(f"{'images a second':14} {'torchvision':>12} {'detectron2':>12} {'ratio':>6}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        work = made_work(Path(folder), arguments, device)
        for architecture in arguments.architectures:
            for name, prepare, images in (("train", training, len(work.examples)), ("predict", prediction, 1)):
                ours, theirs = take_turns([prepare(architecture, engine, work) for engine in ENGINES], work)
                print(
                    f"{architecture:5} {name:9} {images / ours:12.3f} {images / theirs:12.3f} {theirs / ours:6.2f}",
                    flush=True,
                )


def made_work(folder: Path, arguments: argparse.Namespace, device: str) -> Work:
    """Photos as files, and the same as training examples with seven boxes each, as in COCO."""
    generator = np.random.default_rng(0)
    photos, examples = {}, []
    data = DataConfig(short_sides=(arguments.short_side,), long_side=round(arguments.short_side * 5 / 3), flip=0)
    for number in range(max(arguments.images, len(SIZES))):
        height, width = SIZES[number % len(SIZES)]
        path = folder / f"{number}.jpg"
        Image.fromarray(random_photo((height, width), number)).save(path, quality=95)
        photos[number] = Photo(path)
        corners = generator.uniform(0, 0.6, (7, 2)) * [width, height]
        boxes = np.concatenate([corners, corners + generator.uniform(20, 160, (7, 2))], axis=1)
        record = ImageRecord(number, path, height, width, boxes, generator.integers(0, CLASSES, 7), np.zeros(7, bool))
        examples.append(make_example(record, data, place=number, generator=generator))
    return Work(
        photos, examples[: arguments.images], device, arguments.precision, arguments.short_side, arguments.rounds
    )


def training(architecture: str, engine: str, work: Work) -> Callable[[], None]:
    """A function that takes one optimiser step on the examples."""
    model = lively_detector(architecture).train()
    model.rcnn_gradient_scale = 0.01
    model.roi_heads.classification_loss = classification_loss("paper")
    freeze_for_few_shot(model)
    model = on_engine(model, engine).to(work.device)
    stepper = Stepper(
        model,
        torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-6, momentum=0.9),
        inputs=model.architecture.inputs,
        device=torch.device(work.device),
        precision=work.precision,
        channels_last=False,
        sampler_of=seeded_samplers(0),
    )

    def step() -> None:
        with EventStorage():  # upstream's parts write to one
            stepper.step(iter([list(work.examples)]), count=1, rate=1e-6, seed=0)

    return step


def prediction(architecture: str, engine: str, work: Work) -> Callable[[], None]:
    """A function that finds what is in one photo, from its file."""
    model: Detector = on_engine(lively_detector(architecture), engine)
    vocabulary = ClassVocabulary.from_names([str(label) for label in range(CLASSES)])
    settings = PredictionSettings(device=work.device, precision=work.precision)
    inputs = with_short_side(model.architecture.inputs, work.short_side)

    def look() -> None:
        found = predict(model, {0: work.photos[0]}, vocabulary=vocabulary, settings=settings, inputs=inputs)
        assert len(found.detections) == 100

    return look


def take_turns(engines: Sequence[Callable[[], None]], work: Work) -> list[float]:
    """The median seconds of each engine's turns but the first, which warms up."""
    seconds: list[list[float]] = [[] for _ in engines]
    for number in range(work.rounds + 1):
        for which, run in enumerate(engines):
            start = clock(work.device)
            run()
            if number:
                seconds[which].append(clock(work.device) - start)
    return [statistics.median(each) for each in seconds]


if __name__ == "__main__":
    main()
