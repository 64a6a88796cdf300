"""The files that come with the package: weights and first detections; and how right the encoder is."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from risf_core.choices import DEFAULT_TEMPLATE
from risf_core.demo.dataset import CLASSES, MadeDataset
from risf_core.encoder import CropEncoder, ImageCrops
from risf_core.evaluation import read_ground_truth
from risf_core.photos import find_photos

FILE_NAMES = ("made-clip.json", "made-clip.safetensors", "made-backbone.safetensors")


def packaged_files() -> tuple[Path, ...]:
    """The encoder's config and weights, and the backbone that base training starts from."""
    return tuple(Path(__file__).parent / name for name in FILE_NAMES)


def first_detections() -> str:
    """COCO results of a small detector, finetuned with BNRL, on the first 40 test photos (scores over 0.05)."""
    return gzip.decompress((Path(__file__).parent / "first-detections.json.gz").read_bytes()).decode()


def share_right(encoder: CropEncoder, made: MadeDataset) -> float:
    """Of the ground-truth crops of the test photos, the share whose own name of all the demo's classes fits best."""
    truth = read_ground_truth(made.test)
    photos = find_photos(truth.images_by_id, images=None, folders=[made.photos]).photos
    corners = truth.boxes_xywh.copy()
    corners[:, 2:] += corners[:, :2]
    of_image = {image_id: np.flatnonzero(truth.image_ids == image_id) for image_id in truth.images_by_id}
    rows = {image_id: found for image_id, found in of_image.items() if len(found)}
    crops = (ImageCrops(photos[image_id], corners[found]) for image_id, found in rows.items())
    texts = encoder.encode_texts([DEFAULT_TEMPLATE.format(name) for name in CLASSES])  # (C, D)
    right = [
        (embeddings @ texts.T).argmax(axis=1) == truth.labels[found]
        for embeddings, found in zip(encoder.encode_crops(crops), rows.values(), strict=True)
    ]
    return float(np.concatenate(right).mean())
