"""Odd files of labelled boxes: every command that reads one says the same, in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import Run

Document = dict[str, Any]
COMMANDS = {
    "evaluate": "evaluate dets.json --annotations odd.json",
    "report": "report dets.json dets.json --annotations odd.json --images photos --out page.html",
    "tune": "tune dets.json --annotations odd.json --images photos --out fusion.json",
    "prepare-splits": "prepare-splits --coco odd.json --novel dog --shots 1 --out split",
    "rescore": "rescore dets.json --annotations gt.json --images photos --support odd.json",
    "base-train": "base-train --set data.split=none --set data.coco=[odd.json] --images photos --weights none",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: tuple[Path, Path]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    Image.new("RGB", (80, 60)).save("photos/a.png")
    Path("gt.json").write_text(json.dumps(document()))
    rows = [{"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20], "score": 0.5}]
    Path("dets.json").write_text(json.dumps(rows))
    Path("risf.yaml").write_text(f"clip-config: {tiny[0]}\nclip_weights: {tiny[1]}\n")
    return tmp_path


def document() -> Document:
    box = {"image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 20]}
    return {
        "images": [{"id": 7, "file_name": "a.png", "height": 60, "width": 80}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": "dog"}],
        "annotations": [{**box, "id": 11}, {**box, "id": 12}, {**box, "id": 13, "category_id": 5}],
    }


def box(**content: object) -> Callable[[Document], object]:
    return lambda document: document["annotations"][1].update(content)


FAULTS: list[tuple[Callable[[Document], object], str]] = [
    (lambda d: d.pop("annotations"), "has no annotations list, so there are no boxes; a COCO dataset has one"),
    (lambda d: d.pop("images"), "has no list of images; a COCO dataset has images, annotations and categories"),
    (
        lambda d: d["categories"].append({"id": 9, "name": "cat"}),
        "class 'cat' has category ids 3 and 9; give each class its own name",
    ),
    (
        lambda d: d["categories"].append({"id": 3, "name": "cow"}),
        "category id 3 is both 'cat' and 'cow'; give each class its own id",
    ),
    (
        lambda d: d["annotations"].insert(1, [1, 2]),
        "annotations[1]: is [1, 2], not an object with image_id, category_id and bbox",
    ),
    (
        lambda d: d["annotations"][1].pop("bbox"),
        "annotation id 12: has no bbox; image_id, category_id and bbox are needed",
    ),
    (box(bbox=[1, 2, 3]), "annotation id 12: bbox [1, 2, 3] is not a list of 4 numbers [x, y, width, height]"),
    (
        box(bbox=[1, 2, True, 4]),
        "annotation id 12: bbox [1, 2, true, 4] is not a list of 4 numbers [x, y, width, height]",
    ),
    (
        box(bbox=[1, 2, -3, 4]),
        "annotation id 12: bbox [1, 2, -3, 4] has a negative width or height; a box is [x, y, width, height]",
    ),
    (box(bbox=[1, 2, float("nan"), 4]), "annotation id 12: bbox [1, 2, NaN, 4] has a number that is not finite"),
    (
        lambda d: d["annotations"][1].update(id=None, bbox=[1, 2, float("inf"), 4]),
        "annotations[1]: bbox [1, 2, Infinity, 4] has a number that is not finite",
    ),
    (box(area="large"), 'annotation id 12: area is "large", not a number of square pixels'),
    (box(area=True), "annotation id 12: area is true, not a number of square pixels"),
    (box(iscrowd="some"), 'annotation id 12: iscrowd is "some", not 0 or 1'),
    (box(image_id=[7]), "annotation id 12: image_id is [7], not a whole number or a string"),
    (
        box(category_id="cow"),
        'annotation id 12: category_id is "cow", not a whole number or the name of a category',
    ),
    (
        lambda d: [row.update(bbox=[x, 50, 30, 5]) for x, row in zip((55, 60, 64), d["annotations"], strict=True)],
        "3 of 3 boxes reach beyond their image as [x, y, width, height], such as [55.0, 50.0, 30.0, 5.0] of an image "
        "80 x 60: they look like a centre and sides [cx, cy, width, height]; write [x, y, width, height]",
    ),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_faulty_file_in_the_same_words(risf: Run, folder: Path, command: str) -> None:
    said = []
    for change, _ in FAULTS:
        odd = document()
        change(odd)
        Path("odd.json").write_text(json.dumps(odd))
        result = risf(*COMMANDS[command].split())
        assert result.exit_code == 1, result.output
        said.append(result.stderr.strip().splitlines()[-1])
    assert said == [f"error: odd.json: {message}" for _, message in FAULTS]
