"""Loading: the same examples with any number of workers and processes, and damaged images named."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from risf_core.config import DataConfig
from risf_core.datasets.coco import read_coco_dataset
from risf_core.errors import ImageError
from risf_core.processes import Processes
from risf_core.records import ImageRecord, dataset_records
from risf_core.training import loading
from risf_core.training.loading import training_steps
from risf_core.training.order import OrderState

DATA = DataConfig(short_sides=(64, 96), long_side=160, workers=0)


@pytest.fixture
def records(scenes: Path) -> tuple[ImageRecord, ...]:
    return dataset_records(read_coco_dataset(scenes / "instances.json"), image_folders=[scenes / "photos"]).records


def steps_of(records, count: int, *, data=DATA, rank=0, processes=1, group_size=2, accumulation=2, state=None):
    """Of each step the groups as (path, pixels, boxes) and the state after it."""
    steps = training_steps(
        records, data, seed=5, group_size=group_size, accumulation=accumulation,
        processes=Processes(rank, processes), state=state,
    )  # fmt: skip
    return [(list(step.groups), step.state) for step in islice(steps, count)]


def assert_same(first, second) -> None:
    assert len(first) == len(second)
    for (groups, state), (others, other_state) in zip(first, second, strict=True):
        assert state == other_state
        for group, other in zip(groups, others, strict=True):
            assert [example.place for example in group] == [example.place for example in other]
            for one, two in zip(group, other, strict=True):
                assert one.path == two.path
                assert torch.equal(one.pixels, two.pixels)
                assert torch.equal(one.target.boxes, two.target.boxes)
                assert torch.equal(one.target.labels, two.target.labels)


def test_workers_change_nothing(records) -> None:
    assert_same(steps_of(records, 5), steps_of(records, 5, data=replace(DATA, workers=2)))


def test_loading_goes_on_from_the_state_of_any_step_however_far_workers_are_ahead(records) -> None:
    data = replace(DATA, workers=2)
    whole = steps_of(records, 6, data=data)
    state = whole[2][1]
    assert isinstance(state, OrderState)
    assert_same(whole[3:], steps_of(records, 3, data=data, state=state))


def test_two_processes_share_the_very_images_of_one(records) -> None:
    whole = steps_of(records, 4, accumulation=4)
    parts = [steps_of(records, 4, accumulation=2, rank=rank, processes=2) for rank in (0, 1)]
    together = [
        ([group for pair in zip(*(part[number][0] for part in parts), strict=True) for group in pair], state)
        for number, (_, state) in enumerate(parts[0])
    ]
    assert_same(whole, together)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_image_is_one_line_that_names_it(records, tmp_path: Path, workers: int) -> None:
    (tmp_path / "bad.jpg").write_bytes(records[0].path.read_bytes()[:500])
    broken = [replace(records[0], path=tmp_path / "bad.jpg"), *records[1:4]]
    with pytest.raises(ImageError) as caught:
        steps_of(broken, 3, data=replace(DATA, workers=workers))
    assert str(caught.value).startswith(f"{tmp_path}/bad.jpg: ")
    assert "\n" not in str(caught.value)


def test_no_more_workers_are_started_than_there_are_cores(records, monkeypatch) -> None:
    started = []

    class Loader(loading.DataLoader):
        def __init__(self, *arguments: object, num_workers: int, **options: object) -> None:
            started.append(num_workers)
            super().__init__(*arguments, num_workers=0, **options)

    monkeypatch.setattr(loading, "DataLoader", Loader)
    monkeypatch.setattr(loading, "usable_cores", lambda: 3)
    for wanted in (2, 3, 8):
        steps_of(records, 1, data=replace(DATA, workers=wanted))
    assert started == [2, 3, 3]
