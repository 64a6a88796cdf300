"""Detections of Ultralytics' results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

from risf_core.detections import Detections, ImageId
from risf_core.errors import DataError
from risf_core.formats.in_memory import detections_of
from risf_core.formats.per_photo import plain_list
from risf_core.vocabulary import ClassVocabulary


def from_ultralytics(
    results: Iterable[Any] | Mapping[ImageId, Any],  # Any: ultralytics' Results
    vocabulary: ClassVocabulary,
) -> Detections:
    """Detections of a model's results, classes by name; image ids are the mapping's keys, else stems of the photos."""
    by_id = results if isinstance(results, Mapping) else _by_stem(results)
    entries = {}
    for image_id, result in by_id.items():
        if result.boxes is None:
            raise DataError(f"ultralytics: the result of {image_id!r} has no upright boxes")
        labels = [result.names[int(label)] for label in plain_list(result.boxes.cls)]
        entries[image_id] = {"boxes": result.boxes.xyxy, "scores": result.boxes.conf, "labels": labels}
    return detections_of(entries, vocabulary, source="ultralytics", category_ids=None)


def _by_stem(results: Iterable[Any]) -> dict[ImageId, Any]:
    found: dict[ImageId, Any] = {}
    for result in results:
        stem = PurePath(result.path).stem
        if stem in found:
            raise DataError(f"ultralytics: two photos are named {stem!r}; pass a mapping by image id")
        found[stem] = result
    return found
