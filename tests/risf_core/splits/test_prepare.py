"""Preparing a split: what is written, what is left out, and what is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.voc import read_voc_dataset
from risf_core.errors import DataError, OutputError, RisfError
from risf_core.splits import SplitSettings, open_split, prepare_splits
from risf_core.vocabulary import COCO_NOVEL, VOC_CLASSES
from tests.messages import assert_names

WriteCoco = Callable[..., Path]
PETS = (
    {i: ["cat"] for i in range(1, 8)} | {i: ["dog", "dog"] for i in range(8, 13)} | {i: ["dog"] for i in range(13, 20)}
)
PETS[20] = ["cat", "dog"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def prepare(path: Path, out: Path, *, force: bool = False, **settings):
    settings = {"shots": (1, 3), "seeds": (0, 1), **settings}
    return prepare_splits(read_coco_dataset(path), out, settings=SplitSettings(**settings), force=force)


def test_the_published_novel_classes_and_order_of_coco_are_the_default(coco: AnnotatedDataset, tmp_path: Path) -> None:
    prepared = prepare_splits(coco, tmp_path / "s", settings=SplitSettings(shots=(1,), seeds=(1,)))
    vocabulary = prepared.manifest.vocabulary
    assert prepared.manifest.benchmark == "coco"
    assert vocabulary.category_ids == tuple(sorted(vocabulary.category_ids))
    # the ids as the literature states them
    assert vocabulary.restrict("novel").category_ids == (
        1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19, 20, 21, 44, 62, 63, 64, 67, 72,
    )  # fmt: skip
    assert set(vocabulary.restrict("novel").names) == set(COCO_NOVEL)
    classes = {p.stem: p.read_text().splitlines() for p in (tmp_path / "s" / "classes").iterdir()}
    assert {group: len(names) for group, names in classes.items()} == {"all": 80, "base": 60, "novel": 20}
    assert tuple(classes["base"]) == vocabulary.restrict("base").names


def test_the_published_order_of_voc_is_base_classes_then_novel_ones(voc: AnnotatedDataset, tmp_path: Path) -> None:
    settings = SplitSettings(novel="voc3", shots=(1,), seeds=(1,))
    vocabulary = prepare_splits(voc, tmp_path / "s", settings=settings).manifest.vocabulary
    assert vocabulary.names == (
        "aeroplane", "bicycle", "bird", "bottle", "bus", "car", "chair", "cow", "diningtable", "dog", "horse", "person",
        "pottedplant", "train", "tvmonitor", "boat", "cat", "motorbike", "sheep", "sofa",
    )  # fmt: skip
    # a class keeps its category id whichever set is novel, so that detections of all of them can be compared
    assert dict(zip(vocabulary.names, vocabulary.category_ids, strict=True))["sofa"] == 18


def test_the_same_data_and_settings_write_the_same_bytes(write_coco: WriteCoco, tmp_path: Path) -> None:
    path = write_coco(PETS)
    prepare(path, tmp_path / "first", layouts=("risf", "tfa"))
    prepare(path, tmp_path / "second", layouts=("risf", "tfa"))
    assert files_of(tmp_path / "first") == files_of(tmp_path / "second")


def test_a_seed_file_holds_each_box_once_and_needs_no_other_file(write_coco: WriteCoco, tmp_path: Path) -> None:
    path = write_coco(PETS)
    prepare(path, tmp_path / "s", novel="cat")
    content = json.loads((tmp_path / "s/shots/seed1.json").read_text())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    assert content["settings"]["shots"] == [1, 3]
    assert content["source"]["sha256"] == [sha256]
    ids = content["boxes"]["annotation_id"]
    assert len(set(ids)) == len(ids)
    assert content["shots"]["1"]["cat"] == content["shots"]["3"]["cat"][:1]
    assert len(content["shots"]["3"]["dog"]) == 3
    shots = open_split(tmp_path / "s/shots/seed1.json").read()
    for row in shots.rows[3][shots.boxes.vocabulary.names.index("dog")].tolist():
        image, place = divmod(int(shots.boxes.annotation_ids[row]), 100)
        assert shots.boxes.boxes_xywh[row].tolist() == [place, 2, 5.5, 7]
        info = shots.boxes.images[shots.boxes.image_positions[row]]
        assert (info.image_id, info.file_name, info.size) == (image, f"{image:04}.jpg", (40, 60))


def test_data_without_info_licenses_or_iscrowd_with_gaps_in_its_ids_work_in_both_layouts(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    prepare(write_coco(PETS), tmp_path / "s", novel="dog", layouts=("risf", "tfa"))
    content = json.loads((tmp_path / "s/seed1/full_box_1shot_dog_trainval.json").read_text())
    assert list(content) == ["info", "licenses", "images", "annotations", "categories"]
    assert [row["id"] for row in content["categories"]] == [3, 13]
    assert open_split(tmp_path / "s").read(seed=1).boxes.vocabulary.category_ids == (3, 13)


def test_novel_only_data_have_no_base_set(write_coco: WriteCoco, tmp_path: Path) -> None:
    prepared = prepare(write_coco(PETS), tmp_path / "s")
    assert prepared.base is None
    assert prepared.manifest.vocabulary.novel == {"cat", "dog"}
    assert "base.json" not in prepared.manifest.files
    with pytest.raises(DataError) as caught:
        open_split(tmp_path / "s").base()
    assert str(caught.value) == "all 2 classes are novel: there is no base set to train on"


def test_one_class_is_enough(write_coco: WriteCoco, tmp_path: Path) -> None:
    prepared = prepare(write_coco({i: ["crack"] for i in range(5)}), tmp_path / "s")
    assert [len(rows) for rows in prepared.seeds[0].rows[3]] == [3]


def test_the_base_set_holds_base_boxes_alone_in_all_their_images(write_coco: WriteCoco, tmp_path: Path) -> None:
    prepared = prepare(write_coco(PETS), tmp_path / "s", novel="cat")
    base = open_split(tmp_path / "s").base()
    assert base.vocabulary.names == ("dog",)
    assert len(base) == len(prepared.base) == 18  # 5 images of two dogs, 7 of one, and 20, whose cat is not labelled
    assert {info.image_id for info in base.images} == {*range(8, 21)}


def test_the_base_set_without_images_that_hold_novel_objects(write_coco: WriteCoco, tmp_path: Path) -> None:
    prepare(write_coco(PETS), tmp_path / "s", novel="cat", drop_images_with_novel=True)
    base = open_split(tmp_path / "s").base()
    assert {info.image_id for info in base.images} == {*range(8, 20)}


def test_crowds_and_boxes_of_no_area_are_in_no_set_and_counted(write_coco: WriteCoco, tmp_path: Path) -> None:
    path = write_coco(PETS)
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"] = [1, 2, 0, 7]  # a cat's
    content["annotations"][1]["bbox"] = [1, 2, 3, 0]
    content["annotations"][2]["iscrowd"] = 1
    path.write_text(json.dumps(content))
    prepared = prepare(path, tmp_path / "s", shots=(5,), seeds=tuple(range(12)))
    assert prepared.manifest.notes == ("2 boxes have no area (ids 100, 200): left out",)
    for shots in prepared.seeds.values():
        cats = shots.boxes.annotation_ids[shots.rows[5][0]].tolist()
        assert len(cats) == 5
        assert not {100, 200, 300} & set(cats)
    kinds = {mark.kind for shots in prepared.seeds.values() for mark in shots.marks}
    assert "no-area" in kinds


def test_a_box_of_no_area_does_not_change_the_draw_of_other_classes(
    coco: AnnotatedDataset, coco_file: Path, tfa_coco: dict, tmp_path: Path
) -> None:
    content = json.loads(coco_file.read_text())
    drawn = tfa_coco["seed1/full_box_1shot_person_trainval.json"]["annotations"][0]
    next(row for row in content["annotations"] if row["id"] == drawn)["bbox"][2] = 0
    path = tmp_path / "dented.json"
    path.write_text(json.dumps(content))
    shots = prepare(path, tmp_path / "s", shots=(30,), seeds=(1,)).seeds[1]
    for label, name in enumerate(shots.boxes.vocabulary.names):
        ids = shots.boxes.annotation_ids[shots.rows[30][label]].tolist()
        assert len(ids) == 30
        same = ids == tfa_coco[f"seed1/full_box_30shot_{name}_trainval.json"]["annotations"]
        assert same == (name != "person")


def test_voc_boxes_of_no_area_are_left_out_and_k_stays_exact(voc_root: Path, tmp_path: Path) -> None:
    shutil.copytree(voc_root, tmp_path / "voc")
    for path in (tmp_path / "voc").rglob("*.xml"):  # every second box is turned inside out
        first, *others = path.read_text().split("<xmax>")
        path.write_text(first + "".join(f"<xmax>{'-' if i % 2 else ''}{other}" for i, other in enumerate(others)))
    data = read_voc_dataset(tmp_path / "voc")
    assert 0.2 < data.has_area.mean() < 0.9
    prepared = prepare_splits(data, tmp_path / "s", settings=SplitSettings(seeds=(1, 2)))
    (note,) = prepared.manifest.notes
    assert note.startswith(f"{(~data.has_area).sum()} boxes have no area (ids ")
    for shots in prepared.seeds.values():
        for rows in shots.rows[10]:
            assert len(rows) == 10
            assert shots.boxes.has_area[rows].all()


def test_held_out_images_are_in_no_set(write_coco: WriteCoco, tmp_path: Path) -> None:
    test = write_coco({3: ["cat"], 9: ["dog"], 20: ["dog"], 99: ["cat"]}, name="test.json")
    prepared = prepare(write_coco(PETS), tmp_path / "s", novel="cat", seeds=tuple(range(8)), held_out=test)
    assert prepared.manifest.notes == (
        "3 of 4 held-out entries are among the training images",
        "3 of 20 training images are on the held-out list: left out",
    )
    drawn = {info.image_id for shots in prepared.seeds.values() for info in shots.frozen().boxes.images}
    assert not {3, 9, 20} & (drawn | {info.image_id for info in open_split(tmp_path / "s").base().images})
    tested = open_split(tmp_path / "s").test_data()
    assert [info.image_id for info in tested.images] == [3, 9, 20, 99]
    assert tested.vocabulary.novel == {"cat"}


def test_held_out_ids_of_other_images_hold_nothing_out(write_coco: WriteCoco, tmp_path: Path) -> None:
    """Exports of own data often number the images of each part from 0: the same ids, other images."""
    test = write_coco({1: ["cat"]}, name="test.json", images=[{"id": 1, "file_name": "other_7.jpg"}])
    prepared = prepare(write_coco(PETS), tmp_path / "s", held_out=test)
    assert prepared.manifest.notes == (
        "0 of 1 held-out entries are among the training images",
        "1 held-out ids are those of other training images (their file names differ): these images stay",
    )


def test_holding_out_every_image_is_refused(write_coco: WriteCoco, tmp_path: Path) -> None:
    path = write_coco(PETS)
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "s", held_out=path)
    assert_names(str(caught.value), path, "`held_out`", "training")


def test_shots_outside_the_ladder_are_nested_in_both_directions_and_marked(
    coco: AnnotatedDataset, tmp_path: Path
) -> None:
    counts = (3, 4, 5, 7, 10, 12, 20, 30, 35, 40)
    whole = prepare_splits(coco, tmp_path / "a", settings=SplitSettings(shots=counts, seeds=(1,))).seeds[1]
    for label in range(80):
        below: set[int] = set()
        for count in counts:
            rows = whole.rows[count][label].tolist()
            assert len(set(rows)) == count
            assert below <= set(rows)
            below = set(rows)
    marked = {mark.shots for mark in whole.marks if mark.kind == "outside-ladder"}
    assert marked == {4, 7, 12, 20, 35, 40}
    alone = prepare_splits(coco, tmp_path / "b", settings=SplitSettings(shots=(12, 40), seeds=(1,))).seeds[1]
    for count in (12, 40):
        assert [rows.tolist() for rows in alone.rows[count]] == [rows.tolist() for rows in whole.rows[count]]


def test_shots_outside_the_ladder_of_voc_are_exact_and_nested(voc: AnnotatedDataset, tmp_path: Path) -> None:
    settings = SplitSettings(shots=(3, 4, 5, 10, 15), seeds=(1, 2), layouts=("tfa",))
    prepared = prepare_splits(voc, tmp_path / "s", settings=settings)
    for shots in prepared.seeds.values():
        for label in range(20):
            below: list[int] = []
            for count in (3, 4, 5, 10, 15):
                rows = shots.rows[count][label].tolist()
                assert len(rows) == count
                assert rows[: len(below)] == below or set(below) <= set(rows)
                below = rows
    listed = (tmp_path / "s/seed1/box_4shot_cow_train.txt").read_text().split()
    three = (tmp_path / "s/seed1/box_3shot_cow_train.txt").read_text().split()
    assert listed[:-1] == three


def write_own_voc(root: Path, *, images: int, names: Sequence[str] = ("cup",)) -> Path:
    """A Pascal VOC folder of one's own: a box of each class in each image, and a second one in every third."""
    (root / "Annotations").mkdir(parents=True)
    for number in range(images):
        boxes = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{10 * place + 1}</xmin><ymin>1</ymin>"
            f"<xmax>{10 * place + 9}</xmax><ymax>9</ymax></bndbox></object>"
            for name in names
            for place in range(2 if number % 3 == 0 else 1)
        )
        (root / "Annotations" / f"p{number}.xml").write_text(
            f"<annotation><filename>p{number}.jpg</filename><size><width>60</width><height>40</height></size>{boxes}"
            "</annotation>"
        )
    return root


@pytest.mark.parametrize("layout", ["risf", "tfa"])
def test_voc_data_of_ones_own_give_k_distinct_boxes_in_both_layouts(tmp_path: Path, layout: str) -> None:
    data = read_voc_dataset(write_own_voc(tmp_path / "voc", images=5))
    settings = SplitSettings(shots=(1, 2, 3, 4, 5), seeds=tuple(range(20)), layouts=(layout,))
    prepared = prepare_splits(data, tmp_path / "s", settings=settings)
    assert {shots.benchmark for shots in prepared.seeds.values()} == {"own"}
    kinds = {mark.kind for shots in prepared.seeds.values() for mark in shots.marks}
    assert "once" in kinds  # TFA's draw took an image twice in one of the 20 seeds
    assert "repeated" not in kinds
    for seed in settings.seeds:
        read = open_split(tmp_path / "s").read(seed=seed)
        for count in settings.shots:
            assert len(set(read.rows[count][0].tolist())) == count
    for path in (tmp_path / "s").glob("seed*/box_[1235]shot_*.txt"):
        lines = path.read_text().split()
        assert len(set(lines)) == len(lines)


def test_the_published_sets_of_voc_keep_the_boxes_that_tfas_draw_repeats(tmp_path: Path) -> None:
    data = read_voc_dataset(write_own_voc(tmp_path / "voc", images=5, names=VOC_CLASSES))
    kinds = {}
    for novel in ("voc1", "bird"):  # a published set, and novel classes of one's own
        settings = SplitSettings(novel=novel, shots=(1, 2, 3), seeds=tuple(range(1, 6)))
        prepared = prepare_splits(data, tmp_path / novel, settings=settings)
        kinds[novel] = {mark.kind for shots in prepared.seeds.values() for mark in shots.marks}
    assert kinds == {"voc1": {"repeated"}, "bird": {"once"}}


def test_a_cut_image_is_marked_and_at_least_takes_it_whole(write_coco: WriteCoco, tmp_path: Path) -> None:
    boxes = {i: ["a"] for i in range(3)} | {9: ["a", "a"]}  # 3 shots are the single ones, 5 all of them
    exact = prepare(write_coco(boxes), tmp_path / "a", shots=(4,), seeds=(1,)).seeds[1]
    assert len(exact.rows[4][0]) == 4
    assert {mark.kind for mark in exact.marks} == {"outside-ladder", "cut"}
    whole = prepare(write_coco(boxes), tmp_path / "b", shots=(4,), seeds=(1,), at_least=True).seeds[1]
    assert len(whole.rows[4][0]) == 5
    assert {mark.kind for mark in whole.marks} == {"outside-ladder", "at-least"}


def test_seed_0_drawn_here_is_marked_as_not_the_published_one(coco: AnnotatedDataset, tmp_path: Path) -> None:
    prepared = prepare_splits(coco, tmp_path / "s", settings=SplitSettings(shots=(1,), seeds=(0, 1)))
    marks = {seed: [(mark.kind, len(mark.classes)) for mark in s.marks] for seed, s in prepared.seeds.items()}
    assert marks == {0: [("not-published", 80)], 1: []}
    assert [mark.kind for mark in open_split(tmp_path / "s").read(seed=0).marks] == ["not-published"]
    assert "not the published seed 0" in (tmp_path / "s/README.md").read_text()


def test_seed_0_of_own_data_is_a_seed_like_any_other(write_coco: WriteCoco, tmp_path: Path) -> None:
    assert prepare(write_coco(PETS), tmp_path / "s").seeds[0].marks == ()


def test_without_a_choice_the_ladder_goes_as_far_as_every_class_has_boxes(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    prepared = prepare(write_coco(PETS), tmp_path / "s", shots=None)
    assert prepared.manifest.shots == (1, 2, 3, 5)
    assert prepared.manifest.notes == (
        "left out: 10 shots of 'cat' (8 boxes in 8 images)",
        "left out: 30 shots of 'cat' (8 boxes in 8 images), 'dog' (18 boxes in 13 images)",
    )


def test_a_shot_count_that_is_impossible_ends_with_every_class_that_lacks_boxes(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        prepare(write_coco(PETS), tmp_path / "s", shots=(5, 10, 30))
    assert_names(str(caught.value), "10", "'cat'", "8", "30", "'dog'", "18", "13", "`at_least`", "`shots`", "`only`")
    assert not (tmp_path / "s").exists()


def test_images_that_cannot_make_k_exactly_end_with_an_error_or_at_least_k(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    path = write_coco({i: ["pair", "pair"] for i in range(20)})
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "s", shots=(5,))
    assert str(caught.value).startswith(
        "cannot draw 5 shots of 'pair' (40 boxes in 20 images, which do not fit to make exactly 5): let `at_least`"
    )
    shots = prepare(path, tmp_path / "s", shots=(1, 5), at_least=True).seeds[1]
    assert [len(shots.rows[count][0]) for count in (1, 5)] == [2, 6]
    assert {(mark.kind, mark.shots) for mark in shots.marks} >= {("at-least", 1), ("at-least", 5)}


def test_small_data_get_what_is_asked_for_where_tfas_ladder_would_block_it(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    """With two single boxes TFA's 2 shots take both, and no pair makes 3 of 2."""
    path = write_coco({1: ["a"], 2: ["a"]} | {i: ["a", "a"] for i in range(3, 9)})
    shots = prepare(path, tmp_path / "s", shots=(1, 3), seeds=(4,)).seeds[4]
    one, three = (shots.rows[count][0].tolist() for count in (1, 3))
    assert (len(one), len(three)) == (1, 3)
    assert set(one) < set(three)
    assert {mark.kind for mark in shots.marks} == {"combination"}


def test_classes_without_boxes_are_left_out_unless_they_were_named(write_coco: WriteCoco, tmp_path: Path) -> None:
    categories = [{"id": 3, "name": "cat"}, {"id": 13, "name": "dog"}, {"id": 14, "name": "unicorn"}]
    path = write_coco(PETS, categories=categories)
    prepared = prepare(path, tmp_path / "s", novel="cat")
    assert prepared.manifest.vocabulary.names == ("cat", "dog")
    assert prepared.manifest.notes == ("1 of 3 classes have no box and are left out: unicorn",)
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "t", novel="unicorn,cat")
    assert "`novel`: 'unicorn' has no box to draw" in str(caught.value)


def test_a_novel_set_that_nobody_named_is_not_blamed_on_them(write_coco: WriteCoco, tmp_path: Path) -> None:
    names = [*COCO_NOVEL, *(f"class {number}" for number in range(60))]
    categories = [{"id": place + 1, "name": name} for place, name in enumerate(names)]
    boxes = {100 + number: [names[number % 3]] for number in range(6)}
    path = write_coco(boxes)
    content = json.loads(path.read_text())
    ids = {row["id"]: row["name"] for row in content["categories"]}
    for row in content["annotations"]:
        row["category_id"] = names.index(ids[row["category_id"]]) + 1
    path.write_text(json.dumps({**content, "categories": categories}))
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "s")
    assert "are by default those of coco20" in str(caught.value)
    assert "`novel=all` for all classes that have boxes" in str(caught.value)
    assert prepare(path, tmp_path / "s", novel="all", shots=(1,)).manifest.vocabulary.names == tuple(names[:3])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"novel": "cta"}, "`novel`: 'cta' not among the 2 classes (did you mean 'cat'?); published sets are "
                           "coco20, voc1, voc2, voc3"),
        ({"novel": "cat,dog,cat"}, "`novel` names 'cat' twice; keep one"),
        ({"only": "dgo"}, "`only`: 'dgo' not among the 2 classes (did you mean 'dog'?)"),
        ({"only": "base"}, "`only=base`: there is no base class among the 2"),
        ({"shots": (0, 1)}, "`shots` must be whole numbers of at least 1, got 0,1"),
        ({"seeds": ()}, "`seeds` names no seed; write a list with ranges, such as 0-9"),
    ],
)  # fmt: skip
def test_settings_at_fault_are_named(write_coco: WriteCoco, tmp_path: Path, settings: dict, message: str) -> None:
    with pytest.raises(RisfError) as caught:
        prepare(write_coco(PETS), tmp_path / "s", **settings)
    assert str(caught.value) == message
    assert not (tmp_path / "s").exists()


def test_a_class_name_that_is_no_file_name_is_refused_in_tfas_layout_alone(
    write_coco: WriteCoco, tmp_path: Path
) -> None:
    path = write_coco({i: ["cup/mug"] for i in range(5)})
    with pytest.raises(DataError) as caught:
        prepare(path, tmp_path / "s", layouts=("tfa",))
    assert_names(str(caught.value), "'cup/mug'", "`layout=tfa`", "`layout=risf`")
    assert list(tmp_path.iterdir()) == [path]  # nothing half-written stays
    assert prepare(path, tmp_path / "s").manifest.drawn_classes == ("cup/mug",)


def test_joined_and_held_out_data_are_written_whole_for_tfas_readers(write_coco: WriteCoco, tmp_path: Path) -> None:
    one = write_coco({i: ["cat", "dog"] for i in range(1, 6)}, name="one.json")
    two = write_coco({i: ["cat", "dog"] for i in range(6, 12)}, name="two.json")
    test = write_coco({6: ["cat", "dog"]}, name="test.json")
    settings = SplitSettings(shots=(1,), seeds=(1,), layouts=("tfa",), held_out=test)
    prepared = prepare_splits(read_coco_dataset([one, two]), tmp_path / "s", settings=settings)
    content = json.loads((tmp_path / "s/datasplit/trainvalno5k.json").read_text())
    assert [row["id"] for row in content["images"]] == [1, 2, 3, 4, 5, 7, 8, 9, 10, 11]
    assert content["annotations"][0] == {
        "id": 100, "image_id": 1, "category_id": 3, "bbox": [0, 2, 5.5, 7], "area": 38.5, "iscrowd": 0,
    }  # fmt: skip
    assert (tmp_path / "s/datasplit/5k.json").read_bytes() == test.read_bytes()
    assert "`datasplit/`: the training images without the held-out ones" in (tmp_path / "s/README.md").read_text()
    # drawing again from what was written there gives the same shots
    again = prepare_splits(
        read_coco_dataset(tmp_path / "s/datasplit/trainvalno5k.json"),
        tmp_path / "again",
        settings=SplitSettings(shots=(1,), seeds=(1,)),
    )
    for mine, other in zip(prepared.seeds[1].rows[1], again.seeds[1].rows[1], strict=True):
        assert np.array_equal(prepared.seeds[1].boxes.annotation_ids[mine], again.seeds[1].boxes.annotation_ids[other])


def test_pycocotools_reads_the_files_of_tfas_layout(write_coco: WriteCoco, tmp_path: Path, capsys) -> None:
    from pycocotools.coco import COCO

    prepare(write_coco(PETS), tmp_path / "s", layouts=("tfa",))
    truth = COCO(str(tmp_path / "s/seed1/full_box_3shot_dog_trainval.json"))
    capsys.readouterr()
    assert len(truth.getAnnIds()) == 3
    assert {truth.loadImgs(row["image_id"])[0]["id"] for row in truth.loadAnns(truth.getAnnIds())} == set(
        truth.getImgIds()
    )


class TestTheFolder:
    def test_the_same_split_may_be_prepared_again(self, write_coco: WriteCoco, tmp_path: Path) -> None:
        path = write_coco(PETS)
        prepare(path, tmp_path / "s")
        before = files_of(tmp_path / "s")
        (tmp_path / "s/shots/seed0.json").write_text("damaged")
        prepare(path, tmp_path / "s")
        assert files_of(tmp_path / "s") == before

    def test_another_split_is_never_mixed_in_and_force_replaces_it_whole(
        self, write_coco: WriteCoco, tmp_path: Path
    ) -> None:
        path, folder = write_coco(PETS), tmp_path / "s"
        prepare(path, folder, seeds=(0, 1, 2), layouts=("risf", "tfa"))
        before = files_of(folder)
        with pytest.raises(OutputError) as caught:
            prepare(path, folder, seeds=(0, 1))
        assert_names(str(caught.value), folder, "0", "0,1", "`out`", "`force`")
        assert files_of(folder) == before
        prepare(path, folder, seeds=(0, 1), force=True)
        assert sorted(files_of(folder)) == [
            "README.md", "classes/all.txt", "classes/novel.txt", "shots/seed0.json", "shots/seed1.json", "split.json",
        ]  # fmt: skip

    def test_a_split_of_changed_data_is_another_split(self, write_coco: WriteCoco, tmp_path: Path) -> None:
        prepare(write_coco(PETS), tmp_path / "s")
        with pytest.raises(OutputError) as caught:
            prepare(write_coco({**PETS, 50: ["cat"]}), tmp_path / "s")
        assert "holds another split (source " in str(caught.value)

    @pytest.mark.parametrize("force", [False, True])
    def test_files_that_are_no_split_are_never_touched(
        self, write_coco: WriteCoco, tmp_path: Path, force: bool
    ) -> None:
        (tmp_path / "s").mkdir()
        (tmp_path / "s/thesis.tex").write_text("years of work")
        with pytest.raises(OutputError) as caught:
            prepare(write_coco(PETS), tmp_path / "s", force=force)
        folder = tmp_path / "s"
        assert_names(str(caught.value), folder, "`risf prepare-splits`", "thesis.tex", "`out`")
        assert (tmp_path / "s/thesis.tex").read_text() == "years of work"

    @pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
    def test_an_end_in_the_middle_leaves_the_old_split_whole(
        self, write_coco: WriteCoco, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
    ) -> None:
        path, folder = write_coco(PETS), tmp_path / "s"
        prepare(path, folder)
        before = files_of(folder)

        def fail(*arguments: object, **more: object) -> None:
            raise error

        monkeypatch.setattr("risf_core.splits.prepare.split_readme", fail)
        with pytest.raises((OutputError, KeyboardInterrupt)) as caught:
            prepare(path, folder, seeds=(7,), force=True)
        if isinstance(error, OSError):
            assert_names(str(caught.value), folder, "`out`", "written")
        assert files_of(folder) == before
        assert sorted(entry.name for entry in tmp_path.iterdir()) == ["own.json", "s"]

    def test_a_strange_file_within_a_split_is_kept_from_force(self, write_coco: WriteCoco, tmp_path: Path) -> None:
        path, folder = write_coco(PETS), tmp_path / "s"
        prepare(path, folder)
        (folder / "notes.txt").write_text("mine")
        with pytest.raises(OutputError) as caught:
            prepare(path, folder, seeds=(5,), force=True)
        assert_names(str(caught.value), folder, "notes.txt", "`out`")

    def test_names_that_cannot_be_written_are_one_line(self, write_coco: WriteCoco, tmp_path: Path) -> None:
        path = write_coco(PETS, categories=[{"id": 3, "name": "cat"}, {"id": 13, "name": "d\ud800g"}])
        with pytest.raises(DataError, match=r"the data hold '\\ud800' in a name"):
            prepare(path, tmp_path / "s", layouts=("tfa",))
        assert not (tmp_path / "s").exists()

    def test_what_a_killed_process_was_writing_is_not_a_strange_file(
        self, write_coco: WriteCoco, tmp_path: Path
    ) -> None:
        path, folder = write_coco(PETS), tmp_path / "s"
        prepare(path, folder)
        before = files_of(folder)
        (folder / ".preview-1-shots-seed-0.png.abc.part").touch()
        prepare(path, folder)
        assert files_of(folder) == before

    def test_the_working_folder_is_no_folder_of_its_own(
        self, write_coco: WriteCoco, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_coco(PETS)
        (tmp_path / "work").mkdir()
        monkeypatch.chdir(tmp_path / "work")
        with pytest.raises(OutputError) as caught:
            prepare(path, Path())
        assert str(caught.value) == "`out` names the working folder; a split needs a folder of its own"

    def test_the_manifest_finds_its_source_after_the_tree_was_moved(
        self, write_coco: WriteCoco, tmp_path: Path
    ) -> None:
        path = write_coco(PETS)
        (tmp_path / "tree").mkdir()
        path = path.rename(tmp_path / "tree/own.json")
        prepare(path, tmp_path / "tree/deep/s")
        (tmp_path / "tree").rename(tmp_path / "moved")
        assert open_split(tmp_path / "moved/deep/s").manifest.source_paths == (tmp_path / "moved/own.json",)
