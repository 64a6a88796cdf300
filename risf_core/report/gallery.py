"""The detections that the page shows, with their pictures, and which pictures are missing."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import ImageId
from risf_core.errors import ImageError, listing
from risf_core.images import decode_rgb
from risf_core.photos import Photo, find_photos
from risf_core.report.comparison import Comparison
from risf_core.report.moved import Kind, Moved, MovedRow, moved_rows

_log = logging.getLogger(__name__)

MOST_BYTES = 8_000_000  # of pictures; with plotly.js and the tables the page then stays below 15 MB


@dataclass(frozen=True)
class Gallery:
    """What is shown of the detections that moved."""

    moved: Mapping[Kind, Moved]
    pictures: Mapping[MovedRow, str]  # data URIs
    absent: Mapping[ImageId, str]  # images without a picture, and why
    left_out: int  # pictures for which the page had no room
    asked_for_pictures: bool  # whether folders of photos were given
    has_names: bool  # whether AFTER keeps the encoder's names of any crop


def build_gallery(comparison: Comparison, *, images: Sequence[Path], most: int) -> Gallery:
    """Pictures of what moved, up to `most` of each kind, from photos in the folders `images`.

    A photo that is missing or damaged leaves its picture out, named in `absent` and in a warning. Raises DataError
    where a folder is missing.
    """
    moved = moved_rows(comparison, most=most)
    rows = list(dict.fromkeys(row for own in moved.values() for row in own.rows))
    photos, absent = _photos_of(rows, comparison.truth, images)
    uses = Counter(row for own in moved.values() for row in own.rows)  # a detection may be of several kinds
    pictures, damaged, left_out = _pictures_of(uses, photos)
    absent |= damaged
    if images and absent:
        _log.warning(
            "%d of the images shown have no picture: %s",
            len(absent),
            listing([image_name(comparison.truth, image_id) for image_id in absent], most=3),
        )
    if left_out:
        _log.warning("%d pictures are left out because the page would exceed 15 MB; lower `pictures`", left_out)
    has_names = any("clip_names" in (extras or {}) for extras in comparison.after.table.extras)
    return Gallery(moved, pictures, absent, left_out, asked_for_pictures=bool(images), has_names=has_names)


def image_name(truth: AnnotatedDataset, image_id: ImageId) -> str:
    """What a person calls an image: its file name, or its id."""
    return truth.images_by_id[image_id].file_name or f"image {image_id}"


def _photos_of(
    rows: Sequence[MovedRow], truth: AnnotatedDataset, folders: Sequence[Path]
) -> tuple[dict[ImageId, Photo], dict[ImageId, str]]:
    """The photos of the rows' images, and why the others have none."""
    ids = list(dict.fromkeys(row.image_id for row in rows))
    if not folders:
        return {}, dict.fromkeys(ids, "no photos were given")
    found = find_photos(ids, images=truth.images_by_id, folders=folders)
    where = listing([str(folder) for folder in folders], most=2)
    return dict(found.photos), dict.fromkeys(found.missing, f"no photo in {where}")


def _pictures_of(
    uses: Mapping[MovedRow, int], photos: Mapping[ImageId, Photo]
) -> tuple[dict[MovedRow, str], dict[ImageId, str], int]:
    """A picture of each row whose photo can be read, one photo decoded at a time; damaged photos; pictures too many.

    `uses` is how often the page shows a row's picture.
    """
    from risf_core.report.pictures import draw_picture

    pictures: dict[MovedRow, str] = {}
    damaged: dict[ImageId, str] = {}
    room, left_out = MOST_BYTES, 0
    by_image: dict[ImageId, list[MovedRow]] = {}
    for row in uses:
        if row.image_id in photos:
            by_image.setdefault(row.image_id, []).append(row)
    for image_id, own in by_image.items():
        if room <= 0:
            left_out += len(own)
            continue
        try:
            pixels = decode_rgb(photos[image_id].path, photos[image_id].size)
        except ImageError as error:
            damaged[image_id] = str(error)
            continue
        for row in own:
            pictures[row] = draw_picture(pixels, row.box, verdict=row.verdict)
            room -= uses[row] * len(pictures[row])
    return pictures, damaged, left_out
