"""Detections of supervision's, and back (RF-DETR's `predict` returns supervision's, too)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from risf_core.choices import CategoryConvention
from risf_core.detections import Detections, ImageId
from risf_core.errors import DataError
from risf_core.formats.in_memory import detections_of, names_or_ids
from risf_core.vocabulary import ClassVocabulary


def from_supervision(
    results: Mapping[ImageId, Any],  # Any: supervision's Detections
    vocabulary: ClassVocabulary,
    *,
    category_ids: CategoryConvention | None = None,
) -> Detections:
    """Detections of supervision's by image id; classes go by `class_name`, else by `class_id` under `category_ids`.

    Raises DataError where the confidence is missing.
    """
    entries: dict[ImageId, dict[str, object]] = {}
    for image_id, result in results.items():
        if len(result.xyxy) and result.confidence is None:
            raise DataError(f"supervision: the detections of {image_id!r} have no confidence")
        names = result.data.get("class_name") if category_ids is None else None
        if len(result.xyxy) and names is None and result.class_id is None:
            raise DataError(f"supervision: the detections of {image_id!r} have neither class_name nor class_id")
        ids = [] if result.class_id is None else result.class_id.tolist()
        scores = np.empty(0) if result.confidence is None else result.confidence
        labels = names_or_ids(names, ids) if len(result.xyxy) else []
        entries[image_id] = {"boxes": result.xyxy, "scores": scores, "labels": labels}
    return detections_of(entries, vocabulary, source="supervision", category_ids=category_ids)


def to_supervision(detections: Detections, vocabulary: ClassVocabulary) -> dict[ImageId, Any]:
    """supervision's Detections by image id, with `class_name`; class_id is the position in the vocabulary."""
    import supervision

    names = np.array([*vocabulary.names, ""])  # the last: -1, a category that the vocabulary does not know
    return {
        image_id: supervision.Detections(
            xyxy=detections.boxes[rows],
            confidence=detections.scores[rows].copy(),
            class_id=detections.labels[rows].copy(),
            data={"class_name": names[detections.labels[rows]]},
        )
        for image_id, rows in detections.by_image()
    }
