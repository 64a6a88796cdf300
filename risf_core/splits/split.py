"""The values of few-shot splits: which split, which boxes, and how they came about."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Benchmark
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import DataError, listing

MarkKind = Literal[
    "not-published",
    "published",
    "outside-ladder",
    "cut",
    "combination",
    "at-least",
    "no-area",
    "few-images",
    "repeated",
    "filled",
    "once",
]
Rows = NDArray[np.int64]  # positions in a dataset's table

MARK_TEXTS: Mapping[MarkKind, str] = {
    "not-published": "drawn here: not the published seed 0, which no script drew and which can only be read",
    "published": "read from the published files",
    "outside-ladder": "not a shot count of the literature: drawn by risf's own rule, around the counts below it and "
    "within those above",
    "cut": "one image has more boxes of the class than were needed; the others of it are left unlabelled (`at_least` "
    "takes them all)",
    "combination": "TFA's loop would not end in this class: images that make the counts were drawn by risf's own rule",
    "at-least": "more boxes than asked for, because no images make exactly this count",
    "no-area": "TFA's draw holds a box of no area: drawn again by risf's own rule without such boxes",
    "few-images": "fewer images than TFA's script needs: drawn from all there are",
    "repeated": "the list names an image twice, so one of its boxes is there twice, as published",
    "filled": "the listed images hold too few boxes that can be trained on: the rest is drawn from the class's others",
    "once": "TFA's draw takes an image twice and has no further box in it: every box is taken once, the rest is drawn "
    "from the class's others",
}


@dataclass(frozen=True)
class Mark:
    """What sets some shots of a seed apart from a plain draw by TFA's script."""

    kind: MarkKind
    shots: int
    classes: tuple[str, ...]

    @property
    def text(self) -> str:
        """The mark in words."""
        return MARK_TEXTS[self.kind]


@dataclass(frozen=True, eq=False)
class ClassShots:
    """The boxes of one class at each shot count that can be drawn; counts that cannot be are missing."""

    rows: Mapping[int, Rows]  # in the order drawn
    listed_images: Mapping[int, Rows]  # positions of the images that TFA's file of this count lists
    marks: Mapping[int, tuple[MarkKind, ...]]


@dataclass(frozen=True, eq=False)
class SeedShots:
    """The boxes of one seed, at each shot count and for each class, in the order in which they were drawn."""

    benchmark: Benchmark
    novel_set: str
    seed: int
    boxes: AnnotatedDataset  # the table that `rows` count in, under the vocabulary in the published order
    rows: Mapping[int, tuple[Rows, ...]]  # shots -> by label the rows of its boxes; none: not written
    marks: tuple[Mark, ...] = ()

    def rows_of(self, shots: int) -> tuple[Rows, ...]:
        """By label the rows of the boxes at a shot count. Raises DataError where the split does not hold it."""
        if shots not in self.rows:
            raise DataError(f"the split holds {listing(sorted(self.rows), most=10)} shots; got {shots}")
        return self.rows[shots]

    def frozen(self) -> SeedShots:
        """The same shots with a table of the drawn boxes alone: what a split file keeps."""
        used = np.unique([row for by_label in self.rows.values() for rows in by_label for row in rows.tolist()])
        used = used.astype(np.int64)  # of no rows at all numpy makes floats
        rows = {shots: tuple(np.searchsorted(used, rows) for rows in by_label) for shots, by_label in self.rows.items()}
        return replace(self, boxes=self.boxes.select(used), rows=rows)


def marks_in_words(seeds: Collection[SeedShots]) -> list[str]:
    """What sets these seeds apart from plain draws by TFA's script, one sentence a kind of mark."""
    kinds: dict[MarkKind, tuple[set[int], set[int], set[str]]] = {}
    class_count = max((len(shots.boxes.vocabulary) for shots in seeds), default=0)
    for shots in seeds:
        for mark in shots.marks:
            of_kind = kinds.setdefault(mark.kind, (set(), set(), set()))
            of_kind[0].add(shots.seed)
            of_kind[1].add(mark.shots)
            of_kind[2].update(mark.classes)
    sentences = []
    for kind, (of_seeds, counts, classes) in kinds.items():
        where = "seed " if len(of_seeds) == 1 else "seeds "
        where += f"{number_ranges(of_seeds)}; {listing(sorted(counts), most=10)} shots; "
        where += "all classes" if len(classes) == class_count else listing(sorted(classes), most=3)
        sentences.append(f"{where}: {MARK_TEXTS[kind]}")
    return sentences


def number_ranges(numbers: Collection[int]) -> str:
    """The numbers in ascending order, runs of three and more as ranges.

    >>> number_ranges([0, 1, 2, 3, 7, 9, 10])
    '0-3,7,9,10'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [[f"{run[0]}-{run[-1]}"] if len(run) > 2 else list(map(str, run)) for run in runs]
    return ",".join(part for of_run in parts for part in of_run)
