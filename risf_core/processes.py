"""The processes that torchrun started together: which one this is, and bringing their results to the first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from risf_core.errors import ConfigError, RisfError

Part = TypeVar("Part")

_PATIENCE = timedelta(days=7)  # a process that is done waits for the slowest; torchrun ends all when one dies


@dataclass(frozen=True)
class Processes:
    """This process among those that run together."""

    rank: int = 0
    count: int = 1
    count_here: int = 1  # of them on this machine

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.rank == 0

    @property
    def span_machines(self) -> bool:
        """Whether others of them run on other machines."""
        return self.count > self.count_here


def started_processes() -> Processes:
    """What torchrun says of this process in its environment; without torchrun it is the only one.

    Raises ConfigError where the environment cannot be torchrun's.
    """
    stated = {name: os.environ[name] for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE") if name in os.environ}
    try:
        count = int(stated.get("WORLD_SIZE", 1))
        found = Processes(int(stated.get("RANK", 0)), count, int(stated.get("LOCAL_WORLD_SIZE", count)))
        meets = count == 1 or {"MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys()
    except ValueError:
        found, meets = Processes(), False
    if not (meets and 0 <= found.rank < found.count and 1 <= found.count_here <= found.count):
        shown = ", ".join(f"{name}={value}" for name, value in stated.items())
        raise ConfigError(
            f"the environment ({shown}) is not one of torchrun; start with torchrun, or unset these variables"
        )
    return found


def gather_to_first(value: Any, processes: Processes) -> list[Any] | None:
    """Every process's value in order of rank, in the first process; None in the others. Any: whatever pickles.

    Raises RisfError where another process has ended.
    """
    if processes.count == 1:
        return [value]
    import torch.distributed as distributed

    with _group(processes):
        gathered = [None] * processes.count if processes.is_first else None
        try:
            distributed.gather_object(value, gathered, dst=0)
        except (RuntimeError, ValueError) as error:
            raise RisfError(
                f"another of the {processes.count} processes has ended before its share was done ({_brief(error)}); "
                "its own message tells why; what was cached is kept, so the same command continues from there"
            ) from error
        return gathered


def gather_parts(work: Callable[[], Part], processes: Processes) -> list[Part] | None:
    """Do this process's part of the work; in the first process the parts of all in order of rank, in the others None.

    A RisfError of any process is raised in the first one, which speaks for all.
    """
    if processes.count == 1:
        return [work()]
    outcome: Part | RisfError
    try:
        outcome = work()
    except RisfError as error:
        outcome = error
    gathered = gather_to_first(outcome, processes)
    for part in gathered or ():
        if isinstance(part, RisfError):
            raise part
    return gathered


@contextmanager
def _group(processes: Processes) -> Iterator[None]:
    """The process group over gloo, which every machine has; torchrun's environment names the meeting point."""
    import torch.distributed as distributed

    own = not distributed.is_initialized()
    if own:
        distributed.init_process_group("gloo", rank=processes.rank, world_size=processes.count, timeout=_PATIENCE)
    try:
        yield
    finally:
        if own:
            distributed.destroy_process_group()


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
