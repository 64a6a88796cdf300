"""A Pascal VOC folder in place of a COCO JSON, from photos to figures: predict, rescore, evaluate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.vocabulary import ClassVocabulary
from tests.conftest import Run
from tests.lively import lively_detector, random_photo

XML = """<annotation><folder>VOC2007</folder><filename>{stem}.jpg</filename>
<size><width>180</width><height>120</height><depth>3</depth></size>
<object><name>dog</name><difficult>0</difficult>
<bndbox><xmin>31</xmin><ymin>21</ymin><xmax>100</xmax><ymax>80</ymax></bndbox></object></annotation>"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """VOC2007 with two test images and one of training, and a run that knows cars and dogs."""
    voc = tmp_path / "datasets/VOC2007"
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / part).mkdir(parents=True)
    for seed, stem in enumerate(("000004", "000006", "000007")):
        (voc / f"Annotations/{stem}.xml").write_text(XML.format(stem=stem))
        Image.fromarray(random_photo((120, 180), seed)).save(voc / f"JPEGImages/{stem}.jpg")
    (voc / "Annotations/000007.xml").write_text(XML.format(stem="000007").replace("dog", "car"))
    (voc / "ImageSets/Main/test.txt").write_text("000004\n000006\n")
    model = lively_detector(ARCHITECTURES["small"], classes=2)
    vocabulary = ClassVocabulary.from_names(["car", "dog"])
    write_checkpoint(
        Checkpoint(tmp_path / "run", "defrcn", model.state_dict(), ARCHITECTURES["small"], vocabulary),
        tmp_path / "run",
        form="run",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_predict_rescore_and_evaluate_on_its_test_images(risf: Run, folder: Path, tiny: tuple[Path, Path]) -> None:
    def run(*arguments: object) -> str:
        done = risf(*arguments)
        assert done.exit_code == 0, done.stderr
        return done.stdout

    config, weights = tiny
    voc = ["--annotations", "datasets"]
    photos = ["--images", "datasets/VOC2007/JPEGImages"]
    run("predict", "--weights", "run", *voc, *photos, "--device", "cpu", "--min-score", 0, "--max-dets", 9)
    before = json.loads((folder / "detections.json").read_text())
    assert {row["image_id"] for row in before} == {"000004", "000006"}
    assert {row["category_id"] for row in before} <= {1, 2}  # car and dog, as all annotations of the folder name them
    encoder = ["--clip-config", config, "--clip-weights", weights, "--device", "cpu", "--cache", "none"]
    run("rescore", "detections.json", *voc, *photos, *encoder, "--min-score", 0, "--out", "after.json")
    after = json.loads((folder / "after.json").read_text())
    assert [row["bbox"] for row in after] == [row["bbox"] for row in before]
    assert all("score_clip" in row for row in after)
    record = json.loads((folder / "after.json.record.json").read_text())
    assert {"path": "datasets", "sha256": None} in record["inputs"].values()
    figures = json.loads(run("evaluate", "detections.json", "after.json", *voc, "--protocol", "voc", "--json"))
    assert [result["detections"] for result in figures["results"]] == ["detections.json", "after.json"]
    assert (figures["images"], figures["boxes"]) == (2, 2)


def test_which_list_of_a_voc_folder_is_evaluated_on_is_said_once(risf: Run, folder: Path) -> None:
    voc = folder / "datasets/VOC2007"
    (folder / "found.json").write_text(
        json.dumps([{"image_id": "000006", "category_id": 2, "bbox": [30, 20, 70, 60], "score": 0.9}])
    )
    (voc / "ImageSets/Main/test.txt").rename(voc / "ImageSets/Main/val.txt")
    done = risf("evaluate", "found.json", "--annotations", voc)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.splitlines()[0] == f"note: {voc}: read by its list ImageSets/Main/val.txt, 2 images"
    assert done.stderr.count("val.txt") == 1
    assert "note:" not in risf("evaluate", "found.json", "--annotations", voc, "--quiet").stderr
