"""Photos per second of prediction, ours against upstream detectron2, in one run on the same photos and weights.

    make setup-detectron2
    .venv-detectron2/bin/python -m benchmarks.predict_against_detectron2 --photos 5

Both read files from disk, resize to 800 pixels, detect with 1000 proposals and return boxes in the photo's pixels. They
take turns photo by photo, so that whatever else the machine does falls on both. The weights are random, scaled so that
every photo has 100 detections.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from risf_core.detector.prediction import PredictionSettings, predict
from risf_core.photos import Photo
from risf_core.vocabulary import ClassVocabulary
from tests.lively import CLASSES, lively_detector, random_photo
from tests.parity.upstream import insert_decoupling, upstream_model

SIZES = [(480, 640), (640, 480), (427, 640), (500, 375)]  # COCO's commonest


def main() -> None:
    """Print a line for each architecture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=5, help="photos to take turns on, after one to warm up")
    parser.add_argument("--architectures", nargs="+", default=["r50", "r101"])
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", message="torch.meshgrid")
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number in range(arguments.photos + 1):
            paths.append(Path(folder, f"{number}.jpg"))
            Image.fromarray(random_photo(SIZES[number % len(SIZES)], number)).save(paths[-1], quality=95)
        for architecture in arguments.architectures:
            ours, upstream = pair(architecture, arguments.device)
            seconds = take_turns(ours, upstream, paths)
            rates = [1 / statistics.median(each) for each in seconds]
            print(
                f"{architecture}: risf {rates[0]:.3f} photos/s, detectron2 {rates[1]:.3f} photos/s, "
                f"ratio {rates[0] / rates[1]:.2f} (medians of {arguments.photos} photos, {arguments.device}, "
                f"{torch.get_num_threads()} threads, torch {torch.__version__})",
                flush=True,
            )


def pair(architecture: str, device: str) -> tuple[Callable[[Path], int], Callable[[Path], int]]:
    """Ours and upstream's way from a file to its detections; each returns how many."""
    from detectron2.data.detection_utils import read_image
    from detectron2.data.transforms import ResizeShortestEdge

    model = lively_detector(architecture)
    other = upstream_model(architecture).eval()
    insert_decoupling(other)
    other.load_state_dict(model.state_dict())
    other.to(device)
    vocabulary = ClassVocabulary.from_names([str(i) for i in range(CLASSES)])
    settings = PredictionSettings(device=device)
    resize = ResizeShortestEdge(800, 1333)

    def ours(path: Path) -> int:
        return len(predict(model, {0: Photo(path)}, vocabulary=vocabulary, settings=settings).detections)

    def upstream(path: Path) -> int:
        photo = read_image(str(path), format="BGR")
        resized = resize.get_transform(photo).apply_image(photo)
        pixels = torch.as_tensor(resized.astype("float32").transpose(2, 0, 1))
        with torch.no_grad():
            found = other([{"image": pixels, "height": photo.shape[0], "width": photo.shape[1]}])
        return len(found[0]["instances"].to("cpu"))

    return ours, upstream


def take_turns(ours: Callable[[Path], int], upstream: Callable[[Path], int], paths: list[Path]) -> list[list[float]]:
    """The seconds of each for every photo but the first, which warms up."""
    seconds: list[list[float]] = [[], []]
    for number, path in enumerate(paths):
        for which, run in enumerate((ours, upstream)):
            start = time.perf_counter()
            assert run(path) == 100
            if number:
                seconds[which].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
