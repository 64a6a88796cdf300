"""The classes of a dataset: their names, their ids in files, and which of them are novel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import Group
from risf_core.documents import parse_yaml
from risf_core.errors import ConfigError, DataError, did_you_mean, listing
from risf_core.files import read_text

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

    Raises DataError where the two lists differ in length, an id or a name stands twice, or a novel name is unknown.
    """

    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    novel: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.category_ids):
            raise DataError(f"{len(self.names)} class names and {len(self.category_ids)} category ids: one id a name")
        for category_id in _repeated(self.category_ids)[:1]:
            names = [repr(name) for name, own in zip(self.names, self.category_ids, strict=True) if own == category_id]
            raise DataError(f"category id {category_id} stands for {' and '.join(names)}; give each class its own id")
        for name in _repeated(self.names)[:1]:
            ids = [str(own) for other, own in zip(self.names, self.category_ids, strict=True) if other == name]
            raise DataError(f"class {name!r} stands for category ids {' and '.join(ids)}; give each class its own name")
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
        return ClassVocabulary(self.names, self.category_ids, frozenset(novel))

    def with_novel_choice(self, choice: str | None) -> ClassVocabulary:
        """The same classes with the novel ones that a person chose, as `novel_names` reads them; None: as they are."""
        return self if choice is None else self.with_novel(novel_names(choice, self))

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
    """The class names of a text file (one a line) or of a YAML file with `names:` (a list or an id -> name map)."""
    return read_class_list(path)[0]


def read_class_list(path: Path) -> tuple[tuple[str, ...], tuple[int, ...] | None]:
    """The names of a class list as `read_class_names` reads them, and their ids where it is a map that states them."""
    text = read_text(path, what="class list")
    ids = None
    if path.suffix.lower() not in (".yaml", ".yml"):
        names = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        names, ids = _names_of_yaml(path, text)
    if not names:
        raise DataError(f"{path}: holds no class name; write one a line")
    twice = _repeated(names)
    if twice:
        raise DataError(f"{path}: class {listing([repr(n) for n in twice])} is listed twice; keep one")
    return tuple(names), ids


def read_classes(path: Path, *, first_id: int | None = None) -> ClassVocabulary:
    """The vocabulary of a class list: a map's ids are the category ids; a list's names count from `first_id`.

    Without `first_id` a list counts from 1. Raises ConfigError where a map counts from another id than `first_id`.
    """
    names, ids = read_class_list(path)
    if ids is None:
        return ClassVocabulary.from_names(names, first_id=1 if first_id is None else first_id)
    if first_id is not None and first_id != ids[0]:
        raise ConfigError(
            f"--first-id {first_id}: {path} states its own ids under 'names:', from {ids[0]} on; leave --first-id out"
        )
    return ClassVocabulary(names, ids)


def novel_names(choice: str, vocabulary: ClassVocabulary) -> tuple[str, ...]:
    """The novel classes a person chose: a published set, names with commas, or a file with one name a line.

    Raises ConfigError where a name is not among the classes (the nearest ones are offered).
    """
    if choice in NOVEL_SETS:
        chosen: Sequence[str] = NOVEL_SETS[choice]
    elif os.path.isfile(choice):  # unlike Path.is_file, no error where a long list of names is not a file name
        chosen = read_class_names(Path(choice))
    else:
        chosen = [name.strip() for name in choice.split(",") if name.strip()]
    if not chosen:
        raise ConfigError("`novel` names no class; give coco20, voc1, voc2, voc3, names with commas, or a file")
    twice = _repeated(chosen)
    if twice:
        raise ConfigError(f"`novel` names {listing([repr(n) for n in twice])} twice; keep one")
    unknown = [name for name in chosen if name not in vocabulary.names]
    if len(chosen) == 1 and unknown and ("/" in choice or Path(choice).suffix in (".txt", ".yaml", ".yml")):
        raise ConfigError(f"`novel={choice}`: there is no such file; check the path")
    mixed = [name for name in unknown if name in NOVEL_SETS]
    if mixed and len(chosen) > 1:
        raise ConfigError(
            f"`novel`: {mixed[0]!r} is a published set, which cannot be mixed with names; give the set alone, or the "
            "names of all novel classes"
        )
    if unknown:
        sets = f"; published sets are {', '.join(NOVEL_SETS)}" if len(chosen) == 1 else ""
        raise ConfigError(
            f"`novel`: {listing([repr(name) for name in unknown])} not among the {len(vocabulary)} classes"
            f"{did_you_mean(unknown[0], [*vocabulary.names, *NOVEL_SETS])}{sets}"
        )
    return tuple(chosen)


def _names_of_yaml(path: Path, text: str) -> tuple[list[str], tuple[int, ...] | None]:
    content = parse_yaml(text, source=path)
    names = content.get("names") if isinstance(content, dict) else content
    ids = None
    if isinstance(names, dict):
        ids, names = _in_order_of_ids(path, names)
    if not isinstance(names, list):
        raise DataError(f"{path}: has no list under 'names:'; write names: [first, second, ...]")
    for name in names:
        if type(name) not in (str, int, float):  # YAML takes a bare no, off or null for something else
            raise DataError(f"{path}: class name {name!r} is not text; put it in quotes")
    return [str(name).strip() for name in names], ids


def _in_order_of_ids(path: Path, names: Mapping[Any, Any]) -> tuple[tuple[int, ...], list[Any]]:
    """The ids of an id -> name map, ascending, and their names; the ids must count on without a gap."""
    try:
        by_id = {int(key): name for key, name in names.items()}
    except (TypeError, ValueError):
        raise DataError(f"{path}: the keys under 'names:' must be whole numbers, as in 0: person") from None
    ids = sorted(by_id)
    if len(by_id) != len(names) or (ids and ids != list(range(ids[0], ids[0] + len(ids)))):
        raise DataError(
            f"{path}: the ids under 'names:' ({listing(ids)}) do not count on one by one; "
            "pass --annotations with these categories instead"
        )
    return tuple(ids), [by_id[key] for key in ids]


def _repeated(values: Iterable[Any]) -> list[Any]:
    """The values that stand more than once, ascending."""
    return sorted(value for value, count in Counter(values).items() if count > 1)
