"""One call reads any form, from stdin too; one writes it; the table of the docs is that of the forms."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from risf_core.detections import Detections
from risf_core.errors import ConfigError, OutputError
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import read_detections_file, write_detections_file
from risf_core.formats.registry import FORMS
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
IMAGES = {40: ImageInfo(40, "val/0012.jpg", 100, 200), 10: ImageInfo(10, "val/0007.jpg", 50, 80)}
COCO = [{"image_id": 40, "category_id": 17, "bbox": [20.5, 10, 40, 40], "score": 0.5}]
SINK = [
    {
        "x_min": 20.5, "y_min": 10.0, "x_max": 60.5, "y_max": 50.0, "class_id": 0, "confidence": 0.5, "tracker_id": "",
        "class_name": "cat", "file_name": "0012.jpg",
    }
]  # fmt: skip


@pytest.mark.parametrize(("content", "form"), [(COCO, "coco"), (SINK, "supervision-json")])
def test_stdin_is_recognised_without_losing_its_beginning(content, form, monkeypatch):
    stream = io.BufferedReader(io.BytesIO(json.dumps(content).encode()))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
    read = read_detections_file("-", IMAGES, PETS)
    assert read.form.name == form
    assert read.detections.boxes_xywh.tolist() == [[20.5, 10, 40, 40]]
    assert read.outcome.startswith(f"stdin: {read.form.title} (`format={form}`): 1 detection of 1 photo (by ")


def test_a_file_goes_back_in_the_form_it_came_in(put):
    put("d.json", SINK)
    read = read_detections_file("d.json", IMAGES, PETS)
    rescored = read.with_detections(read.detections.with_scores(read.detections.scores / 2))
    write_detections_file("e.json", rescored.detections, PETS, IMAGES, to=rescored.form.name)
    assert json.loads(Path("e.json").read_text()) == [
        {**SINK[0], "confidence": 0.25, "file_name": "val/0012.jpg", "image_id": 40}
    ]


def test_cvat_xml_states_each_label_with_its_score_attribute(put):
    put("d.json", SINK)
    read = read_detections_file("d.json", IMAGES, PETS)
    many = ClassVocabulary(("cat", "a < b", *(f"class {number}" for number in range(999))), tuple(range(1001)))
    write_detections_file("d.xml", read.detections, many, IMAGES, to="cvat")
    labels = ElementTree.parse("d.xml").findall("meta/task/labels/label")
    assert [label.findtext("name") for label in labels] == list(many.names)
    assert {label.findtext("attributes/attribute/name") for label in labels} == {"score"}
    again = read_detections_file("d.xml", IMAGES, many)  # recognised, though its images come after 100 kilobytes
    assert again.form.name == "cvat"
    assert again.detections.boxes_xywh.tolist() == [[20.5, 10, 40, 40]]


@pytest.mark.parametrize("to", ["coco", "coco-dataset", "ultralytics-json", "supervision-json", "label-studio"])
def test_json_goes_to_stdout_too(to, put, monkeypatch):
    put("d.json", SINK)
    read = read_detections_file("d.json", IMAGES, PETS)
    stdout = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", stdout)
    write_detections_file("-", read.detections, PETS, IMAGES, to=to)
    assert json.loads(stdout.buffer.getvalue())
    assert not Path("-").exists()


@pytest.mark.parametrize("to", ["torchvision", "ultralytics-txt", "voc-txt"])
def test_what_is_no_text_is_not_written_to_stdout(to):
    with pytest.raises(OutputError, match="stdout: "):
        write_detections_file("-", Detections.empty(), PETS, IMAGES, to=to)


def test_a_stated_form_beats_recognition(put):
    put("d.json", COCO)
    assert read_detections_file("d.json", IMAGES, PETS, conventions=Conventions(format="lvis")).form.name == "lvis"


def test_a_form_that_is_only_read_is_not_written():
    with pytest.raises(ConfigError, match=r"`to` 'kitti': KITTI txt folder is read, not written; written are coco, "):
        write_detections_file("out", None, PETS, IMAGES, to="kitti")


def test_the_docs_list_every_form_with_what_it_keeps_and_loses():
    docs = (Path(__file__).parents[3] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = [line for line in docs.splitlines() if line.startswith("| `")][1:]
    assert rows == [
        f"| `{f.name}` | {f.title} | {'yes' if f.write else ''} | {f.written_by} | {f.keeps} | {f.loses} |"
        for f in FORMS
    ]
