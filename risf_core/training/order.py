"""The endless shuffled order of the records, cut into optimiser steps that any number of processes share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ORDER, _LOOK, _BOXES = 0, 1, 2  # what a random stream is for; each has its own


@dataclass(frozen=True)
class OrderState:
    """How far the order has been drawn: all that resuming needs."""

    place: int = 0  # the next place in the endless order
    waiting: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())  # landscape and portrait places without a group yet

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """As plain values."""
        return {"place": self.place, "waiting": [list(places) for places in self.waiting]}


@dataclass(frozen=True)
class StepPlan:
    """The places of one optimiser step in groups that are held at once, and the state after them."""

    groups: tuple[tuple[int, ...], ...]
    state: OrderState


class ShuffledOrder:
    """Place in the endless order -> record: every epoch is a permutation of its own, drawn from seed and epoch."""

    def __init__(self, count: int, *, seed: int) -> None:
        self.count = count
        self.seed = seed
        self._epochs: dict[int, NDArray[np.int64]] = {}

    def record_at(self, place: int) -> int:
        """The position of the record at a place."""
        epoch, offset = divmod(place, self.count)
        if epoch not in self._epochs:
            while len(self._epochs) > 3:  # places of older epochs may still wait for a group
                del self._epochs[min(self._epochs)]
            self._epochs[epoch] = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(self.count)
        return int(self._epochs[epoch][offset])


def step_plans(
    order: ShuffledOrder,
    *,
    portrait: Sequence[bool] | None,
    group_size: int,
    groups_per_step: int,
    state: OrderState | None = None,
) -> Iterator[StepPlan]:
    """The optimiser steps from a state on, without end; each takes the next groups that are full.

    Args:
        portrait: whether each record is higher than wide: a group holds one kind. None: groups hold both.
        group_size: images of a group.
        groups_per_step: groups of a step, of all processes.
    """
    state = state or OrderState()
    place, waiting = state.place, [list(places) for places in state.waiting]
    while True:
        groups: list[tuple[int, ...]] = []
        while len(groups) < groups_per_step:
            # at once: a state of larger groups, of fewer processes, may have left enough waiting
            full = next((kind for kind in waiting if len(kind) >= group_size), None)
            if full is None:
                waiting[int(portrait[order.record_at(place)]) if portrait is not None else 0].append(place)
                place += 1
            else:
                groups.append(tuple(full[:group_size]))
                del full[:group_size]
        yield StepPlan(tuple(groups), OrderState(place, (tuple(waiting[0]), tuple(waiting[1]))))


def look_generator(seed: int, place: int) -> np.random.Generator:
    """What draws the size and the mirroring of the image at a place."""
    return np.random.default_rng([seed, _LOOK, place])


def box_seed(seed: int, place: int) -> int:
    """The seed of the generator that samples the anchors and RoIs of the image at a place."""
    return int(np.random.SeedSequence([seed, _BOXES, place]).generate_state(1, np.uint64)[0] >> np.uint64(1))
