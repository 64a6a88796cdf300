"""`risf convert`: from one form to another and back, with counts and what is lost."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.conftest import Run

TRUTH = {
    "images": [
        {"id": 40, "file_name": "val/0012.jpg", "height": 100, "width": 200},
        {"id": 10, "file_name": "val/0007.jpg", "height": 50, "width": 80},
    ],
    "categories": [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}],
    "annotations": [],
}
ROWS = [
    {"image_id": 40, "category_id": 18, "bbox": [20.125, 10.5, 40.25, 40.0625], "score": 0.8765432, "area": 9},
    {"image_id": 10, "category_id": 17, "bbox": [1.0, 2.0, 30.0, 40.0], "score": 0.5},
    {"image_id": 40, "category_id": 17, "bbox": [20.125, 10.5, 40.25, 40.0625], "score": 0.25},
]


@pytest.fixture
def convert(risf: Run):
    return partial(risf, "convert")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("gt.json").write_text(json.dumps(TRUTH))
    Path("d.json").write_text(json.dumps(ROWS))
    return tmp_path


# what comes back of ROWS: largest difference of boxes and scores, whether the order is kept, the keys that are lost
ROUND_TRIPS = {
    "coco": (0, 0, True, []),
    "coco-dataset": (0, 0, True, []),
    "lvis": (0, 0, True, []),
    "ultralytics-json": (0.00051, 5.1e-6, True, []),
    "ultralytics-txt": (1e-6, 0, False, ["area"]),
    "supervision-json": (1e-12, 0, True, []),
    "supervision-csv": (1e-12, 0, True, ["area"]),
    "torchvision": (1e-12, 0, False, ["area"]),
    "voc-txt": (1e-12, 0, False, ["area"]),
    "openimages": (1e-12, 0, True, ["area"]),
    "cvat": (1e-12, 0, False, ["area"]),
    "label-studio": (1e-12, 0, False, ["area"]),
}


@pytest.mark.parametrize("to", ROUND_TRIPS)
def test_each_form_comes_back_but_for_what_is_named(convert, to):
    done = convert("d.json", "out", "--to", to, "--annotations", "gt.json", "--check", "--json")
    assert done.exit_code == 0, done.stderr
    content = json.loads(done.stdout)
    assert [content[key] for key in ("format", "to", "detections", "images", "dropped")] == ["coco", to, 3, 2, 0]
    boxes, scores, ordered, lost = ROUND_TRIPS[to]
    trip = content["round_trip"]
    assert trip["box_difference"] <= boxes
    assert trip["score_difference"] <= scores
    assert (trip["order_kept"], trip["keys_lost"]) == (ordered, lost)
    back = convert("out", "back.json", "--to", "coco", "--annotations", "gt.json")
    assert back.exit_code == 0, back.stderr
    assert len(json.loads(Path("back.json").read_text())) == 3
    if not boxes:
        assert json.loads(Path("back.json").read_text()) == ROWS


def test_every_form_that_is_written_is_tried():
    from risf_core.formats.registry import FORMS

    assert set(ROUND_TRIPS) == {form.name for form in FORMS if form.write}


def test_a_dataset_with_scores_needs_no_annotations_and_keeps_what_is_around_its_rows(convert):
    scored = {"info": {"year": 2026}, **TRUTH, "annotations": ROWS}
    Path("scored.json").write_text(json.dumps(scored))
    assert convert("scored.json", "same.json", "--to", "coco-dataset").exit_code == 0
    assert json.loads(Path("same.json").read_text()) == scored
    assert convert("scored.json", "txt", "--to", "ultralytics-txt").exit_code == 0
    assert sorted(path.name for path in Path("txt/val").iterdir()) == ["0007.txt", "0012.txt"]
    other = {**TRUTH, "images": [{**image, "id": image["id"] + 1} for image in TRUTH["images"]]}
    Path("other.json").write_text(json.dumps(other))
    assert convert("scored.json", "moved.json", "--to", "coco-dataset", "--annotations", "other.json").exit_code == 0
    moved = json.loads(Path("moved.json").read_text())
    assert [image["id"] for image in moved["images"]] == [41, 11]
    assert [row["image_id"] for row in moved["annotations"]] == [41, 11, 41]
    assert moved["info"] == {"year": 2026}


def test_streams_go_in_and_out(convert):
    done = convert("-", "-", "--to", "supervision-csv", "--annotations", "gt.json", stdin=json.dumps(ROWS))
    assert done.exit_code == 0, done.stderr
    back = convert("-", "-", "--to", "coco", "--annotations", "gt.json", "--quiet", stdin=done.stdout)
    assert [row["score"] for row in json.loads(back.stdout)] == [row["score"] for row in ROWS]
    assert back.stderr == ""


def test_rows_of_unknown_photos_are_counted(convert):
    Path("more.json").write_text(json.dumps([*ROWS, {**ROWS[0], "image_id": 7}]))
    refused = convert("more.json", "out.json", "--to", "coco", "--annotations", "gt.json")
    assert refused.exit_code == 1
    assert "image_id 7" in refused.stderr
    assert "--on-unmatched" in refused.stderr
    done = convert(
        "more.json", "out.json", "--to", "coco", "--annotations", "gt.json", "--on-unmatched", "drop", "--json"
    )
    assert [json.loads(done.stdout)[key] for key in ("detections", "dropped")] == [3, 1]
    assert "1 row left out (1 of an unknown photo)" in done.stderr


def test_rows_that_a_form_loses_fail_the_check(convert):
    Path("many.json").write_text(json.dumps([{**ROWS[0], "score": k / 400} for k in range(301)]))
    done = convert("many.json", "out.json", "--to", "lvis", "--annotations", "gt.json", "--check")
    assert done.exit_code == 1
    assert "out.json: 300 rows of 301 came back" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["d.json"], ["IN, OUT and --to"]),
        (["d.json", "o.json", "--to", "kitti"], ["--to 'kitti'", "is read, not written", "coco"]),
        (["d.json", "o.json", "--to", "cocoo"], ["--to 'cocoo'", "did you mean 'coco'"]),
        (["d.json", "o.json", "--to", "coco"], ["d.json: names no classes", "--annotations"]),
        (["d.json", "d.json", "--to", "coco"], ["d.json would overwrite an input"]),
        (["d.json", "-", "--to", "coco", "--check"], ["--check"]),
        (["d.json", "-", "--to", "coco", "--json"], ["--json"]),
        (["d.json", "o", "--to", "ultralytics-txt", "--classes", "names.txt"], ["size of each image", "40"]),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(convert, arguments, words):
    Path("names.txt").write_text("".join(f"{name}\n" for name in "abcdefghijklmnopqrst"))
    done = convert(*arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert all(word in done.stderr for word in words), done.stderr


def test_names_of_a_file_alone_stay_with_the_rows_of_a_results_list(risf, convert):
    truth = {**TRUTH, "annotations": [{"id": n, **ROWS[n]} for n in range(2)]}
    Path("truth.json").write_text(json.dumps(truth))
    assert convert("d.json", "d.xml", "--to", "cvat", "--annotations", "gt.json").exit_code == 0
    assert convert("d.xml", "back.json", "--to", "coco").exit_code == 0
    row = json.loads(Path("back.json").read_text())[0]
    assert (row["category_name"], row["file_name"]) == ("dog", "val/0012.jpg")
    ap = [
        json.loads(risf("evaluate", file, "--annotations", "truth.json", "--json").stdout)["results"][0]["metrics"][
            "AP"
        ]
        for file in ("d.json", "back.json")
    ]
    assert ap[0] == ap[1] > 0.5
    told = convert("d.xml", "lvis.json", "--to", "lvis")
    assert "counts them (1 dog, 2 cat)" in told.stderr
    assert "--annotations" in told.stderr
