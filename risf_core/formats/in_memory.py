"""Detections of results in memory, an entry a photo: what the files for each package have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from risf_core.choices import CategoryConvention
from risf_core.detections import Detections, ImageId
from risf_core.formats.conventions import Conventions
from risf_core.formats.matching import match
from risf_core.formats.per_photo import rows_of_photos
from risf_core.formats.rows import PhotoKey
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


def detections_of(
    entries: Mapping[ImageId, Mapping[str, object]],
    vocabulary: ClassVocabulary,
    *,
    source: str,
    category_ids: CategoryConvention | None,
    sizes: Mapping[ImageId, tuple[int, int]] | None = None,
) -> Detections:
    """Detections of `boxes` (corners), `scores` and `labels` (ids or names) by image id.

    Relative boxes take (height, width) from `sizes`. Raises DataError as reading a file does.
    """
    rows = rows_of_photos(
        [PhotoKey(None, image_id) for image_id in entries],
        list(entries.values()),
        source,
        box_convention=None if sizes else "xyxy",
        category_ids=category_ids,
    )
    images = {image_id: ImageInfo(image_id) for image_id in entries}
    return match(
        rows,
        images,
        vocabulary,
        conventions=Conventions(category_ids=category_ids),
        sizes_of=None if sizes is None else lambda image_ids, stated: sizes,
    ).detections


def names_or_ids(names: Sequence[object] | None, ids: Iterable[object]) -> list[object]:
    """The names as texts where there are any, else the ids."""
    return list(ids) if names is None else [str(name) for name in names]
