"""Detections of torchvision's results: `{boxes, labels, scores}` for each photo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from risf_core.choices import CategoryConvention
from risf_core.detections import Detections, ImageId
from risf_core.formats.form import Output
from risf_core.formats.in_memory import detections_of
from risf_core.vocabulary import ClassVocabulary


def from_torchvision(
    results: Mapping[ImageId, Mapping[str, Any]],  # Any: tensors
    vocabulary: ClassVocabulary,
    *,
    category_ids: CategoryConvention | None = None,
) -> Detections:
    """Detections of a model's results by image id; `category_ids` None is decided where one reading alone fits."""
    return detections_of(results, vocabulary, source="torchvision", category_ids=category_ids)


def to_torchvision(detections: Detections, vocabulary: ClassVocabulary) -> dict[ImageId, dict[str, Any]]:
    """`{boxes, labels, scores}` by image id; labels are category ids. Raises DataError where one is unknown."""
    import torch

    output = Output(detections, vocabulary)
    return {
        image_id: {
            "boxes": torch.from_numpy(detections.boxes[rows]),
            "labels": torch.tensor([vocabulary.category_ids[i] for i in output.labels(rows)], dtype=torch.int64),
            "scores": torch.from_numpy(detections.scores[rows].copy()),
        }
        for image_id, rows in detections.by_image()
    }
