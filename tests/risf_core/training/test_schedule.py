"""The learning rate: published rows, warm-up, steps, scaling to other batches."""

from __future__ import annotations

import pytest

from risf_core.config import SolverConfig, published_config, read_config
from risf_core.errors import ConfigError
from risf_core.training.schedule import (
    Schedule,
    accumulation_of,
    few_shot_iterations,
    schedule_of,
    with_published_schedule,
)
from tests.messages import assert_names


def test_warm_up_is_linear_from_a_thousandth_and_each_step_takes_a_tenth() -> None:
    schedule = Schedule(0.02, 100, steps=(50, 80), warmup_iterations=10)
    assert schedule.rate_at(0) == pytest.approx(0.02 * 0.001)
    assert schedule.rate_at(5) == pytest.approx(0.02 * (0.001 + 0.999 * 0.5))
    assert [schedule.rate_at(i) for i in (10, 49, 50, 79, 80, 99)] == pytest.approx(
        [0.02, 0.02, 0.002, 0.002, 0.0002, 0.0002]
    )


@pytest.mark.parametrize(
    ("schedule", "setting", "shots", "iterations"),
    [  # FACTS 4; between rows by hand
        ("coco", "few-shot", 1, 1000), ("coco", "few-shot", 10, 2500), ("coco", "few-shot", 30, 4000),
        ("coco", "generalised", 5, 6000), ("voc", "few-shot", 10, 4000), ("voc", "generalised", 2, 1500),
        ("coco", "few-shot", 20, 3250), ("coco", "generalised", 15, 7500), ("voc", "few-shot", 4, 1800),
    ],
)  # fmt: skip
def test_iterations_of_the_few_shot_stage(schedule: str, setting: str, shots: int, iterations: int) -> None:
    assert few_shot_iterations(schedule, setting, shots)[0] == iterations


def test_what_is_in_no_published_row_is_said() -> None:
    assert few_shot_iterations("coco", "few-shot", 10)[1] is None
    assert few_shot_iterations("coco", "few-shot", 20)[1] == (
        "the coco schedule (few-shot) has no row for 20 shots: 3250 iterations, between those for 10 and 30"
    )
    assert few_shot_iterations("voc", "few-shot", 30)[1] == (
        "the voc schedule (few-shot) has no row for 30 shots: 4000 iterations, as for 10"
    )


def test_the_few_shot_step_is_at_80_percent_and_its_origin_is_named() -> None:
    config = read_config(published_config("coco/gfsod"), options={"data.shots": ("--shots", 3)})
    config, note = with_published_schedule(config)
    assert (config.values.solver.iterations, config.values.solver.steps, note) == (4800, (3840,), None)
    assert config.origins["solver.iterations"] == "published coco schedule, generalised, 3 shots"


def test_stated_iterations_beat_the_published_ones() -> None:
    config = read_config(published_config("coco/fsod"), overrides=["solver.iterations=40", "data.shots=3"])
    config, _ = with_published_schedule(config)
    assert (config.values.solver.iterations, config.values.solver.steps) == (40, (32,))


def test_a_quarter_of_the_batch_has_a_quarter_of_the_rate_and_four_times_the_iterations() -> None:
    solver = SolverConfig(learning_rate=0.02, iterations=1000, steps=(800, 900), warmup_iterations=10, batch=4)
    assert schedule_of(solver) == Schedule(0.005, 4000, (3200, 3600), 40)


@pytest.mark.parametrize(("batch", "scale"), [(16, True), (32, True), (4, False)])
def test_other_batches_keep_the_schedule(batch: int, scale: bool) -> None:
    solver = SolverConfig(iterations=1000, steps=(800,), batch=batch, scale_schedule=scale)
    assert schedule_of(solver) == Schedule(0.02, 1000, (800,), 0)


@pytest.mark.parametrize(
    ("batch", "images", "processes", "expected"),
    [(16, 2, 1, (2, 8)), (16, 2, 8, (2, 1)), (16, 5, 1, (4, 4)), (16, 32, 1, (16, 1)), (6, 2, 2, (1, 3))],
)
def test_accumulation_makes_the_whole_batch(batch, images, processes, expected) -> None:
    found = accumulation_of(SolverConfig(batch=batch, images_per_step=images), processes)
    assert found == expected
    assert found[0] * found[1] * processes == batch


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        accumulation_of(SolverConfig(batch=16), 3)
    assert_names(str(caught.value), "solver.batch", "16", "3")


def test_steps_must_ascend_and_iterations_must_be_known() -> None:
    with pytest.raises(ConfigError, match=r"solver.steps must ascend, got 5, 3"):
        schedule_of(SolverConfig(iterations=9, steps=(5, 3)))
    with pytest.raises(ConfigError, match=r"solver.iterations is not stated"):
        schedule_of(SolverConfig())
