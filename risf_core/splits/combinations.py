"""Images that make wanted box counts where TFA's draw cannot: risf's own rule for small data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from random import Random

from risf_core.splits.climbing import Climb, can_make

MOST_TRIES = 2_000  # ways that are looked at before a ladder counts as impossible


def exact_climb(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> Climb | None:
    """Images whose boxes make exactly every count of the ladder, each keeping those below; None where there are none.

    Unlike TFA's draw it looks ahead: what it takes for a low count leaves what the higher ones need.
    """
    steps = [shots - below for shots, below in zip(ladder, (0, *ladder), strict=False)]
    tries = iter(range(MOST_TRIES))

    def climb(level: int, left: Counter[int]) -> list[Counter[int]] | None:
        if level == len(steps):
            return []
        if not all(can_make(left, sum(steps[level:end])) for end in range(level + 1, len(steps) + 1)):
            return None  # some later count is out of reach whatever is taken now
        for part in _parts(steps[level], left, generator):
            if next(tries, None) is None:
                return None
            rest = climb(level + 1, left - part)
            if rest is not None:
                return [part, *rest]
        return None

    found = climb(0, Counter(count for count in counts if count))
    if found is None:
        return None
    places: dict[int, list[int]] = {}
    for place in generator.sample(range(len(counts)), len(counts)):
        places.setdefault(counts[place], []).append(place)
    taken: list[int] = []
    ends: dict[int, int] = {}
    for shots, part in zip(ladder, found, strict=True):
        group = [places[count].pop() for count in part.elements()]
        generator.shuffle(group)
        taken += group
        ends[shots] = len(taken)
    return Climb(tuple(taken), ends)


def generous_climb(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> Climb:
    """Images whose boxes make at least every count, each keeping those below and adding as few too many as can be.

    Counts for which there are too few boxes are missing.
    """
    taken: list[int] = []
    ends: dict[int, int] = {}
    total = 0
    for shots in ladder:
        if total < shots:
            free = sorted(set(range(len(counts))).difference(taken))
            found = smallest_sum([counts[place] for place in free], shots - total, generator)
            if found is None:
                break
            taken += [free[place] for place in found]
            total = sum(counts[place] for place in taken)
        ends[shots] = len(taken)
    return Climb(tuple(taken), ends)


def smallest_sum(counts: Sequence[int], need: int, generator: Random) -> list[int] | None:
    """Places whose counts add up to the smallest sum from `need` on, or None where all together are less.

    Which of several is left to chance: the places are gone through in random order, the first way to each sum stays.
    """
    order = [place for place, count in enumerate(counts) if count > 0]
    generator.shuffle(order)
    most = need + max(counts, default=0)
    reached: dict[int, tuple[int, int]] = {0: (-1, -1)}  # sum -> (the place that made it, the sum before)
    for place in order:
        for total in [total for total in reached if total + counts[place] <= most]:
            reached.setdefault(total + counts[place], (place, total))
        if need in reached:
            break
    total = min((total for total in reached if total >= need), default=-1)
    if total < 0:
        return None
    places = []
    while total:
        place, total = reached[total]
        places.append(place)
    return places[::-1]


def _parts(need: int, left: Mapping[int, int], generator: Random) -> Iterator[Counter[int]]:
    """The ways to make `need` of the counts left (count -> how many images), in random order."""
    if need == 0:
        yield Counter()
        return
    if not can_make(left, need):
        return
    count = generator.choice(sorted(count for count, images in left.items() if images and count <= need))
    others = {other: images for other, images in left.items() if other != count}
    numbers = list(range(min(left[count], need // count) + 1))
    generator.shuffle(numbers)
    for number in numbers:
        for part in _parts(need - number * count, others, generator):
            yield part + Counter({count: number})
