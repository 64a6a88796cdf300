"""Crops of many photos through a model in full batches, and each photo's embeddings back in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from risf_core.devices import usable_cores
from risf_core.encoder.crop_feed import cut_ahead
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import ConfigError


def batch_plan(batch_size: int | None, workers: int | None, device: str) -> tuple[int, int]:
    """Crops per forward pass (None: 256 on a GPU, 32 on a CPU), and threads that cut (None: one per core, up to 8)."""
    if batch_size is not None and batch_size < 1:
        raise ConfigError(f"`batch_size` must be 1 or more, got {batch_size}")
    if workers is not None and workers < 0:
        raise ConfigError(f"`workers` must be 0 or more, got {workers}")
    return batch_size or (32 if device == "cpu" else 256), min(8, usable_cores()) if workers is None else workers


def encode_in_batches(
    images: Iterable[ImageCrops],
    *,
    cut: Callable[[ImageCrops], NDArray[Any]],
    forward: Callable[[torch.Tensor], torch.Tensor],
    dimension: int,
    batch_size: int,
    workers: int,
    beside: bool,
    photo_per_batch: bool = False,
) -> Iterator[NDArray[np.float32]]:
    """For each photo the embeddings of its boxes, (n, `dimension`), in order; batches do not depend on `workers`.

    Memory stays bounded whatever the number of photos and of boxes in one.

    Args:
        cut: the crops (n, ...) of one photo's boxes, run in `workers` threads.
        forward: the embeddings (n, `dimension`) of a batch of crops of at most `batch_size`.
        beside: the model runs on a device of its own, so that crops are cut while it works.
        photo_per_batch: a batch holds crops of one photo alone.
    """
    waiting: deque[_Gathered] = deque()  # photos whose embeddings are not complete, in order
    running: tuple[torch.Tensor, list[_Share]] | None = None  # a GPU works on it while the next batch is laid out
    fed = cut_ahead(
        _pieces(images, waiting, dimension, batch_size),
        lambda piece: cut(piece.job),
        size=lambda piece: len(piece.job.boxes),
        workers=workers,
        batch_size=batch_size,
        beside=beside,
    )
    for batch, shares in _batches(fed, batch_size, photo_per_batch):
        started = (forward(batch), shares)
        if running is not None:
            _hand_out(*running)
        running = started
        while waiting and waiting[0].complete:
            yield waiting.popleft().joined()
    if running is not None:
        _hand_out(*running)
    while waiting:
        yield waiting.popleft().joined()


@dataclass
class _Gathered:
    """The embeddings of one photo as they come in."""

    expected: int
    width: int
    parts: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        return sum(map(len, self.parts)) == self.expected

    def joined(self) -> NDArray[np.float32]:
        return np.concatenate(self.parts) if self.parts else np.empty((0, self.width), dtype=np.float32)


@dataclass(frozen=True)
class _Piece:
    """Some boxes of one photo: as many as fit into a batch."""

    gathered: _Gathered
    job: ImageCrops
    last: bool  # of its photo


@dataclass(frozen=True)
class _Share:
    """How many crops of a batch are of one photo."""

    gathered: _Gathered
    count: int


def _pieces(
    images: Iterable[ImageCrops], waiting: deque[_Gathered], dimension: int, batch_size: int
) -> Iterator[_Piece]:
    for image in images:
        gathered = _Gathered(len(image.boxes), dimension)
        waiting.append(gathered)
        for start in range(0, len(image.boxes), batch_size):
            boxes = image.boxes[start : start + batch_size]
            last = start + len(boxes) == len(image.boxes)
            yield _Piece(gathered, ImageCrops(image.photo, boxes), last)


def _batches(
    fed: Iterable[tuple[_Piece, NDArray[Any]]], batch_size: int, photo_per_batch: bool
) -> Iterator[tuple[torch.Tensor, list[_Share]]]:
    """Full batches of crops in order, each with the photos that it holds crops of."""
    parts: list[NDArray[Any]] = []
    shares: list[_Share] = []
    room = batch_size
    for piece, crops in fed:
        while len(crops):
            parts.append(crops[:room])
            shares.append(_Share(piece.gathered, len(parts[-1])))
            crops = crops[room:]
            room -= shares[-1].count
            if room == 0 or (photo_per_batch and piece.last and not len(crops)):
                yield torch.from_numpy(np.concatenate(parts)), shares
                parts, shares, room = [], [], batch_size
    if parts:
        yield torch.from_numpy(np.concatenate(parts)), shares


def _hand_out(embeddings: torch.Tensor, shares: Sequence[_Share]) -> None:
    """Give each photo its rows of a batch's embeddings (n, D)."""
    rows = embeddings.cpu().numpy()
    start = 0
    for share in shares:
        share.gathered.parts.append(rows[start : start + share.count])
        start += share.count
