"""Which class each output is: the run's names, the annotations' ids, the published orders."""

from __future__ import annotations

from pathlib import Path

import pytest

from risf_core.detector.classes import output_vocabulary, published_order
from risf_core.errors import CheckpointError, ConfigError
from risf_core.vocabulary import COCO_NOVEL, NOVEL_SETS, VOC_CLASSES, ClassVocabulary
from tests.messages import assert_names

WEIGHTS = Path("w.pth")
FOUR = ClassVocabulary(("a", "b", "c", "d"), (1, 2, 5, 9), frozenset({"b", "d"}))


@pytest.mark.parametrize("novel_set", ["voc1", "voc2", "voc3"])
def test_voc_counts_the_base_classes_alphabetically_and_then_the_novel_ones(novel_set: str) -> None:
    novel = NOVEL_SETS[novel_set]
    vocabulary = ClassVocabulary.from_names(VOC_CLASSES, novel=novel)
    ordered = published_order(vocabulary)
    base = [name for name in VOC_CLASSES if name not in novel]
    assert list(ordered.names) == sorted(base) + sorted(novel)
    assert all(VOC_CLASSES[i - 1] == name for name, i in zip(ordered.names, ordered.category_ids, strict=True))


def test_coco_stays_in_ascending_category_id() -> None:
    vocabulary = ClassVocabulary.from_names(["zebra", *COCO_NOVEL], novel=COCO_NOVEL)
    assert published_order(vocabulary) is vocabulary


def test_a_run_keeps_its_order_and_takes_the_ids_of_the_dataset_by_name() -> None:
    own = ClassVocabulary(("d", "a"), (1, 2), frozenset({"d"}))
    found = output_vocabulary(class_count=2, weights=WEIGHTS, own=own, given=FOUR)
    assert (found.names, found.category_ids) == (("d", "a"), (9, 1))
    assert output_vocabulary(class_count=2, weights=WEIGHTS, own=own, given=None) == own


@pytest.mark.parametrize(("group", "names"), [("base", ("a", "c")), ("novel", ("b", "d"))])
def test_as_many_base_as_novel_classes_need_a_word(group, names) -> None:
    with pytest.raises(ConfigError) as caught:
        output_vocabulary(class_count=2, weights=WEIGHTS, own=None, given=FOUR)
    assert_names(str(caught.value), "w.pth", "2", "`group=base`", "`group=novel`")
    found = output_vocabulary(class_count=2, weights=WEIGHTS, own=None, given=FOUR, group=group)
    assert found.names == names


def test_a_group_without_novel_classes_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        output_vocabulary(class_count=4, weights=WEIGHTS, own=None, given=FOUR.with_novel(()), group="base")
    assert_names(str(caught.value), "`group=base`", "`novel`", "classes")


def test_other_counts_are_refused_with_both() -> None:
    with pytest.raises(CheckpointError) as caught:
        output_vocabulary(class_count=3, weights=WEIGHTS, own=None, given=FOUR)
    assert_names(str(caught.value), "w.pth", "3", "4", "2")
    with pytest.raises(CheckpointError) as caught:
        output_vocabulary(class_count=3, weights=WEIGHTS, own=FOUR, given=None)
    assert_names(str(caught.value), "w.pth", "3", "run.json", "4")
