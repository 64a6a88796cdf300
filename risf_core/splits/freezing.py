"""Freezing: from lists of images, as the literature keeps few-shot VOC, to the K boxes they stand for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

import numpy as np

from risf_core.splits.pools import ClassPool
from risf_core.splits.split import ClassShots, MarkKind, Rows


def freeze_lists(
    lists: Mapping[int, Rows], pool: ClassPool, *, seed: int, fill: bool, distinct: bool = False
) -> ClassShots:
    """The boxes that lists of images stand for: shots -> positions of images, as TFA's VOC files hold them.

    The ancestors draw K boxes of the listed images anew in every process. Here they are drawn once: where a list
    begins with the next shorter one, that one's boxes stay and the rest come from the images it adds, by a stream
    that depends on the seed, the class and the count alone. Where these hold too few boxes, the rest comes from the
    other listed images; in a list that names an image twice boxes may then stand twice (unless `distinct`, which
    reads every image of a list once); and with `fill` at last from any image of the class. Counts for which there are
    too few boxes are missing.
    """
    rows: dict[int, Rows] = {}
    listed: dict[int, Rows] = {}
    marks: dict[int, tuple[MarkKind, ...]] = {}
    place_of = {position: place for place, position in enumerate(pool.images.tolist())}

    def rows_in(images: Sequence[int]) -> list[int]:
        places = [place_of[image] for image in dict.fromkeys(images) if image in place_of]
        return [int(row) for row in pool.rows_of(places)]

    below: int | None = None
    for shots in sorted(lists):
        old, new, chosen = [], lists[shots].tolist(), []
        if below is not None and new[: len(lists[below])] == lists[below].tolist():
            old, new, chosen = listed[below].tolist(), new[len(lists[below]) :], rows[below].tolist()
        generator = own_generator(seed, pool.name, f"boxes {shots}")
        mark: tuple[MarkKind, ...] = ()
        repeats = len(set(lists[shots].tolist())) < len(lists[shots])
        candidates = rows_in(new), rows_in(old)
        for group in candidates:
            chosen += _sample(generator, group, without=chosen, most=shots - len(chosen))
        images = old + new
        if len(chosen) < shots and not distinct and len(set(images)) < len(images) and any(candidates):
            chosen += generator.choices(candidates[0] or candidates[1], k=shots - len(chosen))
        if len(chosen) < shots:
            mark = ("once",) if distinct and repeats else ("filled",)
            more = _sample(generator, pool.all_rows.tolist() if fill else [], without=chosen, most=shots - len(chosen))
            if len(chosen) + len(more) < shots:
                continue
            image_of = pool.image_of
            images += [image_of[row] for row in more]
            chosen += more
        if distinct:
            images = list(dict.fromkeys(images))
        rows[shots], listed[shots] = np.array(chosen, dtype=np.int64), np.array(images, dtype=np.int64)
        marks[shots] = (*mark, *repeated_mark(rows[shots]))
        below = shots
    return ClassShots(rows, listed, marks)


def repeated_mark(rows: Rows) -> tuple[MarkKind, ...]:
    """The mark of boxes of which one stands twice."""
    return ("repeated",) if len(np.unique(rows)) < len(rows) else ()


def own_generator(seed: int, class_name: str, what: str) -> Random:
    """A stream of random numbers of risf's own for one purpose, which touches no other stream."""
    return Random(f"risf/{seed}/{class_name}/{what}")


def _sample(generator: Random, rows: Sequence[int], *, without: Sequence[int], most: int) -> list[int]:
    """Up to `most` of the rows that are not among `without`."""
    used = set(without)
    unused = [row for row in rows if row not in used]
    return generator.sample(unused, min(max(most, 0), len(unused)))
