"""A split is checked against its source: what is wrong is found, and what it holds is counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.held_out import read_held_out
from risf_core.errors import ConfigError, DataError
from risf_core.splits import CheckReport, SplitSettings, open_split, prepare_splits
from risf_core.splits.check import check_split

WriteCoco = Callable[..., Path]
SCENES = {i: ["cat", "cat"] for i in range(1, 9)} | {i: ["cat", "dog"] for i in range(9, 20)}


@pytest.fixture
def split(write_coco: WriteCoco, tmp_path: Path) -> Path:
    test = write_coco({900: ["cat", "dog"]}, name="test.json")
    settings = SplitSettings(novel="dog", shots=(1, 3), seeds=(1, 2), layouts=("risf", "tfa"), held_out=test)
    prepare_splits(read_coco_dataset(write_coco(SCENES)), tmp_path / "s", settings=settings)
    return tmp_path / "s"


def check(folder: Path, **options: Any) -> CheckReport:
    return check_split(open_split(folder), **options)


def change(path: Path, edit: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def test_a_split_as_it_was_written_is_sound(split: Path) -> None:
    report = check(split)
    assert (report.faults, report.notes, report.seeds, report.shots) == ((), (), (1, 2), (1, 3))


def test_novel_classes_that_the_split_does_not_have_are_refused(split: Path) -> None:
    assert check(split, novel=["dog"]).faults == check(split, novel="dog").faults == ()
    with pytest.raises(ConfigError, match=r"its novel classes are dog, but `novel` .* says cat,dog; leave that out"):
        check(split, novel=["cat", "dog"])


def test_boxes_and_images_are_counted_by_class(split: Path) -> None:
    cat, dog = check(split).classes
    assert (cat.name, cat.novel, dog.name, dog.novel) == ("cat", False, "dog", True)
    assert dog.boxes == {1: (1, 1), 3: (3, 3)}
    assert (dog.images, dog.boxes_per_image) == (3.0, 1.0)
    images = []
    for seed in (1, 2):
        content = json.loads((split / f"seed{seed}/full_box_3shot_cat_trainval.json").read_text())
        images.append(len(content["images"]))
    assert cat.images == sum(images) / 2
    assert cat.boxes_per_image == pytest.approx(6 / sum(images))


def test_both_layouts_of_voc_are_sound_and_counted(voc: AnnotatedDataset, tmp_path: Path) -> None:
    # seed 3 draws an image twice below the highest count: the box that stands twice stays marked further up
    settings = SplitSettings(seeds=(1, 2, 3), layouts=("risf", "tfa"), shots=(1, 4, 10))
    prepare_splits(voc, tmp_path / "s", settings=settings)
    report = check(tmp_path / "s")
    assert report.faults == ()
    assert len(report.classes) == 20


def faults_after(split: Path, edit: Callable[[dict], object], *, seed: int = 1) -> tuple[str, ...]:
    change(split / f"shots/seed{seed}.json", edit)
    return check(split).faults


def test_a_changed_source_is_found(split: Path) -> None:
    source = split.parent / "own.json"
    change(source, lambda content: content.update(info={"edited": True}))
    assert check(split).faults == (f"the source is not what the split was drawn from (its SHA-256 differs): {source}",)


def test_a_source_that_is_gone_is_found_and_can_be_named_anew(split: Path) -> None:
    source = split.parent / "own.json"
    source.rename(split.parent / "moved.json")
    assert check(split).faults == (
        f"the source cannot be read: {source}: there is no such annotations file; check the path",
    )
    assert check(split, dataset=read_coco_dataset(split.parent / "moved.json")).faults == ()


def test_a_box_that_is_not_the_sources_is_found(split: Path) -> None:
    def move(content: dict) -> None:
        content["boxes"]["xywh"][0][0] += 1

    moved = json.loads((split / "shots/seed1.json").read_text())["boxes"]["annotation_id"][0]
    assert faults_after(split, move) == (f"seed 1: 1 box not as in the source (ids {moved})",)


def test_a_count_that_is_not_k_is_found(split: Path) -> None:
    faults = faults_after(split, lambda content: content["shots"]["3"]["dog"].pop())
    assert "seed 1, class 'dog', 3 shots: 2 boxes" in faults


def test_a_class_without_boxes_is_found(split: Path) -> None:
    faults = faults_after(split, lambda content: content["shots"]["1"].pop("dog"))
    assert "seed 1, class 'dog', 1 shot: no box" in faults


def test_a_box_that_stands_twice_is_found(split: Path) -> None:
    def repeat(content: dict) -> None:
        content["shots"]["3"]["dog"][1] = content["shots"]["3"]["dog"][0]

    assert "seed 1, class 'dog', 3 shots: a box is there twice" in faults_after(split, repeat)


def test_counts_that_are_not_nested_are_found(split: Path) -> None:
    def exchange(content: dict) -> None:
        content["shots"]["1"]["cat"] = [
            next(
                row
                for row in range(len(content["boxes"]["class"]))
                if content["classes"][content["boxes"]["class"][row]]["name"] == "cat"
                and row not in content["shots"]["3"]["cat"]
            )
        ]

    # a third cat that seed 1 does not hold at 3 shots is put into its table first
    content = json.loads((split / "shots/seed1.json").read_text())
    source = json.loads((split.parent / "own.json").read_text())
    unused = next(
        row
        for row in source["annotations"]
        if row["category_id"] == 3
        and row["id"] not in content["boxes"]["annotation_id"]
        and row["image_id"] in content["images"]["id"]
    )

    def add_and_exchange(content: dict) -> None:
        content["boxes"]["annotation_id"].append(unused["id"])
        content["boxes"]["image"].append(content["images"]["id"].index(unused["image_id"]))
        content["boxes"]["class"].append(0)
        content["boxes"]["xywh"].append(unused["bbox"])
        exchange(content)

    faults = faults_after(split, add_and_exchange)
    assert "seed 1, class 'cat', 3 shots: not all boxes of the next lower count are among them" in faults


def test_training_images_that_are_held_out_are_found(split: Path, write_coco: WriteCoco) -> None:
    content = json.loads((split / "shots/seed2.json").read_text())
    drawn = content["images"]["id"][0]
    leaking = write_coco({drawn: ["cat"]}, name="leak.json")
    faults = check(split, held_out=read_held_out(leaking)).faults
    assert f"seed 2: holds 1 test image (ids {drawn})" in faults
    assert f"the base set: holds 1 test image (ids {drawn})" in faults


def test_a_changed_held_out_list_is_found(split: Path) -> None:
    path = split.parent / "test.json"
    change(path, lambda content: content.update(info={}))
    assert check(split).faults == (f"{path}: the held-out list has changed since the split was drawn",)


def test_layouts_that_differ_are_found(split: Path) -> None:
    shutil.copy(split / "seed2/full_box_3shot_dog_trainval.json", split / "seed1/full_box_3shot_dog_trainval.json")
    assert "seed 1, class 'dog', 3 shots: the two layouts differ" in check(split).faults


def test_files_that_are_gone_are_found(split: Path) -> None:
    (split / "classes/all.txt").unlink()
    assert check(split).faults == ("1 file missing: classes/all.txt",)


def test_a_folder_in_tfas_layout_is_checked_with_the_source_that_is_named(split: Path) -> None:
    (split / "split.json").unlink()
    report = check(split, novel="dog")
    assert report.faults == ()
    assert report.notes == (
        "the boxes are not compared with a source: none is named (`coco`)",
        "training and test images are not compared: no test images are named (`held_out`)",
    )
    source = read_coco_dataset(split.parent / "own.json")
    assert check(split, novel="dog", dataset=source).faults == ()
    for seed in (1, 2):
        for path in (split / f"seed{seed}").glob("*dog*"):
            change(path, lambda content: [row.update(bbox=[5, 5, 5, 5]) for row in content["annotations"]])
    faults = check(split, novel="dog", dataset=source).faults
    assert [fault.partition(" (")[0] for fault in faults] == [
        "seed 1: 3 boxes not as in the source", "seed 2: 3 boxes not as in the source",
    ]  # fmt: skip


def test_files_of_tfas_layout_that_contradict_each_other_are_found(split: Path) -> None:
    (split / "split.json").unlink()
    change(
        split / "seed1/full_box_3shot_dog_trainval.json",
        lambda content: content["annotations"][0].update(bbox=[5, 5, 5, 5]),
    )
    (fault,) = check(split, novel="dog").faults
    assert "is another than in the other files of seed 1; draw or fetch the split again" in fault


def test_a_folder_that_is_no_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        check(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: holds no split")
