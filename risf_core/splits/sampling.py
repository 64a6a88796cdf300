"""Which images make the wanted shot counts of a class: TFA's two ways of drawing, and risf's own for small data.

TFA's two consume the generator exactly as its scripts do (prepare_coco_few_shot.py and prepare_voc_few_shot.py of
few-shot-object-detection), so that the same seed draws the same images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

COCO_LADDER: tuple[int, ...] = (1, 2, 3, 5, 10, 30)
VOC_LADDER: tuple[int, ...] = (1, 2, 3, 5, 10)


@dataclass(frozen=True)
class DrawnImages:
    """The images drawn for a class, as places in its pool."""

    taken: tuple[int, ...]  # in the order drawn
    ends: Mapping[int, int]  # shots -> how many of `taken` make them; counts that cannot be made are missing
    few_images: frozenset[int] = frozenset()  # shots for which TFA's script would want more images than there are


def draw_whole_images(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> DrawnImages:
    """Images whose boxes make exactly each count of the ladder, each count keeping the images of the one below (COCO).

    At each count: as many images as shots are sampled; one that is taken or whose boxes do not all fit is passed
    over; again, until the count is exact. Where no images left can make it exact, TFA's loop never ends: here the count
    is left out, with the images that were taken for it.

    Args:
        counts: boxes of the class in each image of the pool, in the pool's order.
        generator: the seed's one stream of random numbers.
    """
    taken: list[int] = []
    ends: dict[int, int] = {}
    few_images = set()
    total = 0
    left = Counter(counts)
    for shots in ladder:
        before, drawn = len(taken), set(taken)
        while total < shots and can_make(left, shots - total):
            if len(counts) < shots:
                few_images.add(shots)
            for place in generator.sample(range(len(counts)), min(shots, len(counts))):
                if place in drawn or counts[place] > shots - total:
                    continue
                drawn.add(place)
                taken.append(place)
                total += counts[place]
                left[counts[place]] -= 1
                if total == shots:
                    break
        if total == shots:
            ends[shots] = len(taken)
            continue
        for place in taken[before:]:
            left[counts[place]] += 1
            total -= counts[place]
        del taken[before:]
    return DrawnImages(tuple(taken), ends, frozenset(few_images))


def draw_in_steps(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> DrawnImages:
    """Images that hold at least as many boxes as each step of the ladder adds (VOC).

    At each step as many images as shots are added are sampled and taken one by one until their boxes reach that
    number. Images of earlier steps may be drawn again: then they are in the list twice.
    """
    taken: list[int] = []
    ends: dict[int, int] = {}
    few_images = set()
    for shots, below in zip(ladder, (0, *ladder), strict=False):
        step = shots - below
        if len(counts) < step:
            few_images.add(shots)
        boxes = 0
        for place in generator.sample(range(len(counts)), min(step, len(counts))):
            taken.append(place)
            boxes += counts[place]
            if boxes >= step:
                break
        ends[shots] = len(taken)
    return DrawnImages(tuple(taken), ends, few_images=frozenset(few_images))


def can_make(left: Mapping[int, int], need: int) -> bool:
    """Whether some of the images left hold exactly `need` boxes together; `left` counts images by their boxes."""
    if left.get(1, 0) >= need:
        return True
    reachable = 1  # bit s: some images hold s boxes together
    for count, images in left.items():
        for _ in range(min(images, need // count) if count else 0):
            reachable |= reachable << count
    return bool(reachable >> need & 1)


MOST_TRIES = 2_000  # ways that are looked at before a ladder counts as impossible


def draw_exactly(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> DrawnImages | None:
    """Images whose boxes make exactly every count of the ladder, each keeping those below; None where there are none.

    Unlike TFA's draw it looks ahead: what it takes for a low count leaves what the higher ones need.
    """
    steps = [shots - below for shots, below in zip(ladder, (0, *ladder), strict=False)]
    tries = iter(range(MOST_TRIES))

    def fill(level: int, left: Counter[int]) -> list[Counter[int]] | None:
        if level == len(steps):
            return []
        if not all(can_make(left, sum(steps[level:end])) for end in range(level + 1, len(steps) + 1)):
            return None  # some later count is out of reach whatever is taken now
        for part in _parts(steps[level], left, generator):
            if next(tries, None) is None:
                return None
            rest = fill(level + 1, left - part)
            if rest is not None:
                return [part, *rest]
        return None

    found = fill(0, Counter(count for count in counts if count))
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
    return DrawnImages(tuple(taken), ends)


def draw_at_least(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> DrawnImages:
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
    return DrawnImages(tuple(taken), ends)


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
