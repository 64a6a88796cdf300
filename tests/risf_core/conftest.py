"""Photos to cut from, and a fake encoder whose answers are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from risf_core.encoder.protocol import ImageCrops
from risf_core.images import decode_rgb


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Five photos of different sizes; smooth enough that resizing is well behaved."""
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(5)
    paths = []
    for number, (height, width) in enumerate([(60, 80), (120, 50), (64, 64), (40, 200), (90, 91)]):
        coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
        paths.append(folder / f"{number}.png")
    return paths


class ColourEncoder:
    """Knows three classes by colour: the embedding of a crop is its mean red, green and blue, of a text its colour."""

    key = "colours"
    words: ClassVar = {"red": (1, 0, 0), "green": (0, 1, 0), "blue": (0, 0, 1)}

    def __init__(self) -> None:
        self.boxes_seen: list[tuple[str, tuple[float, ...]]] = []

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[np.ndarray]:
        for image in images:
            pixels = decode_rgb(image.photo.path, image.photo.size)
            self.boxes_seen += [(image.photo.path.name, tuple(box.tolist())) for box in image.boxes]
            means = np.array(
                [pixels[int(y0) : int(y1), int(x0) : int(x1)].mean(axis=(0, 1)) for x0, y0, x1, y1 in image.boxes]
            )
            yield (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)

    def encode_texts(self, texts: Sequence[str]) -> np.ndarray:
        rows = [next((c for word, c in self.words.items() if word in text), (1, 1, 1)) for text in texts]
        table = np.array(rows, dtype=np.float32)
        return table / np.linalg.norm(table, axis=1, keepdims=True)


@pytest.fixture
def colours() -> ColourEncoder:
    return ColourEncoder()
