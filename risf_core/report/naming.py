"""What the encoder would call a crop: its best names, from kept embeddings or from the encoder itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import clip_boxes, has_area
from risf_core.detections import ImageId
from risf_core.encoder.key import encoder_key
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.errors import EncoderError
from risf_core.images import upright_size
from risf_core.photos import Photo
from risf_core.report.moved import MovedRow
from risf_core.report.record import Record, strings
from risf_core.rescore.fusion import class_probabilities
from risf_core.rescore.pipeline import text_embeddings
from risf_core.rescore.prompts import Prompts

BEST = 3

Names = tuple[tuple[str, float], ...]  # the best names with their probabilities, best first


@dataclass(frozen=True)
class Asked:
    """What the encoder is asked: among which names, by which prompts, how sharply."""

    prompts: Prompts
    temperature: float


@dataclass(frozen=True)
class NamedCrops:
    """The best names of crops, and where they come from, or why there are none."""

    by_crop: Mapping[tuple[ImageId, tuple[float, ...]], Names]
    source: str | None = None  # a clause for people
    why_not: str | None = None

    def of(self, row: MovedRow) -> Names:
        """The names of a row's crop; empty where there are none."""
        return self.by_crop.get((row.image_id, row.box), ())


def asked_in(record: Record) -> Asked | None:
    """What the encoder was asked as a record has it; None where the record does not say."""
    prompts, settings = record.get("prompts"), record.get("settings")
    if not isinstance(prompts, dict) or not isinstance(settings, dict):
        return None
    names, templates = strings(prompts.get("names")), strings(settings.get("templates"))
    background, temperature = prompts.get("background"), settings.get("temperature")
    if not names or not templates or not isinstance(temperature, float | int):
        return None
    if not isinstance(background, str | None) or not all("{}" in template for template in templates):
        return None
    return Asked(Prompts(tuple(names), background, tuple(templates)), float(temperature))


def name_crops(
    rows: Iterable[MovedRow], *, photos: Mapping[ImageId, Photo], encoder: CropEncoder, asked: Asked
) -> dict[tuple[ImageId, tuple[float, ...]], Names]:
    """The best names of the crops of rows whose photo is known, as `rescore` would see them.

    Raises EncoderError or ImageError where the encoder or a photo fails.
    """
    jobs = list(_jobs(rows, photos))
    if not jobs:
        return {}
    text = text_embeddings(encoder, asked.prompts)  # (C, D)
    shown = [*asked.prompts.names, *([] if asked.prompts.background is None else [asked.prompts.background])]
    named = {}
    embedded = encoder.encode_crops(crops for _, _, crops in jobs)
    for (image_id, boxes, _), embeddings in zip(jobs, embedded, strict=True):
        for box, probabilities in zip(boxes, class_probabilities(embeddings, text, asked.temperature), strict=True):
            best = np.argsort(-probabilities, kind="stable")[:BEST]
            named[image_id, box] = tuple((shown[place], float(probabilities[place])) for place in best)
    return named


def _jobs(
    rows: Iterable[MovedRow], photos: Mapping[ImageId, Photo]
) -> Iterator[tuple[ImageId, Sequence[tuple[float, ...]], ImageCrops]]:
    """Each photo with the boxes that want names, as the file states them and as the encoder gets them."""
    by_image: dict[ImageId, dict[tuple[float, ...], None]] = {}
    for row in rows:
        if row.image_id in photos:
            by_image.setdefault(row.image_id, {})[row.box] = None
    for image_id, own in by_image.items():
        photo, stated = photos[image_id], list(own)
        clipped = clip_boxes(np.array(stated, dtype=np.float64), photo.size or upright_size(photo.path))
        sound = np.flatnonzero(has_area(clipped)).tolist()
        if sound:
            yield image_id, [stated[place] for place in sound], ImageCrops(photo, clipped[sound])


class KeptOnly:
    """The encoder of a record where only its kept embeddings are at hand: asked for any other, it raises EncoderError.

    Its key is that of the encoder which made the record, so that a cache around it finds what that one left there.
    """

    def __init__(self, record: Record) -> None:
        self.key = recorded_key(record)

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """Raises EncoderError as soon as an embedding is asked for."""
        for _ in images:
            raise EncoderError("the embedding cache does not hold all crops that are shown")
        yield from ()

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Raises EncoderError."""
        raise EncoderError(f"the embedding cache does not hold the {len(texts)} prompts")


def recorded_key(record: Record) -> str:
    """The key of the encoder that a record describes, as `OpenClipEncoder.key` has it.

    Raises EncoderError where the record does not say enough.
    """
    stated = record.get("encoder")
    encoder: dict[str, Any] = stated if isinstance(stated, dict) else {}
    missing = [
        name for name in ("model", "config", "weights_sha256", "precision", "preprocessing") if not encoder.get(name)
    ]
    if missing:
        raise EncoderError(f"the record does not state the encoder's {', '.join(missing)}")
    return encoder_key(
        model=encoder["model"],
        config=encoder["config"],
        weights_sha256=encoder["weights_sha256"],
        precision=encoder["precision"],
        preprocessing=encoder["preprocessing"],
    )
