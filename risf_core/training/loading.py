"""Examples in time: decoded by worker processes a few steps ahead, in an order that no worker changes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset

from risf_core.config import DataConfig
from risf_core.devices import usable_cores
from risf_core.errors import ImageError
from risf_core.processes import Processes
from risf_core.records import ImageRecord
from risf_core.training.examples import Example, is_portrait, make_example
from risf_core.training.order import OrderState, ShuffledOrder, StepPlan, look_generator, step_plans


@dataclass(frozen=True)
class StepExamples:
    """What one process trains on in one optimiser step: groups that are held at once, and the order's state after."""

    groups: Iterator[list[Example]]  # must be drawn to its end before the next step
    state: OrderState


def training_steps(
    records: Sequence[ImageRecord],
    data: DataConfig,
    *,
    seed: int,
    group_size: int,
    accumulation: int,
    processes: Processes,
    state: OrderState | None = None,
    pin_memory: bool = False,
) -> Iterator[StepExamples]:
    """The examples of every optimiser step from a state on, without end.

    All processes walk through the same order and take their groups of every step in turn, so the images of a step are
    the same on any number of them. Raises ImageError naming an image that cannot be read.
    """
    order = ShuffledOrder(len(records), seed=seed)
    portrait = [is_portrait(record) for record in records] if data.aspect_grouping else None
    plans = step_plans(
        order,
        portrait=portrait,
        group_size=group_size,
        groups_per_step=accumulation * processes.count,
        state=state,
    )
    own = _OwnGroups(plans, processes)
    loader = DataLoader(
        _Examples(records, data, seed),
        batch_sampler=own,
        num_workers=min(data.workers, usable_cores()),
        collate_fn=_as_they_are,
        pin_memory=pin_memory,
    )
    groups = (_sound(group) for group in loader)
    while True:
        first = next(groups)  # the plan is known once its first group has been asked for
        yield StepExamples(_with_first(first, groups, accumulation), own.states.popleft())


def _with_first(first: list[Example], others: Iterator[list[Example]], count: int) -> Iterator[list[Example]]:
    yield first
    for _ in range(count - 1):
        yield next(others)


class _OwnGroups:
    """One process's groups of all steps; the state after each step is kept until its examples are handed out."""

    def __init__(self, plans: Iterator[StepPlan], processes: Processes) -> None:
        self._plans = plans
        self._processes = processes
        self.states: deque[OrderState] = deque()

    def __iter__(self) -> Iterator[list[int]]:
        for plan in self._plans:
            self.states.append(plan.state)
            for group in plan.groups[self._processes.rank :: self._processes.count]:
                yield list(group)


class _Examples(Dataset["Example | ImageError"]):
    """Place in the order -> example; what is drawn for it depends on seed and place alone."""

    def __init__(self, records: Sequence[ImageRecord], data: DataConfig, seed: int) -> None:
        self._records = records
        self._data = data
        self._seed = seed
        self._order = ShuffledOrder(len(records), seed=seed)

    def __getitem__(self, place: int) -> Example | ImageError:
        record = self._records[self._order.record_at(place)]
        try:
            return make_example(record, self._data, place=place, generator=look_generator(self._seed, place))
        except ImageError as error:  # raised by the process that trains: a worker would wrap it in a traceback
            return error


def _as_they_are(examples: list[Example | ImageError]) -> list[Example | ImageError]:
    return examples


def _sound(group: list[Example | ImageError]) -> list[Example]:
    examples = []
    for example in group:
        if isinstance(example, ImageError):
            raise example
        examples.append(example)
    return examples
