"""The crops of a table: which rows share one, photo by photo, and their embeddings as the encoder gives them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from risf_core.boxes import clip_boxes, has_area
from risf_core.detections import Detections, ImageId
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.errors import EncoderError, ImageError
from risf_core.images import decode_rgb, upright_size
from risf_core.photos import Photo
from risf_core.progress import Progress
from risf_core.rescore.settings import RescoreSettings

_SAMPLE = 128  # rows
_OR_KEEP = "; or pass `on_unreadable=keep` to leave the rows of such photos as they are"


@dataclass(frozen=True)
class CropJob:
    """The eligible rows of one photo and the distinct boxes they share."""

    rows: NDArray[np.int64]  # (r,) positions in the table
    crop_of_row: NDArray[np.int64]  # (r,) positions in `crops.boxes`
    crops: ImageCrops
    size: tuple[int, int]  # height and width of the photo, in pixels

    def of_rows(self, kept: NDArray[np.bool_]) -> CropJob:
        """The job with some of its rows (r,)."""
        return replace(self, rows=self.rows[kept], crop_of_row=self.crop_of_row[kept])

    def of_photo(self, tiles: int) -> CropJob:
        """The same rows with the photo, or the photo and its quarters (1 or 5), in the place of their boxes."""
        height, width = self.size
        halves = np.array([[0, 0, 2, 2], [0, 0, 1, 1], [1, 0, 2, 1], [0, 1, 1, 2], [1, 1, 2, 2]]) / 2
        boxes = halves[:tiles] * np.array([width, height, width, height])
        return replace(self, crops=ImageCrops(self.crops.photo, boxes), crop_of_row=np.zeros_like(self.crop_of_row))


@dataclass(frozen=True)
class CropPlan:
    """The crops of a table's eligible rows, and how many rows have none."""

    jobs: Sequence[CropJob]
    without_photo: int
    degenerate: int
    keep_unreadable: bool  # note photos that cannot be read in `unreadable` and continue
    unreadable: dict[str, int]

    @property
    def crop_count(self) -> int:
        """Distinct crops."""
        return sum(len(job.crops.boxes) for job in self.jobs)

    def of_photos(self, tiles: int) -> CropPlan:
        """The photos and their quarters in the place of the crops; photos that cannot be read are noted in both."""
        return replace(self, jobs=[job.of_photo(tiles) for job in self.jobs])


def plan_crops(
    detections: Detections, eligible: NDArray[np.int64], photos: Mapping[ImageId, Photo], *, keep_unreadable: bool
) -> CropPlan:
    """The distinct crops of the eligible rows (positions in the table), photo by photo.

    Raises ImageError where a photo cannot be read, unless `keep_unreadable`.
    """
    jobs = []
    without_photo = degenerate = 0
    unreadable: dict[str, int] = {}
    table = detections[eligible]
    corners = table.boxes
    for image_id, positions in table.by_image():
        photo = photos.get(image_id)
        if photo is None:
            without_photo += len(positions)
            continue
        try:
            size = photo.size or upright_size(photo.path)
        except ImageError as error:
            if not keep_unreadable:
                raise ImageError(f"{error}{_OR_KEEP}") from error
            unreadable[str(error)] = len(positions)
            continue
        clipped = clip_boxes(corners[positions], size)
        sound = has_area(clipped)
        degenerate += int((~sound).sum())
        if not sound.any():
            continue
        boxes, crop_of_row = np.unique(clipped[sound], axis=0, return_inverse=True)
        jobs.append(CropJob(eligible[positions[sound]], crop_of_row.reshape(-1), ImageCrops(photo, boxes), size))
    return CropPlan(jobs, without_photo, degenerate, keep_unreadable, unreadable)


def some_crops(detections: Detections, photos: Mapping[ImageId, Photo], settings: RescoreSettings) -> list[ImageCrops]:
    """The crops of some rows that are re-scored, or their photos: what a run is going to encode, in a small sample."""
    scores = detections.scores
    rows = np.flatnonzero((scores > settings.min_score) & (scores <= settings.max_score))
    drawn = np.sort(np.random.default_rng(0).permutation(rows)[:_SAMPLE])
    plan = plan_crops(detections, drawn, photos, keep_unreadable=True)
    return [job.crops for job in (plan if settings.asks_crops else plan.of_photos(5)).jobs]


def embedded_crops(
    plan: CropPlan, encoder: CropEncoder, progress: Progress | None, *, done: int, total: int
) -> Iterator[tuple[CropJob, NDArray[np.float32]]]:
    """Photo by photo: its rows and distinct boxes, and the embeddings of the boxes (n, D).

    Args:
        done, total: of all boxes, where several plans are encoded one after another.
    """
    for job, embeddings in _encoded(plan, encoder):
        if not np.isfinite(embeddings).all():
            raise EncoderError(
                f"{job.crops.photo.path}: the encoder's embeddings are not finite numbers; "
                "use `precision=fp32`, and check the weights"
            )
        yield job, embeddings
        done += len(embeddings)
        if progress is not None:
            progress(done, total)


def _encoded(plan: CropPlan, encoder: CropEncoder) -> Iterator[tuple[CropJob, NDArray[np.float32]]]:
    """The embeddings of each job; after a photo that cannot be read the encoder starts again behind it."""
    waiting = deque(plan.jobs)
    while waiting:
        try:
            for embeddings in encoder.encode_crops(job.crops for job in tuple(waiting)):
                yield waiting.popleft(), embeddings
        except ImageError as error:
            if not plan.keep_unreadable:
                raise ImageError(f"{error}{_OR_KEEP}") from error
            damaged = next((job for job in waiting if _is_unreadable(job.crops.photo)), None)
            if damaged is None:
                raise
            plan.unreadable[str(error)] = len(damaged.rows)
            waiting.remove(damaged)


def _is_unreadable(photo: Photo) -> bool:
    try:
        decode_rgb(photo.path, photo.size)
    except ImageError:
        return True
    return False
