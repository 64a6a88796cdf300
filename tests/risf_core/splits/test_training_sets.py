"""The sets that training reads: few-shot, generalised, base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.voc import read_voc_dataset
from risf_core.errors import DataError
from risf_core.splits import SplitSettings, open_split, prepare_splits
from risf_core.splits.training_sets import base_records, few_shot_records, generalised_records

WriteCoco = Callable[..., Path]
SCENES = {1: ["cat", "dog", "cat"], 2: ["cat"], 3: ["dog"], 4: ["bird", "dog"], 5: ["bird"], 6: ["bird", "cat"]}


@pytest.fixture
def own_split(write_coco: WriteCoco, tmp_path: Path) -> Path:
    for image in SCENES:
        (tmp_path / f"{image:04}.jpg").touch()
    data = read_coco_dataset(write_coco(SCENES))
    prepare_splits(data, tmp_path / "s", settings=SplitSettings(novel="bird,dog", shots=(1, 2), seeds=(3,)))
    return tmp_path / "s"


def test_few_shot_sets_hold_k_novel_boxes_and_nothing_else(own_split: Path) -> None:
    shots = open_split(own_split).read(seed=3)
    found = few_shot_records(shots, count=2, image_folders=[own_split.parent])
    assert found.vocabulary.names == ("bird", "dog")
    labels = [label for record in found.records for label in record.labels.tolist()]
    assert sorted(labels) == [0, 0, 1, 1]
    for record in found.records:  # each box is where the scene says
        for (x0, y0, x1, y1), label in zip(record.boxes.tolist(), record.labels.tolist(), strict=True):
            assert (y0, x1 - x0, y1 - y0) == (2, 5.5, 7)
            assert SCENES[int(record.image_id)][int(x0)] == found.vocabulary.names[label]


def test_generalised_sets_hold_k_boxes_of_every_class(own_split: Path) -> None:
    found = generalised_records(open_split(own_split).read(seed=3), count=2, image_folders=[own_split.parent])
    assert found.vocabulary.names == ("bird", "cat", "dog")
    labels = [label for record in found.records for label in record.labels.tolist()]
    assert sorted(labels) == [0, 0, 1, 1, 2, 2]
    assert len({record.image_id for record in found.records}) == len(found)


def test_one_record_a_box_is_a_setting(own_split: Path) -> None:
    shots = open_split(own_split).read(seed=3)
    found = generalised_records(shots, count=2, image_folders=[own_split.parent], form="box")
    assert [len(record) for record in found.records] == [1] * 6


def test_training_twice_sees_the_same_boxes(own_split: Path) -> None:
    first, second = (
        few_shot_records(open_split(own_split).read(seed=3), count=2, image_folders=[own_split.parent])
        for _ in range(2)
    )
    assert [(r.image_id, r.boxes.tolist()) for r in first.records] == [
        (r.image_id, r.boxes.tolist()) for r in second.records
    ]


def test_base_sets_are_the_same_from_the_split_and_from_the_data(own_split: Path) -> None:
    from_split = base_records(open_split(own_split).base(), image_folders=[own_split.parent])
    data = read_coco_dataset(own_split.parent / "own.json")
    data = data.with_vocabulary(data.vocabulary.with_novel(["bird", "dog"]))
    from_data = base_records(data, image_folders=[own_split.parent])
    for found in (from_split, from_data):
        assert found.vocabulary.names == ("cat",)
        assert [(r.image_id, r.boxes[:, 0].tolist()) for r in found.records] == [(1, [0, 2]), (2, [0]), (6, [1])]


def test_a_class_without_boxes_in_the_split_is_refused_by_name(write_coco: WriteCoco, tmp_path: Path) -> None:
    data = read_coco_dataset(write_coco(SCENES))
    settings = SplitSettings(novel="bird,dog", shots=(1,), seeds=(0,), only="dog")
    shots = prepare_splits(data, tmp_path / "s", settings=settings).seeds[0]
    with pytest.raises(DataError) as caught:
        few_shot_records(shots, count=1, image_folders=[tmp_path])
    assert str(caught.value) == (
        "the split has no box of 1 of 2 classes at 1 shot (bird); prepare it for all of them, or train on fewer classes"
    )
    with pytest.raises(DataError) as caught:
        few_shot_records(shots, count=7, image_folders=[tmp_path])
    assert str(caught.value) == "the split holds 1 shots; got 7"


def test_voc_labels_count_base_classes_first(voc_root: Path, voc: AnnotatedDataset, tmp_path: Path) -> None:
    settings = SplitSettings(novel="voc1", shots=(5,), seeds=(1,))
    shots = prepare_splits(voc, tmp_path / "s", settings=settings).seeds[1]
    for info in voc.images:
        path = tmp_path / str(info.file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    whole = generalised_records(shots, count=5, image_folders=[tmp_path], form="box")
    assert whole.vocabulary.names[15:] == ("bird", "bus", "cow", "motorbike", "sofa")
    assert len(whole) == 100
    novel = few_shot_records(shots, count=5, image_folders=[tmp_path], form="box")
    assert novel.vocabulary.names == ("bird", "bus", "cow", "motorbike", "sofa")
    everything = read_voc_dataset(voc_root)
    known = {
        (everything.images[position].image_id, everything.vocabulary.names[label], *box)
        for position, label, box in zip(
            everything.image_positions.tolist(), everything.labels.tolist(), everything.boxes.tolist(), strict=True
        )
    }
    for found in (whole, novel):
        for record in found.records:
            name = found.vocabulary.names[record.labels[0]]
            assert (record.image_id, name, *record.boxes[0].tolist()) in known
