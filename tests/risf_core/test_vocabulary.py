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
from tests.messages import assert_names

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
        ((("a", "b"), (1,)), "2 class names and 1 category ids: one id per name"),
        ((("a", "b", "c"), (1, 1, 2)), "category id 1 is both 'a' and 'b'; give each class its own id"),
        ((("a", "b", "a"), (1, 2, 3)), "class 'a' has category ids 1 and 3; give each class its own name"),
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
    from risf_core.datasets.index import read_coco_index

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
    assert_names(str(caught.value), "`first_id=1`", path, "0", "`first_id`")


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
        ("n.txt", "", "n.txt: holds no class name; write one per line"),
        ("n.txt", "cat\ndog\ncat\n", "n.txt: class 'cat' is listed twice; keep one, and write N/A where an id "
            "has no class"),
        ("n.txt", "caf\u00e9\ncafe\u0301\n", "n.txt: class 'caf\u00e9' is listed twice, in two Unicode forms; "
            "keep one"),
        ("n.txt", "cat\nd\0og\n", r"n.txt: class name 'd\x00og' has a control character; write one name per line"),
        ("n.csv", "/m/01,cat\n/m/02,dog\n", "n.csv: '/m/01,cat' is a code and a name; keep the one that the detections "
            "have"),
        ("n.yaml", "names: [", "n.yaml: is not valid YAML: while parsing a flow node expected the node content, but "
            "found '<stream end>' in \"<unicode string>\", line 1, column 9: names: [ ^"),
        ("n.yaml", "nc: 3", "n.yaml: has no list under 'names:', and its keys are not whole numbers, as in 0: person"),
        ("n.yaml", "names: []", "n.yaml: holds no class name; write one per line"),
        ("n.yaml", "names: {a: b}", "n.yaml: has no list under 'names:', and its keys are not whole numbers, as in "
            "0: person"),
        ("n.yaml", "names: {1: a, 01: b}", "n.yaml: class id 1 is listed twice; give each class its own"),
        ("n.yaml", "names: [[a]]", 'n.yaml: class name ["a"] is not text; put it in quotes'),
        ("n.json", "[null]", "n.json: class name null is not text; put it in quotes"),
        ("n.json", "{cat", "n.json: is neither JSON nor a list of quoted names; write one name per line"),
        ("n.txt", "cat,dog,cow", "n.txt: holds one line with commas; write one name per line"),
        ("n.txt", "<html>\n<b>cat</b>", "n.txt: is a web page, not the file itself; download the file by its "
            "direct link"),
        ("n.csv", "id,name\ncat\n", "n.csv: line 1, 'id,name', is a head, but not all lines are of an id and a name"),
        ("n.csv", "1,cat,red\n2,dog,blue\n", "n.csv: has more than two columns ('cat,red'); keep the id and the name"),
        ("n.pbtxt", "item { name: 'cat' }", "n.pbtxt: item {name: 'cat'} needs an id and a name"),
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
        ("splits/novel.txt", "`novel=splits/novel.txt`: there is no such file or class; check the path"),
    ],
)  # fmt: skip
def test_novel_classes_that_do_not_exist_are_named_with_the_nearest(choice, message):
    with pytest.raises(ConfigError) as caught:
        novel_names(choice, PETS)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("file_name", "text", "ids"),
    [
        ("n.txt", "__background__\ncat\nN/A\ndog\n", (1, 3)),
        ("n.txt", "BG\ncat\ndog\n", (1, 2)),
        ("n.txt", "__ignore__\n_background_\ncat\ndog\n", (1, 2)),
        ("n.txt", "cat\ndog\nbackground\n", (1, 2)),
        ("n.txt", "cat\n-\n-\ndog\n", (1, 4)),
        ("n.txt", "1) cat\n2) dog\n", (1, 2)),
        ("n.txt", "- cat\n- dog\n", (1, 2)),
        ("n.txt", "\u201ccat\u201d\n\u201cdog\u201d\n", (1, 2)),
        ("n.txt", "classes:\n\u200bcat\n// pets\ndog\n", (1, 2)),
        ("n.yaml", "names: {cat: 4, dog: 6}", (4, 6)),
        ("n.txt", "cat\nN/A\ndog\n", (1, 3)),
        ("n.txt", "???\ncat\n???\ndog\n", (1, 3)),
        ("n.txt", "# my names\ncat\ndog\n", (1, 2)),
        ("n.txt", "0: cat\n1: dog\n", (0, 1)),
        ("n.txt", "1 cat\n5 dog\n", (1, 5)),
        ("n.txt", "3. cat\n4. dog\n", (3, 4)),
        ("n.txt", "cat,0\ndog,1\n", (0, 1)),
        ("n.csv", "id,name\n1,cat\n2,dog\n", (1, 2)),
        ("n.txt", "'cat',\n'dog',\n", (1, 2)),
        ("n.txt", '"cat"\n"dog"\n', (1, 2)),
        ("n.txt", "['__background__', 'cat', 'dog']", (1, 2)),
        ("n.json", '["cat", "dog"]', (1, 2)),
        ("n.json", '{"id2label": {"0": "cat", "1": "dog"}}', (0, 1)),
        ("n.json", '{"cat": 4, "dog": 6}', (4, 6)),
        ("n.json", '{"categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": " cat "}]}', (3, 7)),
        ("n.pbtxt", 'item {\n id: 1\n name: "/m/01"\n display_name: "cat"\n}\nitem { id: 3 name: \'dog\' }', (1, 3)),
        ("n.yaml", "names: {0: cat, 2: dog}", (0, 2)),
    ],
)
def test_lists_of_many_tools_are_read_with_the_ids_they_mean(tmp_path, file_name, text, ids):
    (tmp_path / file_name).write_text(text)
    assert read_classes(tmp_path / file_name) == ClassVocabulary(("cat", "dog"), ids)


def test_a_list_with_a_background_starts_at_zero_whether_that_is_said_or_not(tmp_path):
    path = tmp_path / "n.txt"
    path.write_text("background\ncat\ndog\n")
    assert read_classes(path) == read_classes(path, first_id=0) == ClassVocabulary(("cat", "dog"), (1, 2))
    with pytest.raises(ConfigError, match="`first_id=5`"):
        read_classes(path, first_id=5)


def test_yaml_words_for_values_are_names(tmp_path):
    (tmp_path / "n.yaml").write_text("names: [yes, no, null, 12, off]")
    assert read_class_names(tmp_path / "n.yaml") == ("yes", "no", "null", "12", "off")


def test_a_name_with_a_comma_is_chosen_alone_or_from_a_file(tmp_path):
    classes = ClassVocabulary.from_names(["chair, folding", "fridge", "pen/pencil"])
    assert novel_names("chair, folding", classes) == ("chair, folding",)
    assert novel_names("pen/pencil", classes) == ("pen/pencil",)
    path = tmp_path / "novel.txt"
    path.write_text("chair, folding\n")
    assert novel_names(str(path), classes) == ("chair, folding",)
    with pytest.raises(ConfigError, match="'chair, folding' has a comma; write the names into a file"):
        novel_names("fridge,chair, folding", classes)


def test_a_file_with_a_wrong_name_is_not_said_to_be_missing(tmp_path):
    path = tmp_path / "novel.txt"
    path.write_text("frigde\n")
    classes = ClassVocabulary.from_names(["fridge", "pen/pencil"])
    with pytest.raises(ConfigError, match=r"'frigde' not among the 2 classes \(did you mean 'fridge'"):
        novel_names(str(path), classes)
    with pytest.raises(ConfigError, match=r"no such file or class \(did you mean 'pen/pencil'"):
        novel_names("pen/pencils", classes)
