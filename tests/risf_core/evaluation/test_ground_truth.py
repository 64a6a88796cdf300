"""Ground truth files: what may be missing, what is left out, what is refused."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from risf_core.datasets.coco import read_coco_dataset
from risf_core.evaluation import evaluate, match, read_detections_for, read_ground_truth
from risf_core.formats.conventions import Conventions

IMAGES = [{"id": 7, "file_name": "a.jpg", "height": 60, "width": 80}]
CATEGORIES = [{"id": 3, "name": "cat"}]
BOX = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**content: object) -> str:
        (tmp_path / "gt.json").write_text(json.dumps(content))
        return "gt.json"

    return write


def test_missing_info_area_iscrowd_and_ids_are_filled(write):
    truth = read_ground_truth(write(images=IMAGES, categories=CATEGORIES, annotations=[BOX, {**BOX, "area": None}]))
    assert truth.areas.tolist() == [200, 200]
    assert truth.crowd.tolist() == [False, False]
    assert [(image.image_id, image.size) for image in truth.images] == [(7, (60, 80))]


def test_area_and_crowd_are_taken_from_the_file_where_it_states_them(write):
    boxes = [{**BOX, "area": 33.5, "iscrowd": 1}, {**BOX, "area": 0}]
    truth = read_ground_truth(write(images=IMAGES, categories=CATEGORIES, annotations=boxes))
    assert truth.areas.tolist() == [33.5, 0]
    assert truth.crowd.tolist() == [True, False]
    assert truth.boxes_per_class().tolist() == [1]


def test_boxes_of_unlisted_images_and_categories_are_left_out_with_a_warning(write, caplog):
    boxes = [{**BOX, "image_id": 8}, BOX, {**BOX, "category_id": 4}]
    truth = read_ground_truth(write(images=IMAGES, categories=CATEGORIES, annotations=boxes))
    assert np.array_equal(truth.boxes_xywh, [[1, 2, 10, 20]])
    assert caplog.messages == [
        "gt.json: 2 of 3 annotations are of images or categories that are not listed (annotations[0], annotations[2]): "
        "left out",
        "gt.json: 3 annotations had no whole-numbered id: numbered anew",
    ]


def voc_folder(root: Path, listed: Sequence[str], *, name: str = "test") -> None:
    """Two images with a cat each, the second one's difficult, and a list of some of them."""
    for folder in ("Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for stem, difficult in (("000004", 0), ("000009", 1)):
        (root / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><folder>VOC2007</folder><filename>{stem}.jpg</filename>"
            "<size><width>80</width><height>60</height><depth>3</depth></size>"
            f"<object><name>cat</name><difficult>{difficult}</difficult>"
            "<bndbox><xmin>11</xmin><ymin>21</ymin><xmax>30</xmax><ymax>50</ymax></bndbox></object></annotation>"
        )
    (root / "ImageSets/Main" / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in listed))


@pytest.mark.parametrize("single", [False, True])
def test_a_voc_folder_is_ground_truth_by_its_test_list(tmp_path, single):
    voc_folder(tmp_path / "VOC2007", ["000009"])
    truth = read_ground_truth(tmp_path / "VOC2007" if single else tmp_path)
    assert list(truth.images_by_id) == ["000009"]
    assert truth.image_ids.tolist() == ["000009"]
    assert truth.boxes_xywh.tolist() == [[10, 20, 20, 30]]  # xmin and ymin counted from 0
    assert truth.difficult.tolist() == [True]
    assert truth.vocabulary.names == ("cat",)


def test_detections_of_a_voc_folder_are_found_by_number_too(tmp_path):
    voc_folder(tmp_path / "VOC2007", ["000004", "000009"])
    truth = read_ground_truth(tmp_path)
    row = {"image_id": 4, "category_id": truth.vocabulary.category_ids[truth.vocabulary.names.index("cat")]}
    (tmp_path / "d.json").write_text(json.dumps([{**row, "bbox": [10, 20, 20, 30], "score": 0.5}]))
    table = read_detections_for(tmp_path / "d.json", truth, conventions=Conventions(image_ids="stems")).detections
    assert evaluate(table, truth, protocol="voc").per_class["cat"]["AP50"] == pytest.approx(1)


def test_a_voc_folder_without_a_test_list_is_taken_as_it_is(tmp_path):
    voc_folder(tmp_path, ["000004"], name="trainval")
    assert list(read_ground_truth(tmp_path).images_by_id) == ["000004", "000009"]


MARKS = [{}, {"difficult": 1}, {"ignore": 1}, {"difficult": 0, "ignore": 1}, {"difficult": 0, "ignore": 0}]


def test_every_reader_takes_the_same_boxes_for_difficult(write):
    boxes = [{**BOX, "id": number, **marks} for number, marks in enumerate(MARKS, 1)]
    path = write(images=IMAGES, categories=CATEGORIES, annotations=boxes)
    assert read_ground_truth(path).difficult.tolist() == [False, True, True, True, False]
    assert read_coco_dataset(Path(path)).difficult.tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
def test_in_cocos_protocol_a_boxs_own_ignore_counts_for_nothing_as_in_pycocotools(write, evaluator):
    """The file given to pycocotools as it stands, against ours: AP of three cats of which the second best is found."""
    boxes = [
        {**BOX, "id": number, "bbox": [20 * number, 2, 10, 20], "area": 200, "iscrowd": 0, **marks}
        for number, marks in enumerate([{}, {"ignore": 1}, {"difficult": 1}], 1)
    ]
    found = [
        {**BOX, "id": number, "bbox": box, "score": score, "area": 200, "iscrowd": 0}
        for number, (box, score) in enumerate([([40, 2, 10, 20], 0.9), ([60, 40, 9, 9], 0.8)], 1)
    ]
    path = write(images=IMAGES, categories=CATEGORIES, annotations=boxes)
    truth, table = COCO(path), COCO()
    table.dataset = {**truth.dataset, "annotations": found}
    table.createIndex()
    reference = COCOeval(truth, table, "bbox")
    reference.evaluate()
    reference.accumulate()
    reference.summarize()
    Path("found.json").write_text(json.dumps(found))
    ours = read_ground_truth(path)
    detections = read_detections_for("found.json", ours).detections
    metrics = evaluate(detections, ours, evaluator=evaluator).overall
    assert [metrics[name] for name in ("AP", "AP50", "AP75")] == reference.stats[:3].tolist()
    assert match(detections, ours).truth_counted[0].sum() == 3  # and so for the intervals


def other_list(root: Path, name: str, listed: Sequence[str]) -> None:
    (root / "ImageSets/Main" / f"{name}.txt").write_text("".join(f"{stem}\n" for stem in listed))


@pytest.mark.parametrize("single", [False, True])
def test_a_voc_folder_is_never_ground_truth_by_its_training_list_alone(tmp_path, single, caplog):
    caplog.set_level("INFO", logger="risf_core")
    folder = tmp_path / "VOC2007"
    root = folder if single else tmp_path
    voc_folder(folder, ["000004"], name="train")
    other_list(folder, "trainval", ["000004"])
    assert list(read_ground_truth(root).images_by_id) == ["000004", "000009"]  # all that is there
    (root if single else folder).joinpath("ImageSets/Main/val.txt").touch()  # an empty list is none
    assert list(read_ground_truth(root).images_by_id) == ["000004", "000009"]
    said = [message for message in caplog.messages if "read whole" in message]
    assert said == [f"{root}: has no list of test or val images; read whole, 2 images"] * 2
    caplog.clear()
    other_list(folder, "val", ["000009"])
    assert list(read_ground_truth(root).images_by_id) == ["000009"]
    other_list(folder, "test", ["000009", "000004"])
    assert list(read_ground_truth(root).images_by_id) == ["000009", "000004"]
    place = "" if single else "VOC2007/"
    assert [message for message in caplog.messages if "read by" in message] == [
        f"{root}: read by its list {place}ImageSets/Main/val.txt, 1 image",
        f"{root}: read by its list {place}ImageSets/Main/test.txt, 2 images",
    ]


def test_both_years_of_voc_are_validated_on_where_there_is_no_test_list(tmp_path):
    for year, stem in (("VOC2007", "000004"), ("VOC2012", "000009")):
        voc_folder(tmp_path / year, [stem], name="val")
    assert list(read_ground_truth(tmp_path).images_by_id) == ["000004", "000009"]
