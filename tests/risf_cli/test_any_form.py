"""The same detections in every form that is written and some that are not: the same AP, the same re-scored scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from risf_core.formats.registry import FORMS
from tests.conftest import Run
from tests.risf_cli.photos import write_photos

CATEGORIES = [{"id": 2, "name": "cat"}, {"id": 7, "name": "tvmonitor"}]
ROWS = [
    {"image_id": 5, "category_id": 2, "bbox": [10.25, 8.25, 30.5, 40.5], "score": 0.5},
    {"image_id": 5, "category_id": 7, "bbox": [40.25, 30.25, 35.5, 25.5], "score": 0.25},
    {"image_id": 9, "category_id": 2, "bbox": [3.25, 50.25, 30.5, 30.5], "score": 0.75},
    {"image_id": 9, "category_id": 7, "bbox": [30.25, 5.25, 35.5, 60.5], "score": 0.125},
]
TRUE = [{**row, "id": number, "score": 1} for number, row in enumerate(ROWS[1:3])]
NAME = {category["id"]: category["name"] for category in CATEGORIES}
WRITTEN = [form.name for form in FORMS if form.write]


def corners(row: dict) -> list[float]:
    x, y, width, height = row["bbox"]
    return [x, y, x + width, y + height]


def cartucho(row: dict) -> str:
    return " ".join(map(str, [NAME[row["category_id"]], row["score"], *corners(row)]))


def kitti(row: dict) -> str:
    return " ".join(map(str, [NAME[row["category_id"]], -1, -1, -10, *corners(row), *[-1] * 7, row["score"]]))


def of_photos(line) -> dict[str, list]:
    return {f"{i:012d}": [line(row) for row in ROWS if row["image_id"] == i] for i in (5, 9)}


@pytest.fixture(scope="module")
def files(risf: Run, tmp_path_factory) -> dict[str, str]:
    """The detections in each form, in a working folder with photos and annotations."""
    folder = tmp_path_factory.mktemp("forms")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        images = write_photos(Path("photos"))
        Path("gt.json").write_text(json.dumps({"images": images, "categories": CATEGORIES, "annotations": TRUE}))
        Path("dets.json").write_text(json.dumps(ROWS))
        for to in WRITTEN:
            done = risf("convert", "dets.json", to, "--to", to, "--annotations", "gt.json")
            assert done.exit_code == 0, done.output
        for name, line in {"cartucho": cartucho, "kitti": kitti}.items():
            Path(name).mkdir()
            for stem, lines in of_photos(line).items():
                Path(name, f"{stem}.txt").write_text("".join(f"{line}\n" for line in lines))
        columns = {"boxes": corners, "scores": lambda r: r["score"], "text_labels": lambda r: NAME[r["category_id"]]}
        by_photo = {
            f"{stem}.jpg": {key: [get(row) for row in rows] for key, get in columns.items()}
            for stem, rows in of_photos(lambda row: row).items()
        }
        Path("transformers-results").write_text(json.dumps(by_photo))
    return {name: str(folder / name) for name in (*WRITTEN, "cartucho", "kitti", "transformers-results")}


def by_box(rows: list[dict]) -> dict[tuple, float]:
    return {(row["image_id"], row["category_id"], round(row["bbox"][0], 2)): row["score"] for row in rows}


def test_the_same_detections_have_the_same_ap_in_every_form(risf, files):
    folder = Path(files["coco"]).parent
    done = risf("evaluate", *files.values(), "--annotations", folder / "gt.json", "--bootstrap", 0, "--json")
    assert done.exit_code == 0, done.output
    content = json.loads(done.stdout)
    assert len(content["results"]) == 15
    for recognised, name in zip(content["recognised"], files, strict=True):
        assert f"`format={'coco' if name == 'lvis' else name}`" in recognised
    first = content["results"][0]["metrics"]
    # by hand: each class has one box; the cat's is found first, the tvmonitor's by the better of two
    assert first["AP50"] == pytest.approx(1)
    assert all(result["metrics"] == first for result in content["results"])


@pytest.mark.parametrize("form", [*WRITTEN, "cartucho", "kitti", "transformers-results"])
def test_the_same_detections_get_the_same_scores_in_every_form(risf, files, tiny, form):
    folder = Path(files["coco"]).parent
    given = [
        *("--annotations", folder / "gt.json", "--images", folder / "photos", "--min-score", 0),
        *("--clip-config", tiny[0], "--clip-weights", tiny[1], "--device", "cpu", "--precision", "fp32"),
    ]
    expected = by_box(json.loads(risf("rescore", folder / "dets.json", *given).stdout))
    done = risf("rescore", files[form], *given, "--to", "coco", "--out", folder / f"{form}.after.json")
    assert done.exit_code == 0, done.output
    assert by_box(json.loads((folder / f"{form}.after.json").read_text())) == pytest.approx(expected, abs=1e-12)
    assert expected != by_box(ROWS)
    record = json.loads((folder / f"{form}.after.json.record.json").read_text())
    assert f"`format={'coco' if form == 'lvis' else form}`" in record["matching"]["recognised"]


@pytest.mark.parametrize("form", ["ultralytics-txt", "voc-txt", "label-studio"])
def test_the_result_goes_back_in_the_form_that_came_in(risf, files, tiny, form, tmp_path):
    folder = Path(files["coco"]).parent
    given = [
        *("--annotations", folder / "gt.json", "--images", folder / "photos"),
        *("--clip-config", tiny[0], "--clip-weights", tiny[1], "--device", "cpu", "--precision", "fp32"),
    ]
    done = risf("rescore", files[form], *given, "--out", tmp_path / "after")
    assert done.exit_code == 0, done.output
    convert = risf("convert", tmp_path / "after", "-", "--to", "coco", "--annotations", folder / "gt.json")
    expected = by_box(json.loads(risf("rescore", folder / "dets.json", *given).stdout))
    assert by_box(json.loads(convert.stdout)) == pytest.approx(expected, abs=1e-12)


def test_what_cannot_be_written_is_said_before_the_encoder_is_loaded(risf, files):
    folder = Path(files["coco"]).parent
    (folder / "none.pt").write_bytes(b"\0 not weights")
    given = ["--annotations", folder / "gt.json", "--images", folder / "photos", "--clip-weights", folder / "none.pt"]
    done = risf("rescore", files["voc-txt"], *given)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "error: stdout: voc-txt" in done.stderr
    stranger = json.dumps([{**ROWS[0], "category_id": 3}, *ROWS])
    done = risf("rescore", "-", *given, "--on-unmatched", "keep", "--to", "openimages", stdin=stranger)
    assert "a row of an unknown category" in done.stderr


def empty_folder() -> str:
    Path("empty").mkdir()
    return "empty"


def eval_pth() -> str:
    import torch

    torch.save({"params": 1, "counts": [1], "precision": torch.zeros(2), "recall": torch.zeros(2)}, "eval.pth")
    return "eval.pth"


def text(name: str, content: object) -> str:
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content if isinstance(content, str) else json.dumps(content))
    return name


def coco(**changes: object) -> str:
    return text("d.json", [{**ROWS[0], **changes}])


LINE = "0 .5 .5 .2 .2"
BAD = {
    "an empty folder": (empty_folder, ["empty: the folder is empty"]),
    "no detections": (eval_pth, ["eval.pth", "precision and recall"]),
    "a file that is not there": (lambda: "none.json", ["none.json: there is no such detections file"]),
    "an unknown form": (lambda: text("d.csv", "a,b\n1,2\n"), ["d.csv", "--format", "supervision-csv"]),
    "a broken line": (lambda: text("t/5.txt", f"{LINE} .5\n0 .5 .5 .2\n") and "t", ["5.txt: line 2: 4 columns"]),
    "columns of two meanings": (
        lambda: text("t/5.txt", f"{LINE} 1\n") and "t",
        ["confidence or a track id", "--format ultralytics-txt-conf"],
    ),
    "ids from 0": (lambda: coco(category_id=0), ["category_id 0", "--category-ids positions"]),
    "an unknown class": (lambda: coco(category_name="tv monitor"), ["'tv monitor'", "'tvmonitor'", "--rename"]),
    "a photo named twice": (
        lambda: text("t/000000000005.txt", f"{LINE} .5\n") and text("t/5.txt", f"{LINE} .5\n") and "t",
        ["'000000000005' and '5' are both image 5"],
    ),
    "another photo": (lambda: coco(file_name="x/6.jpg", image_id="x", category_id=7), ["'x'", "(5, 9)"]),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_one_line_with_the_way_out(risf, files, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    make, words = BAD[case]
    done = risf("evaluate", make(), "--annotations", Path(files["coco"]).parent / "gt.json")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.count("error: ") == 1
    assert all(word in done.stderr for word in words), done.stderr
