"""Detections of transformers' post_process results, grounded ones too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from risf_core.choices import CategoryConvention
from risf_core.detections import Detections, ImageId
from risf_core.formats.in_memory import detections_of, names_or_ids
from risf_core.formats.per_photo import plain_list
from risf_core.vocabulary import ClassVocabulary


def from_transformers(
    results: Mapping[ImageId, Mapping[str, Any]],  # Any: tensors
    vocabulary: ClassVocabulary,
    *,
    id2label: Mapping[int, str] | None = None,
    category_ids: CategoryConvention | None = None,
    sizes: Mapping[ImageId, tuple[int, int]] | None = None,
) -> Detections:
    """Detections of `{scores, labels, boxes}` by image id; with `sizes` (height, width) the boxes may be relative.

    Classes go by `text_labels`, else by the model's `id2label`, else by number under `category_ids`.
    """
    entries = {}
    for image_id, result in results.items():
        labels = plain_list(result["labels"])
        texts = result.get("text_labels")
        if texts is None and id2label is not None:
            texts = [id2label[label] for label in labels]
        entries[image_id] = {
            "boxes": result["boxes"],
            "scores": result["scores"],
            "labels": names_or_ids(texts, labels),
        }
    return detections_of(entries, vocabulary, source="transformers", category_ids=category_ids, sizes=sizes)
