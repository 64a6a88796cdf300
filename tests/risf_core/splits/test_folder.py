"""Reading splits of either layout, also those that people already have."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.errors import ConfigError, DataError
from risf_core.splits import SplitSettings, open_split, prepare_splits
from risf_core.splits.tfa_reading import stems_of_list, tfa_files, tfa_seeds
from risf_core.vocabulary import VOC_CLASSES
from tests.messages import assert_names

WriteCoco = Callable[..., Path]
PAIRS = {i: ["cat"] for i in range(1, 5)} | {i: ["dog"] for i in range(5, 9)}


@pytest.fixture
def tfa_only(write_coco: WriteCoco, tmp_path: Path) -> Path:
    settings = SplitSettings(novel="cat", shots=(1, 2), seeds=(0, 4), layouts=("tfa",))
    prepare_splits(read_coco_dataset(write_coco(PAIRS)), tmp_path / "s", settings=settings)
    return tmp_path / "s"


def test_a_folder_of_tfas_layout_alone_is_read_with_its_classes_and_base_set(tfa_only: Path) -> None:
    shots = open_split(tfa_only).read(seed=4)
    assert shots.boxes.vocabulary.novel == {"cat"}
    assert [len(rows) for rows in shots.rows[2]] == [2, 2]
    assert len(open_split(tfa_only).base()) == 4
    assert len(open_split(tfa_only).training_data()) == 8


def test_seed_0_is_found_in_the_root_as_tfa_keeps_it(tfa_only: Path, tmp_path: Path) -> None:
    before = open_split(tfa_only).read(seed=0)
    published = tmp_path / "cocosplit"
    shutil.copytree(tfa_only / "seed0", published)
    shutil.copytree(tfa_only / "seed4", published / "seed4")
    assert tfa_seeds(published) == [0, 4]
    after = open_split(published).read(seed=0, novel="cat")
    assert after.boxes.annotation_ids.tolist() == before.boxes.annotation_ids.tolist()
    assert after.boxes.vocabulary == before.boxes.vocabulary


def test_files_of_novel_classes_alone_are_read(tfa_only: Path, tmp_path: Path) -> None:
    (tmp_path / "cocosplit/seed4").mkdir(parents=True)
    shutil.copy(tfa_only / "seed4/full_box_1shot_cat_trainval.json", tmp_path / "cocosplit/seed4")
    shots = open_split(tmp_path / "cocosplit").read(seed=4, novel="cat")
    assert shots.boxes.vocabulary.names == ("cat", "dog")
    assert [len(rows) for rows in shots.rows[1]] == [1, 0]


def test_seeds_and_folders_that_are_not_there_are_named(tfa_only: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        open_split(tfa_only).read(seed=9)
    assert_names(str(caught.value), tfa_only, "0", "4", "9")
    with pytest.raises(DataError) as caught:
        open_split(tmp_path / "nothing").read()
    assert str(caught.value).startswith(f"{tmp_path / 'nothing'}: holds no split: neither split.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"format": "other"},
            "is not a 'risf split seed' file; name what `risf prepare-splits` wrote",
        ),
        ({"format": "risf split seed", "version": 99}, "has version 99, this risf reads 1; draw the split again"),
        (
            {"format": "risf split seed", "version": 1},
            "is damaged ($: object missing required field source); draw the split again",
        ),
    ],
)
def test_a_seed_file_at_fault_is_named(tmp_path: Path, content: dict, message: str) -> None:
    path = tmp_path / "seed1.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as caught:
        open_split(path).read()
    assert str(caught.value) == f"{path}: {message}"


def damaged(path: Path, place: str, value: object) -> Path:
    """The file with another value at a place such as boxes.image.0."""
    content = json.loads(path.read_text())
    part = content
    *parents, last = place.split(".")
    for key in parents:
        part = part[int(key) if isinstance(part, list) else key]
    part[int(last) if isinstance(part, list) else last] = value
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("boxes.image.0", 99), ("boxes.image.0", -1), ("boxes.class.0", 2), ("boxes.class.0", None),
        ("boxes.annotation_id.0", 10**30), ("boxes.xywh.0", [1, 2, 3]), ("boxes.xywh.0.0", "7"), ("boxes.xywh", []),
        ("boxes.difficult", [[0]]), ("images.id.0", [1]), ("images.width", []), ("classes.1.name", "cat"),
        ("classes.0", []), ("shots.1.cat", [[0]]), ("shots.1.cat", [99]), ("shots.1", []), ("shots", {"one": {}}),
        ("shots", {"0": {}}), ("shots.1.dog", [0]), ("marks", [{"kind": "odd", "shots": 1, "classes": []}]),
        ("source.kind", "other"), ("seed", 1.5), ("novel_set", None),
    ],
)  # fmt: skip
def test_a_damaged_seed_file_is_one_line(cat_split: Path, place: str, value: object) -> None:
    path = damaged(cat_split / "shots/seed1.json", place, value)
    with pytest.raises(DataError) as caught:
        open_split(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; draw the split again")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("source.files", []), ("source.files.0.path", ["x"]), ("source.kind", 1), ("held_out", {}), ("classes", []),
        ("settings.seeds", []), ("settings.shots", "1"), ("settings.layouts", ["odd"]), ("files", [["x"]]),
        ("notes", 1),
    ],
)  # fmt: skip
def test_a_damaged_manifest_is_one_line(cat_split: Path, place: str, value: object) -> None:
    path = damaged(cat_split / "split.json", place, value)
    with pytest.raises(DataError) as caught:
        open_split(cat_split)
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).endswith("; draw the split again into another folder")


@pytest.mark.parametrize(
    "annotations",
    [3, [7], [{"id": [1]}], [{"id": 7, "image_id": 999, "category_id": 3, "bbox": [1, 2, 3, 4]}]],
    ids=["a number", "no objects", "an id that is a list", "an image that is not listed"],
)
def test_damaged_files_of_tfas_layout_are_one_line(tfa_only: Path, annotations: object) -> None:
    path = damaged(tfa_only / "seed4/full_box_1shot_cat_trainval.json", "annotations", annotations)
    with pytest.raises(DataError) as caught:
        open_split(tfa_only).read(4)
    assert str(path) in str(caught.value)


class TestTheRealVocLists:
    @pytest.fixture
    def lists(self, real_data: Path) -> Path:
        return real_data / "vocsplit"

    @pytest.fixture
    def made_voc(self, lists: Path, tmp_path: Path) -> Path:
        """VOC folders of the images that the lists of seeds 0, 1 and 2 name, each with ten objects of the class."""
        holds: dict[str, set[str]] = {}
        for seed in (0, 1, 2):
            for by_class in tfa_files(lists, seed)[1].values():
                for name, path in by_class.items():
                    for stem in stems_of_list(path):
                        holds.setdefault(stem, set()).add(name)
        for stem, names in holds.items():
            year = "VOC2012" if "_" in stem else "VOC2007"
            folder = tmp_path / "datasets" / year / "Annotations"
            folder.mkdir(parents=True, exist_ok=True)
            objects = "".join(
                f"<object><name>{name}</name><bndbox><xmin>{1 + shift}</xmin><ymin>1</ymin><xmax>{9 + shift}</xmax>"
                "<ymax>8</ymax></bndbox></object>"
                for name in sorted(names)
                for shift in range(10)
            )
            size = "<size><width>99</width><height>50</height></size>"
            (folder / f"{stem}.xml").write_text(f"<annotation>{size}{objects}</annotation>")
        return tmp_path / "datasets"

    def test_without_voc_they_fail_with_the_way_out(self, lists: Path, tmp_path: Path) -> None:
        with pytest.raises(DataError) as caught:
            open_split(lists).read(seed=1, novel="voc1")
        assert_names(str(caught.value), lists / "seed1", "`voc`", "images")
        with pytest.raises(DataError) as caught:
            open_split(lists).read(seed=1, novel="voc1", voc_root=tmp_path)
        assert "listed images have no annotation below" in str(caught.value)
        assert "name the folder that holds VOC2007 and VOC2012 with `voc`" in str(caught.value)

    @pytest.mark.parametrize("seed", [0, 1, 2])
    def test_with_made_folders_of_the_same_names_they_load(self, lists: Path, made_voc: Path, seed: int) -> None:
        assert tfa_seeds(lists) == [0, 1, 2]
        shots = open_split(lists).read(seed=seed, novel="voc2", voc_root=made_voc)
        assert (shots.benchmark, shots.novel_set) == ("voc", "voc2")
        assert set(shots.boxes.vocabulary.names) == set(VOC_CLASSES)
        root = lists / f"seed{seed}" if seed else lists
        for count in (1, 2, 3, 5, 10):
            for name, rows in zip(shots.boxes.vocabulary.names, shots.rows[count], strict=True):
                listed = {*stems_of_list(root / f"box_{count}shot_{name}_train.txt")}
                images = {shots.boxes.images[p].image_id for p in shots.boxes.image_positions[rows].tolist()}
                assert len(rows) == len(set(rows.tolist())) == count
                assert images <= listed
        assert not [mark for mark in shots.marks if mark.kind == "filled"]
        again = open_split(lists).read(seed=seed, novel="voc2", voc_root=made_voc)
        assert [rows.tolist() for rows in again.rows[10]] == [rows.tolist() for rows in shots.rows[10]]

    def test_folders_whose_images_hold_too_few_boxes_are_of_other_data(self, lists: Path, made_voc: Path) -> None:
        for path in made_voc.rglob("*.xml"):
            path.write_text(path.read_text().replace("<name>cow</name>", "<name>dog</name>"))
        with pytest.raises(DataError) as caught:
            open_split(lists).read(seed=1, novel="voc2", voc_root=made_voc)
        assert_names(str(caught.value), f"{lists / 'seed1'}/box_1shot_cow_train.txt", "1", "'cow'")


def test_a_list_that_names_an_image_twice_lets_its_box_stand_twice(
    voc: AnnotatedDataset, tfa_voc: dict, tmp_path: Path
) -> None:
    """TFA does not check its steps against each other: such lists are published, and so read."""
    twice = [
        name for name, lines in tfa_voc.items() if name.startswith("seed1/box_10") and len(set(lines)) < len(lines)
    ]
    assert twice
    shots = prepare_splits(voc, tmp_path / "s", settings=SplitSettings(shots=(10,), seeds=(1,))).seeds[1]
    repeated = {name for mark in shots.marks if mark.kind == "repeated" for name in mark.classes}
    for label, name in enumerate(shots.boxes.vocabulary.names):
        rows = shots.rows[10][label].tolist()
        lines = tfa_voc[f"seed1/box_10shot_{name}_train.txt"]
        boxes = [
            row
            for row in range(len(voc))
            if voc.vocabulary.names[voc.labels[row]] == name
            and voc.images[voc.image_positions[row]].image_id in {Path(line).stem for line in lines}
        ]
        assert len(rows) == 10
        assert len(set(rows)) == min(10, len(boxes))  # a box stands twice only where there are too few
        assert (name in repeated) == (len(boxes) < 10)


@pytest.fixture
def cat_split(write_coco: WriteCoco, tmp_path: Path) -> Path:
    settings = SplitSettings(novel="cat", shots=(1,), seeds=(1,))
    prepare_splits(read_coco_dataset(write_coco(PAIRS)), tmp_path / "cat", settings=settings)
    return tmp_path / "cat"


def test_novel_classes_that_are_not_the_splits_own_are_refused(cat_split: Path) -> None:
    open_split(cat_split).check_novel(None)
    open_split(cat_split).check_novel("cat")
    for other in ("dog", "cat,dog", "all", "voc2"):
        with pytest.raises(ConfigError) as caught:
            open_split(cat_split).check_novel(other)
        assert_names(str(caught.value), cat_split, "`novel`", "risf.yaml", other, other, f"--novel {other}")


def test_a_published_set_is_the_same_by_its_name_and_by_its_classes(voc: AnnotatedDataset, tmp_path: Path) -> None:
    settings = SplitSettings(novel="voc1", shots=(1,), seeds=(1,))
    prepare_splits(voc, tmp_path / "voc1", settings=settings)
    open_split(tmp_path / "voc1").check_novel("voc1")
    open_split(tmp_path / "voc1").check_novel("cow, bird, bus, motorbike, sofa")
    with pytest.raises(
        ConfigError, match=r"its novel classes are voc1 \(bird, bus, cow, .*\), but `novel` .* says voc2; "
    ):
        open_split(tmp_path / "voc1").check_novel("voc2")


def test_a_folder_of_tfas_layout_does_not_say_its_novel_classes(tfa_only: Path, tmp_path: Path) -> None:
    shutil.copytree(tfa_only / "seed4", tmp_path / "cocosplit/seed4")
    open_split(tmp_path / "cocosplit").check_novel("dog")
