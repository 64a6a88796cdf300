"""Where nothing can be measured or nothing is right, it is said, with the likely cause."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from risf_core.errors import DataError
from risf_core.evaluation import EvaluationSettings, evaluate_files

Row = dict[str, Any]
BOX = [10, 10, 30, 30]
HIT: Row = {"image_id": 5, "category_id": 2, "bbox": BOX, "score": 0.9}
COW = {"id": 7, "name": "cow"}  # a class without a box


def written(folder: Path, rows: list[Row], **annotation: object) -> tuple[Path, Path]:
    """Detections, and ground truth of a cat in one image and a dog in another, each annotation with some more keys."""
    boxes = [{"image_id": 5, "category_id": 2, "bbox": BOX}, {"image_id": 9, "category_id": 4, "bbox": [50, 50, 9, 9]}]
    truth = {
        "images": [{"id": 5, "width": 100, "height": 100}, {"id": 9, "width": 100, "height": 100}],
        "categories": [{"id": 2, "name": "cat"}, {"id": 4, "name": "dog"}, COW],
        "annotations": [{**box, **annotation} for box in boxes],
    }
    (folder / "d.json").write_text(json.dumps(rows))
    (folder / "gt.json").write_text(json.dumps(truth))
    return folder / "d.json", folder / "gt.json"


@pytest.mark.parametrize(
    ("rows", "cause"),
    [
        ([{**HIT, "category_id": 7}], "they are of cow, the boxes of cat, dog; are `category_ids` numbered otherwise?"),
        (
            [{**HIT, "category_id": 4}, {**HIT, "bbox": [60, 60, 9, 9]}],
            "1 of 2 overlap a box of another class; are `category_ids` numbered otherwise?",
        ),
        (
            [{**HIT, "image_id": 9}],
            "none overlaps a box of its image; are `image_ids` or `boxes` of another convention, or is it another "
            "dataset?",
        ),
    ],
)
def test_nothing_right_is_a_warning_with_its_cause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: list[Row], cause: str
) -> None:
    detections, truth = written(tmp_path, rows)
    done = evaluate_files([detections], annotations=truth)
    assert done.files[0].metrics.overall["AP"] == 0
    (warning,) = [record.getMessage() for record in caplog.records if "not one" in record.getMessage()]
    assert warning == f"{detections}: not one of {len(rows)} detections is right: {cause}"


@pytest.mark.parametrize("rows", [[HIT], [HIT, {**HIT, "category_id": 7}]])
def test_one_right_detection_is_no_cause_for_doubt(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, rows: list[Row]
) -> None:
    detections, truth = written(tmp_path, rows)
    evaluate_files([detections], annotations=truth)
    assert not [record for record in caplog.records if "not one" in record.getMessage()]


@pytest.mark.parametrize(
    ("annotation", "settings", "why"),
    [
        ({"iscrowd": 1}, EvaluationSettings(), "all 2 are crowd regions (iscrowd)"),
        ({"difficult": 1}, EvaluationSettings(protocol="voc"), "all 2 are crowd regions (iscrowd) or difficult"),
    ],
)
def test_no_box_to_measure_against_is_an_error(
    tmp_path: Path, annotation: Row, settings: EvaluationSettings, why: str
) -> None:
    detections, truth = written(tmp_path, [HIT], **annotation)
    with pytest.raises(DataError) as caught:
        evaluate_files([detections], annotations=truth, settings=settings)
    assert str(caught.value) == f"{truth}: no box to measure against: {why}; nothing can be evaluated"


def test_ground_truth_of_lvis_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    detections, truth = written(tmp_path, [HIT])
    content = json.loads(truth.read_text())
    content["images"][0]["neg_category_ids"] = [4]
    truth.write_text(json.dumps(content))
    evaluate_files([detections], annotations=truth)
    assert [record for record in caplog.records if "AP is lower than LVIS's own" in record.getMessage()]


def test_boxes_without_area_are_no_box_to_measure_against(tmp_path: Path) -> None:
    detections, truth = written(tmp_path, [HIT], bbox=[10, 10, 0, 30])
    with pytest.raises(DataError, match=r"all 2 are crowd regions .* or have no area"):
        evaluate_files([detections], annotations=truth)


def test_an_area_below_zero_is_that_of_the_box(tmp_path: Path) -> None:
    detections, truth = written(tmp_path, [HIT], area=-1)
    half = evaluate_files([detections], annotations=truth).files[0].metrics.overall["AP50"]
    assert half == pytest.approx(0.5)  # the cat is found, the dog is not


def test_rows_and_annotations_that_stand_twice_are_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    detections, truth = written(tmp_path, [HIT, HIT])
    content = json.loads(truth.read_text())
    content["annotations"] += content["annotations"]
    truth.write_text(json.dumps(content))
    evaluate_files([detections], annotations=truth)
    assert f"{detections}: 1 of 2 detections repeat another's image, class, box and score" in caplog.text
    assert f"{truth}: 2 of 4 annotations repeat another's image, class and box" in caplog.text


def test_a_mark_that_is_nan_is_refused(tmp_path: Path) -> None:
    detections, truth = written(tmp_path, [HIT], iscrowd=float("nan"))
    with pytest.raises(DataError, match="iscrowd is NaN"):
        evaluate_files([detections], annotations=truth)
