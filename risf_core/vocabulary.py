"""The classes of a dataset: their names, their ids in files, and which of them are novel."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Group
from risf_core.class_lists import read_class_list
from risf_core.errors import ConfigError, DataError, counted, did_you_mean, listing

_log = logging.getLogger(__name__)

# The 20 classes that COCO shares with Pascal VOC, under COCO's names: the novel classes of few-shot COCO (TFA).
COCO_NOVEL: tuple[str, ...] = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "boat", "bird", "cat",
    "dog", "horse", "sheep", "cow", "bottle", "chair", "couch", "potted plant", "dining table", "tv",
)  # fmt: skip
# Pascal VOC's classes and the three novel sets of few-shot VOC (TFA).
VOC_CLASSES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
NOVEL_SETS: Mapping[str, tuple[str, ...]] = {
    "coco20": COCO_NOVEL,
    "voc1": ("bird", "bus", "cow", "motorbike", "sofa"),
    "voc2": ("aeroplane", "bottle", "cow", "horse", "sofa"),
    "voc3": ("boat", "cat", "motorbike", "sheep", "sofa"),
}


@dataclass(frozen=True)
class ClassVocabulary:
    """The classes in order. A *label* is a position in `names`; a *category id* is what a file calls the class.

    Raises DataError where the two lists differ in length, an id or a name is repeated, or a novel name is unknown.
    """

    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    novel: frozenset[str] = frozenset()
    counted: bool = field(default=False, compare=False)  # a plain list stated no ids, so they were counted

    def __post_init__(self) -> None:
        if len(self.names) != len(self.category_ids):
            raise DataError(f"{len(self.names)} class names and {len(self.category_ids)} category ids: one id per name")
        for category_id in _repeated(self.category_ids)[:1]:
            names = [repr(name) for name, own in zip(self.names, self.category_ids, strict=True) if own == category_id]
            raise DataError(f"category id {category_id} is both {' and '.join(names)}; give each class its own id")
        for name in _repeated(self.names)[:1]:
            ids = [str(own) for other, own in zip(self.names, self.category_ids, strict=True) if other == name]
            raise DataError(f"class {name!r} has category ids {' and '.join(ids)}; give each class its own name")
        for name in sorted(self.novel.difference(self.names)):
            raise DataError(f"novel class {name!r} is not among the classes{did_you_mean(name, self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def from_categories(cls, categories: Iterable[Mapping[str, Any]], *, novel: Iterable[str] = ()) -> ClassVocabulary:
        """The vocabulary of a COCO file's `categories`, in ascending order of their ids."""
        ordered = sorted(categories, key=lambda category: int(category["id"]))
        return cls(
            names=tuple(str(category["name"]) for category in ordered),
            category_ids=tuple(int(category["id"]) for category in ordered),
            novel=frozenset(novel),
        )

    @classmethod
    def from_names(cls, names: Sequence[str], *, first_id: int = 1, novel: Iterable[str] = ()) -> ClassVocabulary:
        """The vocabulary of a plain list of names, numbered from `first_id`."""
        return cls(tuple(names), tuple(range(first_id, first_id + len(names))), frozenset(novel))

    def labels(self, group: Group = "all") -> NDArray[np.int64]:
        """The labels of a group, ascending, (C,)."""
        wanted = {"all": (True, False), "novel": (True,), "base": (False,)}[group]
        return np.array([i for i, name in enumerate(self.names) if (name in self.novel) in wanted], dtype=np.int64)

    def restrict(self, group: Group) -> ClassVocabulary:
        """The vocabulary of one group alone, order and ids kept."""
        kept = self.labels(group)
        names = tuple(self.names[i] for i in kept)
        return ClassVocabulary(names, tuple(self.category_ids[i] for i in kept), self.novel.intersection(names))

    def with_novel(self, novel: Iterable[str]) -> ClassVocabulary:
        """The same classes with another set of novel ones."""
        return replace(self, novel=frozenset(novel))

    def with_novel_choice(self, choice: str | None) -> ClassVocabulary:
        """The same classes with the novel ones that a person chose, as `novel_names` reads them; None: as they are."""
        return self if choice is None else self.with_novel(novel_names(choice, self))

    @property
    def is_pascal_voc(self) -> bool:
        """Whether these are Pascal VOC's 20 classes, in any order."""
        return set(self.names) == set(VOC_CLASSES)

    def base_first(self) -> ClassVocabulary:
        """The base classes alphabetically, then the novel ones: so published checkpoints count VOC's labels."""
        id_of = dict(zip(self.names, self.category_ids, strict=True))
        names = sorted(self.names, key=lambda name: (name in self.novel, name))
        return ClassVocabulary(tuple(names), tuple(id_of[name] for name in names), self.novel)

    def label_of(self, category_id: int) -> int:
        """The label of a file's category id. Raises DataError where the id is unknown."""
        try:
            return self.label_by_id[category_id]
        except KeyError:
            raise DataError(f"category id {category_id} is not among the classes' ids") from None

    @cached_property
    def label_by_id(self) -> Mapping[int, int]:
        """Category id -> label."""
        return {category_id: label for label, category_id in enumerate(self.category_ids)}


def read_class_names(path: Path) -> tuple[str, ...]:
    """The class names of a file, in any form that `read_class_list` reads."""
    return read_class_list(path).names


def read_classes(path: Path, *, first_id: int | None = None) -> ClassVocabulary:
    """The vocabulary of a class list: ids that it states are the category ids; a plain list counts from `first_id`.

    Without `first_id` a plain list counts from 1. Raises ConfigError where a list that states ids starts elsewhere.
    """
    classes = read_class_list(path)
    if classes.background is not None:
        _log.info("%s: %r is the background, not a class; ids count from it", path, classes.background)
    if not classes.has_ids:
        start = 1 if first_id is None else first_id
        return ClassVocabulary(classes.names, tuple(start + place for place in classes.places), counted=True)
    if first_id is not None and first_id not in (classes.places[0], 0 if classes.places[0] == 1 else None):
        raise ConfigError(
            f"`first_id={first_id}`: {path} states its own ids, from {classes.places[0]} on; leave `first_id` out"
        )
    return ClassVocabulary(classes.names, classes.places)


def novel_names(choice: str, vocabulary: ClassVocabulary) -> tuple[str, ...]:
    """The novel classes a person chose: a published set, names with commas, or a file of names.

    Raises ConfigError where a name is not among the classes (the nearest ones are offered).
    """
    if choice in NOVEL_SETS:
        chosen: Sequence[str] = NOVEL_SETS[choice]
    elif choice.strip() in vocabulary.names:  # a name may have commas
        chosen = [choice.strip()]
    elif os.path.isfile(choice):  # unlike Path.is_file, no error where a long list of names is not a file name
        chosen = read_class_list(Path(choice), known=vocabulary.names).names
    else:
        chosen = [name.strip() for name in choice.split(",") if name.strip()]
    if not chosen:
        raise ConfigError("`novel` names no class; give coco20, voc1, voc2, voc3, names with commas, or a file")
    twice = _repeated(chosen)
    if twice:
        raise ConfigError(f"`novel` names {listing([repr(n) for n in twice])} twice; keep one")
    unknown = [name for name in chosen if name not in vocabulary.names]
    if len(chosen) == 1 and unknown and not os.path.isfile(choice) and _is_like_a_path(choice):
        near = did_you_mean(choice, vocabulary.names)
        raise ConfigError(f"`novel={choice}`: there is no such file or class{near}; check the path")
    mixed = [name for name in unknown if name in NOVEL_SETS]
    if mixed and len(chosen) > 1:
        raise ConfigError(
            f"`novel`: {mixed[0]!r} is a published set, which cannot be mixed with names; give the set alone, or the "
            "names of all novel classes"
        )
    if unknown:
        with_comma = [name for name in vocabulary.names if "," in name and any(part in name for part in unknown)]
        if with_comma:
            raise ConfigError(
                f"`novel`: {with_comma[0]!r} has a comma; write the names into a file, one per line, and pass that"
            )
        sets = f"; published sets are {', '.join(NOVEL_SETS)}" if len(chosen) == 1 else ""
        raise ConfigError(
            f"`novel`: {listing([repr(name) for name in unknown])} not among the {counted(len(vocabulary), 'class')}"
            f"{did_you_mean(unknown[0], [*vocabulary.names, *NOVEL_SETS])}{sets}"
        )
    return tuple(chosen)


def _is_like_a_path(choice: str) -> bool:
    return "/" in choice or Path(choice).suffix in (".txt", ".yaml", ".yml", ".json", ".names")


def _repeated(values: Iterable[Any]) -> list[Any]:
    """The repeated values, ascending."""
    return sorted(value for value, count in Counter(values).items() if count > 1)
