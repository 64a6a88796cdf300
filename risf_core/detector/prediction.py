"""From photos to a table of detections: batches, shards, and what could not be read."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from risf_core.choices import OnUnreadable, Precision
from risf_core.detections import Detections, ImageId
from risf_core.detector.architecture import InputSettings
from risf_core.detector.inputs import batch_of, in_photo, network_pixels, resized_size
from risf_core.detector.model import Detector
from risf_core.devices import is_out_of_memory
from risf_core.errors import ConfigError, ImageError
from risf_core.images import decode_rgb, upright_size
from risf_core.photos import Photo
from risf_core.processes import Processes, gather_parts
from risf_core.progress import Progress
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class PredictionSettings:
    """How a detector is run; what it reports is its own `TestSettings`."""

    device: str = "cpu"
    precision: Precision = "fp32"
    batch_size: int = 1  # at most; only images of one size go together, which moves numbers within rounding alone
    workers: int = 2  # threads that decode and resize
    on_unreadable: OnUnreadable = "error"  # keep: photos that cannot be read are counted
    keep_layout: bool = False  # leave the weights laid out in memory as they are, for a model that trains further


@dataclass(frozen=True)
class Prediction:
    """The detections of all photos, in the order of the photos, each photo's best first."""

    detections: Detections
    unreadable: Mapping[ImageId, str]  # image id -> why it was skipped


def predict(
    model: Detector,
    photos: Mapping[ImageId, Photo],
    *,
    vocabulary: ClassVocabulary,
    settings: PredictionSettings | None = None,
    inputs: InputSettings | None = None,
    processes: Processes | None = None,
    progress: Progress | None = None,
) -> Prediction | None:
    """What the detector finds in the photos, with boxes in the photos' own pixels.

    Under torchrun each process takes a share of the batches, and the first one returns the whole; the others return
    None. The result is that of one process. Raises ImageError naming a photo that cannot be read, ConfigError where the
    memory does not suffice.

    Args:
        vocabulary: the detector's classes, label by label.
        inputs: how photos are resized; default: as the detector's architecture states.
        progress: called with the images done and the images in all, of this process.
    """
    settings = settings or PredictionSettings()
    inputs = inputs or model.architecture.inputs
    processes = processes or Processes()
    assert len(vocabulary) == model.class_count
    items = [_Item(place, image_id, photo) for place, (image_id, photo) in enumerate(photos.items())]

    def work() -> _Part:
        batches = _batches(items, inputs, settings)[processes.rank :: processes.count]
        return _run(model, batches, settings, inputs, progress)

    parts = gather_parts(work, processes)
    return None if parts is None else _merged(parts, items)


@dataclass(frozen=True)
class _Item:
    """A photo and its place in the result."""

    place: int
    image_id: ImageId
    photo: Photo


@dataclass(frozen=True)
class _Found:
    """The detections of one photo, off the device."""

    boxes: NDArray[np.float32]  # (D, 4) corners
    scores: NDArray[np.float32]  # (D,)
    labels: NDArray[np.int64]  # (D,)


@dataclass
class _Part:
    """What one process found, by the photos' places."""

    found: dict[int, _Found]
    unreadable: dict[int, str]


_Prepared: TypeAlias = tuple[_Item, Tensor, tuple[int, int]]  # pixels (3, h, w) uint8 BGR; the photo's height, width


def _batches(items: Sequence[_Item], inputs: InputSettings, settings: PredictionSettings) -> list[list[_Item]]:
    """The photos in batches of one network size, the same whatever the number of processes.

    None is padded: what is found in a photo depends on the others of its batch within rounding alone (a convolution
    over several adds up in another order, so scores that tie to the last digits may swap places).
    """
    size = settings.batch_size
    if size == 1:
        return [[item] for item in items]

    def shape(item: _Item) -> tuple[int, int]:
        try:
            stated = item.photo.size or upright_size(item.photo.path)
        except ImageError:  # reported, or counted, when it is read
            return (0, 0)
        return resized_size(stated, short_side=inputs.short_side, long_side=inputs.long_side)

    by_shape: dict[tuple[int, int], list[_Item]] = {}
    for item in items:
        by_shape.setdefault(shape(item), []).append(item)
    return [same[start : start + size] for same in by_shape.values() for start in range(0, len(same), size)]


def _run(
    model: Detector,
    batches: Sequence[Sequence[_Item]],
    settings: PredictionSettings,
    inputs: InputSettings,
    progress: Progress | None,
) -> _Part:
    layout = _memory_layout(settings)
    model.eval().to(device=settings.device, memory_format=layout)  # type: ignore[call-overload]  # not in torch's stubs
    part, done, total = _Part({}, {}), 0, sum(map(len, batches))
    for batch in _prepared_batches(batches, inputs, settings.workers):
        ready = []
        for item, outcome in batch:
            if not isinstance(outcome, ImageError):
                ready.append((item, *outcome))
            elif settings.on_unreadable == "keep":
                part.unreadable[item.place] = str(outcome)
            else:
                raise ImageError(
                    f"{outcome}; or pass `on_unreadable=keep` to continue without such photos"
                ) from outcome
        if ready:
            part.found.update(_detect(model, ready, settings, inputs))
        done += len(batch)
        if progress is not None:
            progress(done, total)
    return part


def _prepared_batches(
    batches: Sequence[Sequence[_Item]], inputs: InputSettings, workers: int
) -> Iterator[list[tuple[_Item, tuple[Tensor, tuple[int, int]] | ImageError]]]:
    """The photos of each batch decoded and resized (or why not), a few batches ahead of their use."""

    def prepare(item: _Item) -> tuple[Tensor, tuple[int, int]] | ImageError:
        try:
            rgb = decode_rgb(item.photo.path, item.photo.size)
        except ImageError as error:
            return error
        size = (rgb.shape[0], rgb.shape[1])
        return network_pixels(rgb, resized_size(size, short_side=inputs.short_side, long_side=inputs.long_side)), size

    if not workers:
        for batch in batches:
            yield [(item, prepare(item)) for item in batch]
        return
    # threads suffice: decoding and resizing release the interpreter lock
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[list[tuple[_Item, Future[tuple[Tensor, tuple[int, int]] | ImageError]]]] = deque()
        try:
            for batch in batches:
                waiting.append([(item, pool.submit(prepare, item)) for item in batch])
                if len(waiting) > workers + 1:
                    yield [(item, future.result()) for item, future in waiting.popleft()]
            while waiting:
                yield [(item, future.result()) for item, future in waiting.popleft()]
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _detect(
    model: Detector, ready: Sequence[_Prepared], settings: PredictionSettings, inputs: InputSettings
) -> dict[int, _Found]:
    try:
        batch = batch_of([pixels for _, pixels, _ in ready], inputs, device=settings.device)
        batch = replace(batch, pixels=batch.pixels.contiguous(memory_format=_memory_layout(settings)))
        with _number_format(settings):
            detected = model.detect(batch)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise ConfigError(_memory_advice(settings, inputs)) from None
        raise
    result = {}
    for (item, _, photo_size), size, image in zip(ready, batch.sizes, detected, strict=True):
        found = in_photo(image, size=size, photo_size=photo_size)
        result[item.place] = _Found(found.boxes.cpu().numpy(), found.scores.cpu().numpy(), found.labels.cpu().numpy())
    return result


def _memory_layout(settings: PredictionSettings) -> torch.memory_format:
    """Channels last where convolutions are faster so: on CPUs (by half again), and on GPUs in half precision."""
    if settings.keep_layout:
        return torch.preserve_format
    channels_last = settings.device == "cpu" or settings.precision != "fp32"
    return torch.channels_last if channels_last else torch.contiguous_format


def _number_format(settings: PredictionSettings) -> AbstractContextManager[object]:
    if settings.precision == "fp32":
        return nullcontext()
    half = torch.bfloat16 if settings.precision == "bf16" else torch.float16
    return torch.autocast(torch.device(settings.device).type, dtype=half)


def _memory_advice(settings: PredictionSettings, inputs: InputSettings) -> str:
    lower = f"`batch_size` (now {settings.batch_size}) or " if settings.batch_size > 1 else ""
    half = ", or pass `precision=bf16`" if settings.precision == "fp32" else ""
    return f"out of memory on {settings.device}: lower {lower}`short_side` (now {inputs.short_side}){half}"


def _merged(parts: Sequence[_Part], items: Sequence[_Item]) -> Prediction:
    found = {place: one for part in parts for place, one in part.found.items()}
    tables = []
    for item in items:
        if item.place not in found:
            continue
        one = found[item.place]
        boxes = one.boxes.astype(np.float64)
        boxes[:, 2:] -= boxes[:, :2]
        tables.append(
            Detections.from_rows([item.image_id] * len(boxes), boxes, one.scores.astype(np.float64), one.labels)
        )
    why = {place: reason for part in parts for place, reason in part.unreadable.items()}
    unreadable = {item.image_id: why[item.place] for item in items if item.place in why}
    return Prediction(Detections.concatenate(tables), unreadable)


def with_short_side(inputs: InputSettings, short_side: int | None) -> InputSettings:
    """The same input at another size; the long side keeps its proportion to the short one."""
    if short_side is None:
        return inputs
    return replace(inputs, short_side=short_side, long_side=round(short_side * inputs.long_side / inputs.short_side))
