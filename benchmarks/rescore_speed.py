"""Speed of re-scoring beside the encoder alone and a plain loop, in one process, on the same unique crops.

(a) the plain loop: one image at a time, float32, all its boxes as one batch;
(b) the encoder alone, on ready-made batches, at the precision that `auto` picks;
(c) `rescore`, cutting crops while the encoder runs;
(d) `rescore` again, from the cache.

    python benchmarks/rescore_speed.py                          # ViT-B-32 with random weights, made photos
    python benchmarks/rescore_speed.py --model ViT-L-14-336 --crops 4000
    RISF_TEST_DATA=... python benchmarks/rescore_speed.py       # the photos and detections of real/
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file

from risf_core.datasets.index import read_coco_index
from risf_core.detections import Detections
from risf_core.devices import choose_device, choose_precision
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.crops import cut_crops
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.open_clip_model import build_model, create_untrained
from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.weights import EncoderSource
from risf_core.formats.detections_file import read_detections_file
from risf_core.images import decode_rgb
from risf_core.photos import Photo, find_photos
from risf_core.rescore.pipeline import rescore
from risf_core.vocabulary import ClassVocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32", help="a model of open_clip; its weights are random")
    parser.add_argument("--crops", type=int, default=384, help="about how many unique crops")
    parser.add_argument("--rounds", type=int, default=3, help="each way is timed so often, in turn; the best counts")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    """Print the speeds; returns those of `rescore` as multiples of the plain loop's and the encoder's."""
    device = choose_device(options.device)
    precision = choose_precision("auto", device)
    detections, vocabulary, photos = load(folder, options.crops)
    source = random_encoder(options.model, folder)
    encoder = OpenClipEncoder(source, device=device, precision=precision)
    jobs = unique_jobs(detections, vocabulary, photos)
    count = sum(len(job.boxes) for job in jobs)
    print(f"{options.model}, random weights, {precision} on {device}, batches of {encoder.batch_size}")
    share = len(detections) / count
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads")
    print(f"{len(detections)} rows of {len(jobs)} photos share {count} unique crops: {share:.2f} rows a crop")

    single = build_model(source).to(device).eval()
    ready = ready_batches(encoder, jobs)
    encoder.encode_texts(["warm up"])
    cache = EmbeddingCache(folder / "cache")

    def again(wrapped: CachedEncoder | OpenClipEncoder) -> None:
        rescore(detections, vocabulary=vocabulary, encoder=wrapped, photos=photos)

    again(CachedEncoder(encoder, cache))  # fills the cache
    ways: dict[str, Callable[[], None]] = {
        "(a) plain loop, float32": lambda: plain_loop(single, jobs, device, encoder.preprocessing.side),
        "(b) encoder alone": lambda: encoder_alone(encoder, ready),
        "(c) rescore": lambda: again(encoder),
        "(d) rescore from the cache": lambda: again(
            CachedEncoder(OpenClipEncoder(source, device=device, precision=precision), cache)
        ),
    }
    seconds = {name: min(times) for name, times in timed(ways, options.rounds, device).items()}
    a, b, c, d = (count / best for best in seconds.values())
    for name, best in seconds.items():
        print(f"{name:<28}{best:8.2f} s {count / best:10.1f} crops/s")
    print(f"(c) is {c / a:.2f} times (a) and {c / b:.2f} of (b); (d) is {d / a:.0f} times (a)")
    return {"plain loop": c / a, "encoder alone": c / b, "crops per second": c}


def load(folder: Path, crops: int) -> tuple[Detections, ClassVocabulary, dict]:
    """So many detections over 0.05 of real photos where RISF_TEST_DATA names them, else of made ones."""
    root = os.environ.get("RISF_TEST_DATA")
    if not root:
        return made_photos(folder, crops)
    real = Path(root) / "real"
    index = read_coco_index(real / "instances.json")
    file = real / "detections" / "yolox_nano_weak.json"
    table = read_detections_file(file, index.images, index.vocabulary).detections
    table = table[table.scores > 0.05]
    table = table[: rows_of_crops(table, crops)]
    found = find_photos(dict.fromkeys(table.image_ids.tolist()), images=index.images, folders=[real / "photos"])
    return table, index.vocabulary, dict(found.photos)


def rows_of_crops(table: Detections, crops: int) -> int:
    """How many of the first rows hold so many distinct boxes."""
    keys = list(zip(table.image_ids.tolist(), map(tuple, table.boxes_xywh.tolist()), strict=True))
    first = {key: row for row, key in reversed(list(enumerate(keys)))}  # where each box stands first
    return sorted(first.values())[crops] if crops < len(first) else len(keys)


def made_photos(folder: Path, crops: int) -> tuple[Detections, ClassVocabulary, dict]:
    """Photos of COCO's usual size with sixteen boxes each, two rows a box."""
    rng = np.random.default_rng(0)
    vocabulary = ClassVocabulary.from_names(["cat", "dog", "bird"])
    photos, ids, boxes = {}, [], []
    for image_id in range(-(-crops // 16)):
        coarse = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        path = folder / f"{image_id}.jpg"
        Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC).save(path, quality=90)
        photos[image_id] = Photo(path, (480, 640))
        corner, side = rng.uniform(0, 200, (16, 2)), rng.uniform(20, 280, (16, 2))
        boxes += np.repeat(np.concatenate([corner, side], axis=1), 2, axis=0).tolist()
        ids += [image_id] * 32
    labels = rng.integers(0, 3, len(ids))
    return Detections.from_rows(ids, boxes, rng.uniform(0.06, 1, len(ids)), labels), vocabulary, photos


def random_encoder(name: str, folder: Path) -> EncoderSource:
    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    state = create_untrained(name).state_dict()
    save_file({key: value.contiguous() for key, value in state.items()}, weights)
    return EncoderSource(name, None, open_clip.get_model_config(name), weights)


def unique_jobs(detections: Detections, vocabulary: ClassVocabulary, photos: dict) -> list[ImageCrops]:
    """The photos and distinct boxes that `rescore` hands to its encoder."""

    class Listening:
        key = "listening"

        def encode_crops(self, images):
            for image in images:
                jobs.append(image)
                yield np.ones((len(image.boxes), 2), dtype=np.float32)

        def encode_texts(self, texts):
            return np.ones((len(texts), 2), dtype=np.float32)

    jobs: list[ImageCrops] = []
    rescore(detections, vocabulary=vocabulary, encoder=Listening(), photos=photos)
    return jobs


def ready_batches(encoder: OpenClipEncoder, jobs: list[ImageCrops]) -> list[torch.Tensor]:
    """All crops, cut and normalised beforehand, as batches in the encoder's precision on its device."""
    given = encoder.preprocessing
    crops = np.concatenate([cut_crops(decode_rgb(job.photo.path), job.boxes, side=given.side) for job in jobs])
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[encoder.precision]
    mean, std = torch.tensor(given.mean).view(3, 1, 1), torch.tensor(given.std).view(3, 1, 1)
    batches = torch.from_numpy(crops).split(encoder.batch_size)
    return [((batch.float() / 255 - mean) / std).to(encoder.device, dtype) for batch in batches]


@torch.inference_mode()
def plain_loop(model, jobs: list[ImageCrops], device: str, side: int) -> None:
    """What a script without this toolkit does."""
    mean, std = np.array(open_clip.OPENAI_DATASET_MEAN), np.array(open_clip.OPENAI_DATASET_STD)
    for job in jobs:
        with Image.open(job.photo.path) as opened:
            photo = opened.convert("RGB")
        crops = [photo.crop(tuple(box)).resize((side, side), Image.Resampling.BICUBIC) for box in job.boxes]
        pixels = (np.stack([np.asarray(crop) for crop in crops]) / 255 - mean) / std
        batch = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().to(device)
        model.encode_image(batch, normalize=True).cpu()


@torch.inference_mode()
def encoder_alone(encoder: OpenClipEncoder, batches: list[torch.Tensor]) -> None:
    for batch in batches:
        encoder._model.encode_image(batch)


def timed(ways: dict[str, Callable[[], None]], rounds: int, device: str) -> dict[str, list[float]]:
    """The seconds of each way, the ways in turn, so that a busy moment of the machine meets them all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
