"""What an encoder of crops and prompts offers: open_clip's, a cache around it, or a fake of three lines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from risf_core.photos import Photo


@dataclass(frozen=True)
class ImageCrops:
    """The boxes of one photo that want embeddings."""

    photo: Photo
    boxes: NDArray[np.float64]  # (n, 4) corners inside the photo, each with an area


class CropEncoder(Protocol):
    """A stream of photos and boxes in, a stream of embeddings out, in the same order."""

    @property
    def key(self) -> str:
        """What the embeddings depend on besides photo and box: model, weights, precision, preprocessing, crop rule."""
        ...

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D), of unit length."""
        ...

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embedding of each text, (T, D), of unit length. Raises EncoderError where a text is too long."""
        ...
