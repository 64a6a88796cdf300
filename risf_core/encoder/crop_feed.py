"""Crops cut by threads ahead of the model that wants them, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from numpy.typing import NDArray

Piece = TypeVar("Piece")  # some boxes of one photo
Cut = Callable[[Piece], NDArray[Any]]  # uint8, or float as the authors' public code feeds them
Size = Callable[[Piece], int]  # how many crops a piece comes to


def cut_ahead(
    pieces: Iterable[Piece], cut: Cut[Piece], *, size: Size[Piece], workers: int, batch_size: int, beside: bool
) -> Iterator[tuple[Piece, NDArray[Any]]]:
    """Each piece with its crops, in order, a few batches ahead of their use.

    Args:
        workers: threads; 0: crops are cut where they are asked for.
        beside: whether the model runs elsewhere (on a GPU) while crops are cut.
    """
    if workers == 0:
        for piece in pieces:
            yield piece, cut(piece)
    elif beside:
        yield from _cut_beside(pieces, cut, size, workers, ahead_by=2 * batch_size)
    else:
        yield from _cut_between(pieces, cut, size, workers, burst=4 * batch_size)


def _cut_between(
    pieces: Iterable[Piece], cut: Cut[Piece], size: Size[Piece], workers: int, *, burst: int
) -> Iterator[tuple[Piece, NDArray[Any]]]:
    """In bursts of N crops, while the model rests.

    A model on a CPU uses every core, and all its threads wait for the one whose core a crop is being cut on: beside it,
    cutting costs twice what it costs by itself.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="crops") as pool:
        for some in _bursts(pieces, size, burst):
            futures = [pool.submit(cut, piece) for piece in some]
            wait(futures)
            for piece, future in zip(some, futures, strict=True):
                yield piece, future.result()


def _bursts(pieces: Iterable[Piece], size: Size[Piece], crops: int) -> Iterator[list[Piece]]:
    """Pieces by N crops, or a few more."""
    burst: list[Piece] = []
    count = 0
    for piece in pieces:
        burst.append(piece)
        count += size(piece)
        if count >= crops:
            yield burst
            burst, count = [], 0
    if burst:
        yield burst


def _cut_beside(
    pieces: Iterable[Piece], cut: Cut[Piece], size: Size[Piece], workers: int, *, ahead_by: int
) -> Iterator[tuple[Piece, NDArray[Any]]]:
    """So many crops ahead, while the model runs."""
    ahead: deque[tuple[Piece, Future[NDArray[Any]]]] = deque()
    crops_ahead = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="crops") as pool:
        try:
            for piece in pieces:
                ahead.append((piece, pool.submit(cut, piece)))
                crops_ahead += size(piece)
                while crops_ahead > ahead_by:
                    first, future = ahead.popleft()
                    crops_ahead -= size(first)
                    yield first, future.result()
            while ahead:
                first, future = ahead.popleft()
                yield first, future.result()
        finally:
            for _, future in ahead:
                future.cancel()
