"""The endless order: every epoch whole, groups of one orientation, the same steps on any number of processes."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from risf_core.documents import typed
from risf_core.training.order import OrderState, ShuffledOrder, box_seed, look_generator, step_plans

PORTRAIT = [number % 3 == 0 for number in range(10)]


def test_every_epoch_holds_each_record_once_in_an_order_of_its_own() -> None:
    order = ShuffledOrder(7, seed=1)
    epochs = [[order.record_at(place) for place in range(7 * e, 7 * e + 7)] for e in range(6)]
    assert all(sorted(epoch) == list(range(7)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    again = ShuffledOrder(7, seed=1)
    assert [again.record_at(place) for place in (30, 2, 40, 11)] == [
        epochs[4][2], epochs[0][2], epochs[5][5], epochs[1][4]
    ]  # fmt: skip
    other = ShuffledOrder(7, seed=2)
    assert [other.record_at(place) for place in range(42)] != [place for epoch in epochs for place in epoch]


def test_groups_hold_one_orientation_and_lose_no_image() -> None:
    order = ShuffledOrder(10, seed=0)
    plans = list(islice(step_plans(order, portrait=PORTRAIT, group_size=2, groups_per_step=2), 40))
    groups = [group for plan in plans for group in plan.groups]
    assert all(len({PORTRAIT[order.record_at(place)] for place in group}) == 1 for group in groups)
    state = plans[-1].state
    assert sorted(place for group in (*groups, *state.waiting) for place in group) == list(range(state.place))


def test_without_grouping_the_order_is_taken_as_it_comes() -> None:
    plans = step_plans(ShuffledOrder(10, seed=0), portrait=None, group_size=2, groups_per_step=2)
    assert [plan.groups for plan in islice(plans, 2)] == [((0, 1), (2, 3)), ((4, 5), (6, 7))]


@pytest.mark.parametrize("after", [1, 5, 17])
def test_the_order_goes_on_from_any_state(after: int) -> None:
    def plans(state=None):
        return step_plans(ShuffledOrder(10, seed=4), portrait=PORTRAIT, group_size=3, groups_per_step=1, state=state)

    whole = list(islice(plans(), 30))
    state = typed(whole[after - 1].state.to_json(), OrderState, source="", way_out="")
    assert isinstance(state, OrderState)
    assert list(islice(plans(state), 30 - after)) == whole[after:]


@pytest.mark.parametrize(("before", "after"), [(4, 2), (4, 1), (5, 2), (2, 4), (1, 3)])
def test_the_order_goes_on_with_groups_of_another_size_and_loses_no_image(before: int, after: int) -> None:
    order = ShuffledOrder(10, seed=3)
    for steps in range(1, 25):
        first = list(islice(step_plans(order, portrait=PORTRAIT, group_size=before, groups_per_step=1), steps))
        state = first[-1].state
        then = list(islice(step_plans(order, portrait=PORTRAIT, group_size=after, groups_per_step=2, state=state), 40))
        groups = [group for plan in then for group in plan.groups]
        assert {len(group) for group in groups} == {after}
        assert all(len({PORTRAIT[order.record_at(place)] for place in group}) == 1 for group in groups)
        taken = [place for plan in first for group in plan.groups for place in group]
        taken += [place for group in (*groups, *then[-1].state.waiting) for place in group]
        assert sorted(taken) == list(range(then[-1].state.place))
        assert max(map(len, then[-1].state.waiting)) < after  # nothing waits for ever


def test_the_order_stays_what_it_was_when_checkpoints_were_written() -> None:
    # written down before groups of another size could be resumed from: older runs go on with the same images
    plans = islice(step_plans(ShuffledOrder(10, seed=3), portrait=PORTRAIT, group_size=3, groups_per_step=2), 3)
    assert [(plan.groups, plan.state.place, plan.state.waiting) for plan in plans] == [
        (((0, 1, 2), (3, 4, 5)), 6, ((), ())),
        (((6, 7, 9), (8, 10, 12)), 13, ((11,), ())),
        (((11, 13, 14), (16, 17, 19)), 20, ((), (15, 18))),
    ]


def test_draws_depend_on_seed_and_place_alone() -> None:
    assert look_generator(1, 2).random() == look_generator(1, 2).random()
    assert look_generator(1, 2).random() != look_generator(1, 3).random() != look_generator(2, 3).random()
    seeds = [box_seed(seed, place) for seed in range(20) for place in range(50)]
    assert len(set(seeds)) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert np.random.default_rng([1, 1, 2]).random() == look_generator(1, 2).random()  # published: resumable forever
