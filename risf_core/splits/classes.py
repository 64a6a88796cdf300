"""The classes of a split: which are novel, in which order the literature counts them, which benchmark they make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from risf_core.choices import Benchmark
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import DataError, listing
from risf_core.vocabulary import COCO_NOVEL, NOVEL_SETS, ClassVocabulary, novel_names

ALL_NOVEL = "all"
OWN = "own"
COCO_SET = "coco20"
COCO_CLASS_COUNT = 80
VOC_SETS: tuple[str, ...] = tuple(name for name in NOVEL_SETS if name != COCO_SET)

NovelChoice = str | Sequence[str] | None  # a published set, "all", names with commas, a file of names, or the names


def with_novel_classes(dataset: AnnotatedDataset, novel: NovelChoice) -> tuple[AnnotatedDataset, str]:
    """The dataset under its vocabulary of base and novel classes, in the published order; and the novel set's name.

    Classes without a box are left out with a note. Raises ConfigError where a novel name is unknown or given twice,
    DataError where a novel class that was named has no box.
    """
    vocabulary, novel_set = novel_vocabulary(dataset.vocabulary, novel, alphabetical=dataset.source.kind == "voc")
    kept = without_empty_classes(dataset.with_vocabulary(vocabulary))
    wanted = [repr(n) for n in vocabulary.names if n in vocabulary.novel and n not in kept.vocabulary.names]
    if wanted and (novel not in (None, ALL_NOVEL) or novel_set != OWN):  # "all" are all that can be drawn
        lacking = f"{listing(wanted)} {'has' if len(wanted) == 1 else 'have'} no box to draw in the training images"
        if novel is None:
            raise DataError(
                f"the novel classes of these data are by default those of {novel_set}, but {lacking}; choose others "
                f"with `novel` (names, or `novel={ALL_NOVEL}` for all classes that have boxes)"
            )
        raise DataError(f"`novel`: {lacking}; label some or leave them out")
    return kept, novel_set


def without_empty_classes(dataset: AnnotatedDataset) -> AnnotatedDataset:
    """The dataset without the classes that have no usable box, with a note that names them where there are any.

    Exports state such classes as a matter of course: a supercategory, or a class that was never drawn. Raises
    DataError where no class has a box.
    """
    vocabulary = dataset.vocabulary
    counts = dict(zip(vocabulary.names, dataset.usable_per_class().tolist(), strict=True))
    empty = [name for name, count in counts.items() if not count]
    if len(empty) == len(counts):
        raise DataError("the training images hold no box of any class (crowd and boxes of no area do not count)")
    if not empty:
        return dataset
    kept = _chosen(vocabulary, [name for name in vocabulary.names if name not in empty])
    note = f"{len(empty)} of {len(counts)} classes have no box and are left out: {listing(empty)}"
    kept = kept.with_novel(vocabulary.novel.difference(empty))
    return replace(dataset.with_vocabulary(kept), notes=(*dataset.notes, note))


def novel_vocabulary(
    vocabulary: ClassVocabulary, novel: NovelChoice, *, alphabetical: bool
) -> tuple[ClassVocabulary, str]:
    """The classes in the order in which the literature counts labels, with the novel ones; and the novel set's name.

    COCO: ascending category id. VOC (`alphabetical`): the base classes alphabetically, then the novel ones; checkpoints
    published for the generalised setting count so. Category ids stay with their names. Without a choice the novel set
    is coco20 where the classes are COCO's 80, voc1 where they are Pascal VOC's 20, else all classes.
    """
    if novel is None:
        novel = _default_novel(vocabulary)
    chosen = chosen_names(novel, vocabulary)
    ascending = [vocabulary.names[label] for label in np.argsort(vocabulary.category_ids).tolist()]
    ordered = _chosen(vocabulary, ascending).with_novel(chosen)
    novel_set = novel if isinstance(novel, str) and novel in NOVEL_SETS else OWN
    return ordered.base_first() if alphabetical else ordered, novel_set


def chosen_names(novel: str | Sequence[str], vocabulary: ClassVocabulary) -> Sequence[str]:
    """The names of a choice; "all" are all classes, unless one is called so."""
    if not isinstance(novel, str):
        return novel
    return vocabulary.names if novel == ALL_NOVEL not in vocabulary.names else novel_names(novel, vocabulary)


def benchmark_of(dataset: AnnotatedDataset, novel_set: str) -> Benchmark:
    """Which benchmark the classes make: it has a published seed 0."""
    kind, vocabulary = dataset.source.kind, dataset.vocabulary
    if kind == "coco" and novel_set == COCO_SET and len(vocabulary) == COCO_CLASS_COUNT:
        return "coco"
    return "voc" if kind == "voc" and novel_set in VOC_SETS and vocabulary.is_pascal_voc else "own"


def _default_novel(vocabulary: ClassVocabulary) -> str:
    if len(vocabulary) == COCO_CLASS_COUNT and set(COCO_NOVEL) <= set(vocabulary.names):
        return COCO_SET
    return VOC_SETS[0] if vocabulary.is_pascal_voc else ALL_NOVEL


def _chosen(vocabulary: ClassVocabulary, names: Sequence[str]) -> ClassVocabulary:
    id_of = dict(zip(vocabulary.names, vocabulary.category_ids, strict=True))
    return ClassVocabulary(tuple(names), tuple(id_of[name] for name in names))
