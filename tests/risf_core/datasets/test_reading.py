"""`--annotations` in every form: the part of an export that is read, and the same boxes and AP as from COCO JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from risf_core.datasets.reading import read_dataset_index, read_ground_truth
from risf_core.errors import DataError
from risf_core.rescore.support import read_shots

PARTS = {"train": 1, "valid": 2, "test": 3}  # photos of each
CATEGORIES = [{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]


def coco_of(part: str) -> dict[str, object]:
    """As many photos of 80 x 60 as the part has, a dog in each at x 10 y 20, 40 wide and 30 high."""
    count = PARTS[part]
    images = [{"id": n, "file_name": f"{part}{n}.rf.1f2e.jpg", "height": 60, "width": 80} for n in range(count)]
    boxes = [{"id": n, "image_id": n, "category_id": 2, "bbox": [10, 20, 40, 30]} for n in range(count)]
    return {"images": images, "categories": CATEGORIES, "annotations": boxes}


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """A Roboflow export in COCO's form, as RF20-VL's and RF100-VL's data sets are."""
    for part in PARTS:
        (tmp_path / part).mkdir()
        (tmp_path / part / "_annotations.coco.json").write_text(json.dumps(coco_of(part)))
    return tmp_path


@pytest.fixture
def yolo(tmp_path: Path) -> Path:
    """The same in YOLO's form."""
    for part, count in PARTS.items():
        (tmp_path / part / "images").mkdir(parents=True)
        (tmp_path / part / "labels").mkdir()
        for n in range(count):
            stem = f"{part}{n}.rf.1f2e"
            Image.new("RGB", (80, 60)).save(tmp_path / part / "images" / f"{stem}.jpg")
            (tmp_path / part / "labels" / f"{stem}.txt").write_text(f"1 {30 / 80} {35 / 60} {40 / 80} {30 / 60}\n")
    (tmp_path / "data.yaml").write_text(
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: ['cat', 'dog']\n"
    )
    return tmp_path


def test_an_export_in_cocos_form_is_read_by_its_root(export: Path) -> None:
    assert len(read_ground_truth(export)) == 3  # test
    assert len(read_ground_truth(export, purpose="train")) == 1
    assert next(info.file_name for info in read_dataset_index(export).images.values()) == "test0.rf.1f2e.jpg"
    (export / "test" / "_annotations.coco.json").unlink()
    assert len(read_ground_truth(export)) == 2  # valid
    assert len(read_ground_truth(export / "valid")) == 2


@pytest.mark.parametrize("name", ["", "data.yaml"])
def test_a_yolo_data_set_is_read_by_its_val_images(yolo: Path, name: str) -> None:
    truth = read_ground_truth(yolo / name)
    assert [info.file_name for info in truth.images] == [f"valid/images/valid{n}.rf.1f2e.jpg" for n in range(2)]
    assert truth.boxes_xywh.ravel() == pytest.approx([10, 20, 40, 30] * 2)
    assert [truth.vocabulary.names[label] for label in truth.labels.tolist()] == ["dog", "dog"]
    index = read_dataset_index(yolo / name)
    assert index.images == truth.images_by_id
    assert index.vocabulary == truth.vocabulary
    assert len(read_ground_truth(yolo / name, purpose="train")) == 1


def test_classes_and_images_of_a_yolo_data_set_need_no_labels(yolo: Path) -> None:
    for path in (yolo / "valid" / "labels").iterdir():
        path.unlink()
    assert len(read_dataset_index(yolo).images) == 2
    with pytest.raises(DataError, match="label file"):
        read_ground_truth(yolo)


def test_a_missing_folder_of_data_yaml_is_named(yolo: Path) -> None:
    (yolo / "valid").rename(yolo / "elsewhere")
    with pytest.raises(DataError, match=r"data\.yaml: '\.\./valid/images' is not there"):
        read_ground_truth(yolo)


def test_shots_are_the_train_part_of_an_export_or_a_cd_fsod_shot_file(export: Path) -> None:
    assert len(read_shots(export).boxes) == 1
    folder = export / "clipart1k" / "annotations"
    folder.mkdir(parents=True)
    for shots in (1, 5, 10):
        boxes = [
            {"id": 10 * n + k, "image_id": k, "category_id": n, "bbox": [k, 1, 9, 9]}
            for n in (1, 2)
            for k in range(shots)
        ]
        images = [{"id": k, "file_name": f"{k}.jpg", "height": 60, "width": 80} for k in range(shots)]
        content = {"images": images, "categories": CATEGORIES, "annotations": boxes}
        (folder / f"{shots}_shot.json").write_text(json.dumps(content))
        assert read_shots(folder / f"{shots}_shot.json").boxes.boxes_per_class().tolist() == [shots, shots]


def test_a_split_is_drawn_from_the_train_part_of_an_export(export: Path, risf) -> None:
    done = risf("prepare-splits", "--coco", export, "--shots", 1, "--seeds", 0, "--out", export / "split")
    assert done.exit_code == 0, done.output
    drawn = read_shots(export / "split").boxes
    assert [info.file_name for info in drawn.images] == ["train0.rf.1f2e.jpg"]  # train has one photo and one dog
    assert drawn.boxes_xywh.tolist() == [[10, 20, 40, 30]]
