"""The ways of drawing on box counts: exact, and never without an end."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, permutations
from random import Random

import pytest

from risf_core.splits.sampling import (
    DrawnImages,
    draw_at_least,
    draw_exactly,
    draw_in_steps,
    draw_whole_images,
    smallest_sum,
)


def draw(counts: Sequence[int], *, ladder: tuple[int, ...] = (1, 2, 3, 5), seed: int = 3) -> DrawnImages:
    return draw_whole_images(counts, ladder=ladder, generator=Random(seed))


def boxes_at(counts: Sequence[int], drawn: DrawnImages, shots: int) -> int:
    return sum(counts[place] for place in drawn.taken[: drawn.ends[shots]])


@pytest.mark.parametrize("seed", range(20))
def test_each_count_is_exact_and_keeps_the_images_below(seed: int) -> None:
    counts = [1, 2, 1, 3, 1, 4, 2, 1, 6, 1]
    drawn = draw(counts, seed=seed)
    assert [boxes_at(counts, drawn, shots) for shots in (1, 2, 3, 5)] == [1, 2, 3, 5]
    assert len(set(drawn.taken)) == len(drawn.taken)
    assert sorted(drawn.ends.values()) == list(drawn.ends.values())


def test_counts_that_no_images_make_are_left_out_and_later_ones_still_drawn() -> None:
    assert dict(draw([5, 5, 5]).ends) == {5: 1}


def test_where_tfa_would_loop_for_ever_the_count_is_left_out_with_its_images() -> None:
    """From 3 boxes to 5 with images of 2 and 1 box left: once the single box is in, TFA waits for a second one."""
    counts = [1, 1, 1, 2, 1]
    found = [draw(counts, seed=seed) for seed in range(40)]
    assert {5 in drawn.ends for drawn in found} == {True, False}  # both ways happen
    assert {len(drawn.taken) for drawn in found if 5 not in drawn.ends} == {3}


def test_more_shots_than_images_are_drawn_from_all_images_and_said_so() -> None:
    drawn = draw([1, 4])
    assert boxes_at([1, 4], drawn, 5) == 5
    assert drawn.few_images == frozenset({5})


def test_no_image_at_all_gives_nothing() -> None:
    assert dict(draw([]).ends) == {}


@pytest.mark.parametrize("seed", range(10))
def test_steps_take_images_until_their_boxes_reach_what_the_step_adds(seed: int) -> None:
    counts = [1, 1, 2, 7, 1, 1]
    drawn = draw_in_steps(counts, ladder=(1, 2, 3, 5, 10), generator=Random(seed))
    start = 0
    for shots, step in zip((1, 2, 3, 5, 10), (1, 1, 1, 2, 5), strict=True):
        added = [counts[place] for place in drawn.taken[start : drawn.ends[shots]]]
        assert sum(added) >= step
        assert sum(added[:-1]) < step
        start = drawn.ends[shots]


def some_order_makes(counts: Sequence[int], ladder: Sequence[int]) -> bool:
    """By brute force: whether the images can be put in an order whose running sums meet every count."""
    return any(set(ladder) <= {sum(order[:end]) for end in range(len(order) + 1)} for order in permutations(counts))


def test_an_draw_exactly_is_found_exactly_where_there_is_one() -> None:
    generator = Random(0)
    outcomes = set()
    for trial in range(200):
        counts = [generator.randint(1, 4) for _ in range(generator.randint(1, 6))]
        ladder = sorted(generator.sample(range(1, 10), generator.randint(1, 3)))
        drawn = draw_exactly(counts, ladder=ladder, generator=Random(trial))
        assert (drawn is not None) == some_order_makes(counts, ladder)
        outcomes.add(drawn is not None)
        if drawn is not None:
            assert len(set(drawn.taken)) == len(drawn.taken)
            assert [boxes_at(counts, drawn, shots) for shots in ladder] == ladder
    assert outcomes == {True, False}


def test_an_draw_exactly_that_cannot_be_ends_soon_on_many_images() -> None:
    assert draw_exactly([2] * 3000 + [4] * 3000 + [6] * 3000, ladder=(2, 30, 99), generator=Random(1)) is None


def test_a_draw_at_least_takes_as_few_boxes_too_many_as_can_be() -> None:
    counts = [3, 3, 4]
    drawn = draw_at_least(counts, ladder=(1, 2, 3, 5), generator=Random(0))
    assert [boxes_at(counts, drawn, shots) for shots in (1, 2, 3, 5)] == [3, 3, 3, 6]


def test_a_draw_at_least_ends_where_fewer_boxes_exist() -> None:
    assert dict(draw_at_least([2], ladder=(1, 2, 3), generator=Random(0)).ends) == {1: 1, 2: 1}


def test_the_smallest_sum_is_that_of_all_subsets() -> None:
    generator = Random(0)
    for trial in range(300):
        counts = [generator.randint(1, 5) for _ in range(generator.randint(1, 6))]
        need = generator.randint(1, 12)
        sums = {sum(part) for size in range(len(counts) + 1) for part in combinations(counts, size)}
        places = smallest_sum(counts, need, Random(trial))
        found = None if places is None else sum(counts[place] for place in places)
        assert found == min((total for total in sums if total >= need), default=None)
        assert places is None or len(set(places)) == len(places)
