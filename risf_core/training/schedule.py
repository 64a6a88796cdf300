"""How the learning rate runs: the published schedules, and their scaling to another batch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from risf_core.config import ConfigInForce, SolverConfig
from risf_core.errors import ConfigError, counted

PUBLISHED_BATCH = 16
WARMUP_FACTOR = 0.001  # of the learning rate, at the first iteration of a warm-up (DeFRCN configs)
STEP_FACTOR = 0.1  # of the learning rate, at each step
FEW_SHOT_STEP = 0.8  # of the iterations: where the few-shot stage has its one step

# Iterations of the few-shot stage by shots (DeFRCN configs): (schedule, setting) -> shots -> iterations
FEW_SHOT_ITERATIONS: Mapping[tuple[str, str], Mapping[int, int]] = {
    ("coco", "few-shot"): {1: 1000, 2: 1500, 3: 2000, 5: 2500, 10: 2500, 30: 4000},
    ("coco", "generalised"): {1: 3200, 2: 4000, 3: 4800, 5: 6000, 10: 6000, 30: 12000},
    ("voc", "few-shot"): {1: 800, 2: 1200, 3: 1600, 5: 2000, 10: 4000},
    ("voc", "generalised"): {1: 1000, 2: 1500, 3: 2000, 5: 2500, 10: 4000},
}


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the iteration, counted from 0."""

    learning_rate: float
    iterations: int
    steps: tuple[int, ...] = ()  # ascending
    warmup_iterations: int = 0

    def rate_at(self, iteration: int) -> float:
        """Linear from 0.001 of the rate over the warm-up; a tenth more at every step that is reached."""
        rate = self.learning_rate * STEP_FACTOR ** bisect_right(self.steps, iteration)
        if iteration >= self.warmup_iterations:
            return rate
        done = iteration / self.warmup_iterations
        return rate * (WARMUP_FACTOR * (1 - done) + done)

    def scaled_to(self, batch: int) -> Schedule:
        """The same amount of training at another batch: the rate as the batch, the iterations against it.

        A larger batch than the published one keeps the rate and the iterations: nothing was published for it.
        """
        if batch >= PUBLISHED_BATCH:
            return self
        factor = PUBLISHED_BATCH / batch
        return Schedule(
            self.learning_rate / factor,
            round(self.iterations * factor),
            tuple(round(step * factor) for step in self.steps),
            round(self.warmup_iterations * factor),
        )


def schedule_of(solver: SolverConfig) -> Schedule:
    """The schedule that a solver's settings come to. Raises ConfigError where they leave it open or contradict."""
    if solver.iterations is None:
        raise ConfigError("solver.iterations is not stated and no number of shots says it; give `solver.iterations=N`")
    steps = solver.steps or ()
    if list(steps) != sorted(set(steps)):
        raise ConfigError(f"solver.steps must ascend, got {', '.join(map(str, steps))}")
    schedule = Schedule(solver.learning_rate, solver.iterations, steps, solver.warmup_iterations)
    return schedule.scaled_to(solver.batch) if solver.scale_schedule else schedule


def with_published_schedule(config: ConfigInForce) -> tuple[ConfigInForce, str | None]:
    """The settings with the published iterations and step wherever the few-shot stage leaves them open.

    Also a sentence where the iterations are in no published row.
    """
    data, solver = config.values.data, config.values.solver
    if data.setting == "base" or data.shots is None:
        return config, None
    note = None
    if solver.iterations is None:
        iterations, note = few_shot_iterations(solver.schedule, data.setting, data.shots)
        where = f"published {solver.schedule} schedule, {data.setting}, {data.shots} shots"
        config = config.with_values({"solver.iterations": iterations}, origin=where)
    if solver.steps is None:
        step = round(FEW_SHOT_STEP * (config.values.solver.iterations or 0))
        config = config.with_values({"solver.steps": (step,)}, origin=f"{FEW_SHOT_STEP:.0%} of the iterations")
    return config, note


def few_shot_iterations(schedule: str, setting: str, shots: int) -> tuple[int, str | None]:
    """The published iterations for a number of shots; between two rows on the line through them, which a sentence says.

    Above the last row its iterations stay.

    >>> few_shot_iterations("coco", "few-shot", 4)[0]
    2250
    """
    rows = FEW_SHOT_ITERATIONS[schedule, setting]
    if shots in rows:
        return rows[shots], None
    what = f"the {schedule} schedule ({setting}) has no row for {counted(shots, 'shot')}"
    last = max(rows)
    if shots > last:
        return rows[last], f"{what}: {rows[last]} iterations, as for {last}"
    below, above = max(row for row in rows if row < shots), min(row for row in rows if row > shots)
    between = rows[below] + (rows[above] - rows[below]) * (shots - below) / (above - below)
    return round(between), f"{what}: {round(between)} iterations, between those for {below} and {above}"


def accumulation_of(solver: SolverConfig, processes: int) -> tuple[int, int]:
    """(images that a process holds at once, such portions per optimiser step), so that a step sees the whole batch.

    `images_per_step` is an upper bound: the batch is shared out evenly. Raises ConfigError where it cannot be.
    """
    if solver.batch % processes:
        raise ConfigError(
            f"solver.batch {solver.batch} cannot be shared by {processes} processes; take a multiple of {processes}"
        )
    share = solver.batch // processes
    images = max(count for count in range(1, min(solver.images_per_step, share) + 1) if share % count == 0)
    return images, share // images
