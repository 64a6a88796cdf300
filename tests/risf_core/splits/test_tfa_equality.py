"""The shots are those of TFA's own scripts, file by file, whatever part of them is asked for."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.splits import SplitSettings, open_split, prepare_splits
from risf_core.splits.tfa_reading import read_tfa_split

COCO_SHOTS, VOC_SHOTS = (1, 2, 3, 5, 10, 30), (1, 2, 3, 5, 10)


@pytest.fixture(scope="module")
def coco_split(coco: AnnotatedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits") / "coco"
    prepare_splits(coco, folder, settings=SplitSettings(seeds=(1, 2), layouts=("risf", "tfa")))
    return folder


@pytest.fixture(scope="module")
def voc_split(voc: AnnotatedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("splits") / "voc"
    prepare_splits(voc, folder, settings=SplitSettings(seeds=(1, 2), layouts=("risf", "tfa")))
    return folder


def test_every_coco_file_of_tfa_is_reproduced(coco_split: Path, tfa_coco: dict, coco_file: Path) -> None:
    source = json.loads(coco_file.read_text())
    image_rows = {row["id"]: row for row in source["images"]}
    rows = {row["id"]: row for row in source["annotations"]}
    assert len(tfa_coco) == 2 * 80 * 6
    for name, expected in tfa_coco.items():
        content = json.loads((coco_split / name).read_text())
        assert content == {
            "info": source["info"],
            "licenses": source["licenses"],
            "images": [image_rows[image_id] for image_id in expected["images"]],
            "annotations": [rows[annotation_id] for annotation_id in expected["annotations"]],
            "categories": source["categories"],
        }, name
        assert list(content) == ["info", "licenses", "images", "annotations", "categories"]
    assert len(list(coco_split.glob("seed*/*"))) == len(tfa_coco)


def test_every_voc_list_of_tfa_is_reproduced(voc_split: Path, tfa_voc: dict) -> None:
    assert len(tfa_voc) == 2 * 20 * 5
    for name, lines in tfa_voc.items():
        assert (voc_split / name).read_text() == "".join(f"{line}\n" for line in lines), name
    assert len(list(voc_split.glob("seed*/*"))) == len(tfa_voc)


def test_the_risf_layout_holds_the_boxes_of_every_coco_file(coco_split: Path, tfa_coco: dict) -> None:
    for seed in (1, 2):
        shots = open_split(coco_split).read(seed=seed)
        ids = shots.boxes.annotation_ids
        for count in COCO_SHOTS:
            for name, rows in zip(shots.boxes.vocabulary.names, shots.rows[count], strict=True):
                expected = tfa_coco[f"seed{seed}/full_box_{count}shot_{name}_trainval.json"]["annotations"]
                assert ids[rows].tolist() == expected


def test_the_frozen_voc_boxes_lie_in_the_images_of_the_lists_and_are_exactly_k(voc_split: Path, tfa_voc: dict) -> None:
    for seed in (1, 2):
        shots = open_split(voc_split).read(seed=seed)
        for count in VOC_SHOTS:
            for name, rows in zip(shots.boxes.vocabulary.names, shots.rows[count], strict=True):
                lines = tfa_voc[f"seed{seed}/box_{count}shot_{name}_train.txt"]
                stems = {Path(line).stem for line in lines}
                images = {shots.boxes.images[p].image_id for p in shots.boxes.image_positions[rows].tolist()}
                assert len(rows) == count
                assert images <= stems


@pytest.mark.parametrize("count", [1, 5, 30])
def test_one_shot_count_alone_gives_the_same_shots_as_the_whole_ladder(
    coco: AnnotatedDataset, tfa_coco: dict, tmp_path: Path, count: int
) -> None:
    settings = SplitSettings(shots=(count,), seeds=(2,), only="zebra,person,hair drier")
    shots = prepare_splits(coco, tmp_path / "part", settings=settings).seeds[2]
    for label, name in enumerate(shots.boxes.vocabulary.names):
        written = shots.boxes.annotation_ids[shots.rows[count][label]].tolist()
        if name in ("zebra", "person", "hair drier"):
            assert written == tfa_coco[f"seed2/full_box_{count}shot_{name}_trainval.json"]["annotations"]
        else:
            assert written == []


def test_one_voc_class_and_count_alone_gives_the_same_list(
    voc: AnnotatedDataset, tfa_voc: dict, tmp_path: Path
) -> None:
    settings = SplitSettings(shots=(3,), seeds=(2,), layouts=("tfa",), only="tvmonitor", novel="voc3")
    prepare_splits(voc, tmp_path / "part", settings=settings)
    assert [path.name for path in (tmp_path / "part" / "seed2").iterdir()] == ["box_3shot_tvmonitor_train.txt"]
    assert (tmp_path / "part/seed2/box_3shot_tvmonitor_train.txt").read_text().split() == tfa_voc[
        "seed2/box_3shot_tvmonitor_train.txt"
    ]


def test_a_seed_is_the_same_alone_and_among_others(coco: AnnotatedDataset, tfa_coco: dict, tmp_path: Path) -> None:
    settings = SplitSettings(shots=(10,), seeds=(7, 2), only="cat")
    shots = prepare_splits(coco, tmp_path / "s", settings=settings).seeds[2]
    label = shots.boxes.vocabulary.names.index("cat")
    ids = shots.boxes.annotation_ids[shots.rows[10][label]].tolist()
    assert ids == tfa_coco["seed2/full_box_10shot_cat_trainval.json"]["annotations"]


def test_drawing_leaves_the_global_random_numbers_alone(coco: AnnotatedDataset, tmp_path: Path) -> None:
    random.seed(5)
    state = random.getstate()
    prepare_splits(coco, tmp_path / "s", settings=SplitSettings(shots=(1, 4), seeds=(1,)))
    assert random.getstate() == state


@pytest.mark.parametrize("kind", ["coco", "voc"])
def test_both_layouts_hold_the_same_boxes(kind: str, coco_split: Path, voc_split: Path, voc_root: Path) -> None:
    folder = coco_split if kind == "coco" else voc_split
    ours = open_split(folder).read(seed=1)
    theirs = read_tfa_split(folder, seed=1, voc_root=voc_root)
    assert ours.boxes.vocabulary == theirs.boxes.vocabulary
    assert (ours.benchmark, ours.novel_set) == (theirs.benchmark, theirs.novel_set)
    assert ours.rows.keys() == theirs.rows.keys()
    for count in ours.rows:
        for mine, other in zip(ours.rows[count], theirs.rows[count], strict=True):
            assert ours.boxes.boxes_xywh[mine].tolist() == theirs.boxes.boxes_xywh[other].tolist()
            mine_images = [ours.boxes.images[p] for p in ours.boxes.image_positions[mine]]
            assert mine_images == [theirs.boxes.images[p] for p in theirs.boxes.image_positions[other]]
