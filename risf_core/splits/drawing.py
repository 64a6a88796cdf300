"""Drawing the shots of a seed: TFA's ladder for every class, the boxes that are frozen, and the counts between."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Literal

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.splits.classes import benchmark_of
from risf_core.splits.pools import ClassPool, PoolPair, freeze_lists, own_generator, repeated_mark
from risf_core.splits.sampling import (
    COCO_LADDER,
    VOC_LADDER,
    DrawnImages,
    draw_at_least,
    draw_exactly,
    draw_in_steps,
    draw_whole_images,
)
from risf_core.splits.split import ClassShots, Mark, MarkKind, Rows, SeedShots

Rule = Literal["coco", "voc"]
LADDERS: Mapping[Rule, tuple[int, ...]] = {"coco": COCO_LADDER, "voc": VOC_LADDER}


def draw_seed(
    dataset: AnnotatedDataset,
    pools: Mapping[int, PoolPair],
    *,
    rule: Rule,
    seed: int,
    shots: Sequence[int],
    at_least: bool = False,
    distinct: bool = False,
    published: Mapping[int, ClassShots] | None = None,
) -> dict[int, ClassShots]:
    """Label -> the shots of each class that has boxes, drawn by TFA's rule for COCO or for VOC.

    One stream of random numbers runs through all classes, in the order of their category ids, and through the whole
    ladder of each, whatever is asked for: so a class and a shot count get the same boxes in every call. Shot counts
    that the ladder lacks are drawn from streams of their own (`fill_between`). Only where TFA's loop would not end, in
    a class of few images, the boxes hang together with which counts are asked for.

    Args:
        distinct: no box is drawn twice. TFA's draw for VOC repeats boxes where it takes an image twice; that is kept
            for the published sets alone.
        published: label -> shots that were published for this seed; they replace what is drawn. Given, even
            empty, the shots that are drawn are marked as not the published ones.
    """
    generator = Random(seed)
    drawn = {}
    for label, pool in pools.items():
        if len(pool.everything):
            if rule == "coco":
                ladder = _draw_coco_class(pool, generator=generator, seed=seed, shots=shots, at_least=at_least)
            else:
                ladder = _draw_voc_class(pool, generator=generator, seed=seed, distinct=distinct)
            if published is not None:
                ladder = _with_published(ladder, published.get(label))
            drawn[label] = fill_between(
                ladder, dataset, pool.usable, rule=rule, seed=seed, shots=shots, at_least=at_least
            )
    return drawn


def seed_shots(
    dataset: AnnotatedDataset, drawn: Mapping[int, ClassShots], *, seed: int, shots: Sequence[int], novel_set: str
) -> SeedShots:
    """The shots of several classes as one value; classes that `drawn` leaves out have no boxes."""
    empty = np.empty(0, dtype=np.int64)
    nothing = ClassShots({}, {}, {})
    labels = range(len(dataset.vocabulary))
    rows = {k: tuple(drawn.get(label, nothing).rows.get(k, empty) for label in labels) for k in shots}
    marks = _marks_of(drawn, dataset.vocabulary.names, shots=shots)
    return SeedShots(benchmark_of(dataset, novel_set), novel_set, seed, dataset, rows, marks)


def fill_between(
    ladder: ClassShots,
    dataset: AnnotatedDataset,
    pool: ClassPool,
    *,
    rule: Rule,
    seed: int,
    shots: Sequence[int],
    at_least: bool = False,
) -> ClassShots:
    """The shots with those counts that the ladder lacks: risf's own rule.

    K shots are the boxes of the next lower count of the ladder and the first more of a fixed random order of the
    images that the next higher count adds (above the highest: of all images left), image by image. So K shots
    contain all lower counts and are within all higher ones, whichever are asked for; at most one image is cut.
    """
    rows, listed, marks = dict(ladder.rows), dict(ladder.listed_images), dict(ladder.marks)
    for count in sorted(set(shots).difference(LADDERS[rule])):
        below = max((k for k in ladder.rows if k < count), default=0)
        above = min((k for k in ladder.rows if k > count), default=None)
        lower = ladder.rows.get(below, pool.all_rows[:0])
        need = count - len(lower)
        candidates = _remaining(ladder.rows[above], lower) if above else pool.all_rows[:0]
        if len(candidates) < need:
            candidates = _remaining(pool.all_rows, lower)
        if len(candidates) < need:
            continue  # fewer boxes than that exist
        groups = _shuffled_by_image(candidates, dataset, own_generator(seed, pool.name, f"above {below}"))
        added, cut = _first(groups, need, whole=at_least)
        more = np.array([dataset.image_positions[group[0]] for group in added], dtype=np.int64)
        rows[count] = np.concatenate([lower, *added])
        listed[count] = np.concatenate([listed.get(below, more[:0]), more])
        kinds: list[MarkKind] = ["outside-ladder"]
        if cut and rule == "coco":  # VOC's lists cut images at every count
            kinds.append("cut")
        if len(rows[count]) > count:
            kinds.append("at-least")
        marks[count] = (*kinds, *repeated_mark(rows[count]))
    return ClassShots(rows, listed, marks)


def _remaining(upper: Rows, lower: Rows) -> Rows:
    """What `upper` adds to `lower`."""
    nested = np.array_equal(upper[: len(lower)], lower)
    return upper[len(lower) :] if nested else upper[~np.isin(upper, lower)]


def _shuffled_by_image(rows: Rows, dataset: AnnotatedDataset, generator: Random) -> Iterator[Rows]:
    """The rows of each image, the images in random order."""
    images = dataset.image_positions[rows]
    order = list(dict.fromkeys(images.tolist()))
    generator.shuffle(order)
    return (rows[images == image] for image in order)


def _first(groups: Iterator[Rows], need: int, *, whole: bool) -> tuple[list[Rows], bool]:
    """The first groups with `need` rows in all, the last one cut to fit unless `whole`; and whether it was cut."""
    added: list[Rows] = []
    while need > 0:
        group = next(groups)
        added.append(group if whole else group[:need])
        cut = len(added[-1]) < len(group)
        need -= len(added[-1])
    return added, bool(added) and cut


def _with_published(drawn: ClassShots, published: ClassShots | None) -> ClassShots:
    """The published shots, and what is drawn for counts that were not published."""
    marks: dict[int, tuple[MarkKind, ...]] = {k: ("not-published", *kinds) for k, kinds in drawn.marks.items()}
    if published is None:
        return ClassShots(drawn.rows, drawn.listed_images, marks)
    return ClassShots(
        {**drawn.rows, **published.rows},
        {**drawn.listed_images, **published.listed_images},
        {**marks, **{k: ("published", *kinds) for k, kinds in published.marks.items()}},
    )


def _draw_coco_class(
    pool: PoolPair, *, generator: Random, seed: int, shots: Sequence[int], at_least: bool
) -> ClassShots:
    """The ladder of a class as TFA draws it; what that cannot give is drawn by rules of risf."""
    everything, usable = pool.everything, pool.usable
    drawn = _whole_images(everything, draw_whole_images(everything.counts, ladder=COCO_LADDER, generator=generator))
    if usable.box_count < everything.box_count and not all(
        np.isin(rows, usable.all_rows).all() for rows in drawn.rows.values()
    ):
        own = own_generator(seed, usable.name, "usable boxes")
        again = draw_whole_images(usable.counts, ladder=COCO_LADDER, generator=own)
        drawn = _whole_images(usable, again, marks=("no-area",))
    wanted = [count for count in COCO_LADDER if count in shots and count <= usable.box_count]
    if all(count in drawn.rows for count in wanted):
        return drawn
    own = own_generator(seed, usable.name, f"combination {wanted}")
    found = draw_exactly(usable.counts, ladder=wanted, generator=own)
    if found is None and at_least:
        found = draw_at_least(usable.counts, ladder=wanted, generator=own)
    return drawn if found is None else _whole_images(usable, found, marks=("combination",))


def _whole_images(pool: ClassPool, images: DrawnImages, *, marks: tuple[MarkKind, ...] = ()) -> ClassShots:
    rows = {shots: pool.rows_of(images.taken[:end]) for shots, end in images.ends.items()}
    of_count: dict[int, tuple[MarkKind, ...]] = {}
    for shots in images.ends:
        more: tuple[MarkKind, ...] = ("at-least",) if len(rows[shots]) > shots else ()
        few: tuple[MarkKind, ...] = ("few-images",) if shots in images.few_images else ()
        of_count[shots] = (*marks, *more, *few)
    return ClassShots(rows, {k: pool.images[list(images.taken[:end])] for k, end in images.ends.items()}, of_count)


def _draw_voc_class(pool: PoolPair, *, generator: Random, seed: int, distinct: bool) -> ClassShots:
    drawn = draw_in_steps(pool.everything.counts, ladder=VOC_LADDER, generator=generator)
    images = pool.everything.images[list(drawn.taken)]
    lists = {shots: images[:end] for shots, end in drawn.ends.items()}
    return freeze_lists(lists, pool.usable, seed=seed, fill=True, distinct=distinct)


def _marks_of(drawn: Mapping[int, ClassShots], names: Sequence[str], *, shots: Sequence[int]) -> tuple[Mark, ...]:
    """The marks of several classes' shots, one for each kind and shot count with all classes that it is true of."""
    classes: dict[tuple[MarkKind, int], list[str]] = {}
    for count in shots:
        for label in sorted(drawn):
            for kind in drawn[label].marks.get(count, ()):
                classes.setdefault((kind, count), []).append(names[label])
    return tuple(Mark(kind, count, tuple(names)) for (kind, count), names in classes.items())
