"""Class vocabularies: labels and category ids are never mixed, and every fault is named."""

from __future__ import annotations

import pytest

from risf_core.errors import ConfigError, DataError
from risf_core.vocabulary import (
    COCO_NOVEL,
    NOVEL_SETS,
    VOC_CLASSES,
    ClassVocabulary,
    novel_names,
    read_class_names,
    read_classes,
)

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3), frozenset({"dog"}))


def test_labels_are_positions_and_category_ids_are_the_files():
    assert [PETS.label_of(i) for i in (17, 18, 3)] == [0, 1, 2]
    assert PETS.labels().tolist() == [0, 1, 2]
    assert PETS.labels("novel").tolist() == [1]
    assert PETS.labels("base").tolist() == [0, 2]
    with pytest.raises(DataError) as caught:
        PETS.label_of(4)
    assert str(caught.value) == "category id 4 is not among the classes' ids"


def test_restrict_keeps_order_and_ids():
    assert PETS.restrict("base") == ClassVocabulary(("cat", "horse"), (17, 3))
    assert PETS.restrict("novel") == ClassVocabulary(("dog",), (18,), frozenset({"dog"}))
    assert PETS.restrict("all") == PETS
    assert PETS.with_novel(["cat"]).labels("novel").tolist() == [0]


def test_categories_of_a_file_stand_in_ascending_order_of_their_ids():
    rows = [{"id": 9, "name": "b", "supercategory": "x"}, {"id": 2, "name": "a"}]
    assert ClassVocabulary.from_categories(rows) == ClassVocabulary(("a", "b"), (2, 9))


def test_plain_names_are_numbered_from_the_first_id():
    assert ClassVocabulary.from_names(["a", "b"]).category_ids == (1, 2)
    assert ClassVocabulary.from_names(["a", "b"], first_id=0).category_ids == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("a", "b"), (1,)), "2 class names and 1 category ids: one id a name"),
        ((("a", "b", "c"), (1, 1, 2)), "category id 1 stands for 'a' and 'b'; give each class its own id"),
        ((("a", "b", "a"), (1, 2, 3)), "class 'a' stands for category ids 1 and 3; give each class its own name"),
        ((("cat",), (1,), frozenset({"cta"})), "novel class 'cta' is not among the classes (did you mean 'cat'?)"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, message):
    with pytest.raises(DataError) as caught:
        ClassVocabulary(*arguments)
    assert str(caught.value) == message


def test_published_novel_sets_have_the_sizes_of_the_literature():
    # TFA: 20 novel COCO classes; 5 of VOC's 20 in each of three sets
    assert len(set(COCO_NOVEL)) == 20
    assert len(set(VOC_CLASSES)) == 20
    for name in ("voc1", "voc2", "voc3"):
        assert len(set(NOVEL_SETS[name])) == 5
        assert set(NOVEL_SETS[name]) <= set(VOC_CLASSES)


def test_novel_classes_of_coco_are_those_of_its_annotations(real_data):
    from risf_core.datasets import read_coco_index

    vocabulary = read_coco_index(real_data / "instances.json").vocabulary
    marked = vocabulary.with_novel(novel_names("coco20", vocabulary))
    # the same classes as the literature lists them, by COCO's category ids (TFA)
    assert [marked.category_ids[label] for label in marked.labels("novel")] == [
        1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19, 20, 21, 44, 62, 63, 64, 67, 72,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file_name", "text"),
    [
        ("names.txt", "cat\ndining table\n"),
        ("names.txt", "\ufeffcat\r\n\r\n  dining table  \r\n"),
        ("names.yaml", "names: [cat, dining table]"),
        ("names.yml", "train: images\nnc: 2\nnames:\n  0: cat\n  1: dining table\n"),
        ("names.yaml", 'names: {"1": cat, 2: dining table}'),
        ("names.yaml", "- cat\n- dining table\n"),
    ],
)
def test_class_names_are_read_from_text_and_from_yaml(tmp_path, file_name, text):
    (tmp_path / file_name).write_bytes(text.encode())
    assert read_class_names(tmp_path / file_name) == ("cat", "dining table")


@pytest.mark.parametrize(
    ("text", "first_id", "ids"),
    [
        ("names: {0: cat, 1: dog}", None, (0, 1)),
        ("names: {0: cat, 1: dog}", 0, (0, 1)),
        ("names: {4: dog, '3': cat}", None, (3, 4)),
        ("names: [cat, dog]", None, (1, 2)),
        ("names: [cat, dog]", 0, (0, 1)),
        ("[cat, dog]", 1, (1, 2)),
    ],
)
def test_a_maps_ids_are_the_category_ids_and_a_list_is_counted(tmp_path, text, first_id, ids):
    (tmp_path / "names.yaml").write_text(text)
    assert read_classes(tmp_path / "names.yaml", first_id=first_id) == ClassVocabulary(("cat", "dog"), ids)


def test_another_first_id_than_the_maps_is_refused(tmp_path):
    path = tmp_path / "names.yaml"
    path.write_text("names: {0: cat, 1: dog}")
    with pytest.raises(ConfigError) as caught:
        read_classes(path, first_id=1)
    assert str(caught.value) == (
        f"--first-id 1: {path} states its own ids under 'names:', from 0 on; leave --first-id out"
    )


def test_ids_that_are_text_are_ordered_as_numbers(tmp_path):
    (tmp_path / "n.yaml").write_text("names: {" + ", ".join(f"'{i}': c{i}" for i in (10, 2, *range(3, 10))) + "}")
    assert read_class_names(tmp_path / "n.yaml") == tuple(f"c{i}" for i in range(2, 11))


def test_twenty_thousand_names_are_read_at_once(tmp_path):
    names = tuple(f"class {i}" for i in range(20_000))
    (tmp_path / "names.txt").write_text("\n".join(names))
    assert read_class_names(tmp_path / "names.txt") == names


@pytest.mark.parametrize(
    ("file_name", "text", "message"),
    [
        ("n.txt", "", "n.txt: holds no class name; write one a line"),
        ("n.txt", "cat\ndog\ncat\n", "n.txt: class 'cat' is listed twice; keep one"),
        ("n.yaml", "names: [", "n.yaml: is not valid YAML: while parsing a flow node expected the node content, but "
            "found '<stream end>' in \"<unicode string>\", line 1, column 9: names: [ ^"),
        ("n.yaml", "nc: 3", "n.yaml: has no list under 'names:'; write names: [first, second, ...]"),
        ("n.yaml", "names: []", "n.yaml: holds no class name; write one a line"),
        ("n.yaml", "names: [yes, no]", "n.yaml: class name True is not text; put it in quotes"),
        ("n.yaml", "names: {0: a, 2: b}", "n.yaml: the ids under 'names:' (0, 2) do not count on one by one; "
            "pass --annotations with these categories instead"),
        ("n.yaml", "names: {a: 0}", "n.yaml: the keys under 'names:' must be whole numbers, as in 0: person"),
    ],
)  # fmt: skip
def test_class_lists_that_cannot_be_meant_are_refused(tmp_path, monkeypatch, file_name, text, message):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    Path(file_name).write_text(text)
    with pytest.raises(DataError) as caught:
        read_class_names(Path(file_name))
    assert str(caught.value) == message


def test_novel_classes_are_a_published_set_names_or_a_file(tmp_path):
    voc = ClassVocabulary.from_names(VOC_CLASSES)
    assert novel_names("voc1", voc) == ("bird", "bus", "cow", "motorbike", "sofa")
    assert novel_names("cow, sofa,", voc) == ("cow", "sofa")
    (tmp_path / "novel.txt").write_text("bus\ncow\n")
    assert novel_names(str(tmp_path / "novel.txt"), voc) == ("bus", "cow")


def test_a_list_of_names_longer_than_any_file_name_is_a_list():
    names = tuple(f"class number {i}" for i in range(100))
    assert novel_names(",".join(names), ClassVocabulary.from_names(names)) == names


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        (" , ", "`novel` names no class; give coco20, voc1, voc2, voc3, names with commas, or a file"),
        ("dog,dog", "`novel` names 'dog' twice; keep one"),
        ("dgo", "`novel`: 'dgo' not among the 3 classes (did you mean 'dog'?); published sets are coco20, voc1, voc2, "
            "voc3"),
        ("coco20,dog", "`novel`: 'coco20' is a published set, which cannot be mixed with names; give the set alone, or "
            "the names of all novel classes"),
        ("dog,hrose,xyz", "`novel`: 'hrose', 'xyz' not among the 3 classes (did you mean 'horse'?)"),
        ("coco2", "`novel`: 'coco2' not among the 3 classes (did you mean 'coco20' or 'voc2'?); published sets are "
            "coco20, voc1, voc2, voc3"),
        ("splits/novel.txt", "`novel=splits/novel.txt`: there is no such file; check the path"),
    ],
)  # fmt: skip
def test_novel_classes_that_do_not_exist_are_named_with_the_nearest(choice, message):
    with pytest.raises(ConfigError) as caught:
        novel_names(choice, PETS)
    assert str(caught.value) == message
