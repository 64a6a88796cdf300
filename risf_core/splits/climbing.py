"""TFA's two ways of drawing up the ladder of shot counts, on the box counts of one class's images.

Both consume the generator exactly as TFA's scripts do (prepare_coco_few_shot.py and prepare_voc_few_shot.py of
few-shot-object-detection), so that the same seed draws the same images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

COCO_LADDER: tuple[int, ...] = (1, 2, 3, 5, 10, 30)
VOC_LADDER: tuple[int, ...] = (1, 2, 3, 5, 10)


@dataclass(frozen=True)
class Climb:
    """The images drawn for a class, as places in its pool."""

    taken: tuple[int, ...]  # in the order drawn
    ends: Mapping[int, int]  # shots -> how many of `taken` make them; counts that cannot be made are missing
    few_images: frozenset[int] = frozenset()  # shots for which TFA's script would want more images than there are


def climb_whole_images(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> Climb:
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
    return Climb(tuple(taken), ends, frozenset(few_images))


def climb_in_steps(counts: Sequence[int], *, ladder: Sequence[int], generator: Random) -> Climb:
    """Images that hold at least as many boxes as each step of the ladder adds (VOC).

    At each step as many images as shots are added are sampled and taken one by one until their boxes reach that
    number. Images of earlier steps may be drawn again: then they stand twice.
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
    return Climb(tuple(taken), ends, few_images=frozenset(few_images))


def can_make(left: Mapping[int, int], need: int) -> bool:
    """Whether some of the images left hold exactly `need` boxes together; `left` counts images by their boxes."""
    if left.get(1, 0) >= need:
        return True
    reachable = 1  # bit s: some images hold s boxes together
    for count, images in left.items():
        for _ in range(min(images, need // count) if count else 0):
            reachable |= reachable << count
    return bool(reachable >> need & 1)
