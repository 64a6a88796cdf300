"""Small data sets in the forms that people have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

WriteJson = Callable[..., Path]


@pytest.fixture
def write_json(tmp_path: Path) -> WriteJson:
    def write(name: str, content: object) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.fixture
def voc_folder(tmp_path: Path) -> Path:
    """A VOC root with one image of 2007 (a dog, a difficult cat) and one of 2012 (a dog of a single pixel)."""

    def annotate(year: str, stem: str, objects: str) -> None:
        folder = tmp_path / f"VOC{year}"
        for name in ("Annotations", "ImageSets/Main", "JPEGImages"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "Annotations" / f"{stem}.xml").write_text(
            f"<annotation><folder>VOC{year}</folder><filename>{stem}.jpg</filename>"
            f"<size><width>50</width><height>40</height><depth>3</depth></size>{objects}</annotation>"
        )
        with open(folder / "ImageSets/Main/trainval.txt", "a") as handle:
            handle.write(f"{stem}\n")
        Image.new("RGB", (50, 40)).save(folder / "JPEGImages" / f"{stem}.jpg")

    def thing(name: str, box: tuple[int, int, int, int], difficult: int = 0) -> str:
        sides = "".join(
            f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        return f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{sides}</bndbox></object>"

    annotate("2007", "000012", thing("dog", (1, 1, 20, 30)) + thing("cat", (5, 6, 10, 12), difficult=1))
    annotate("2012", "2008_000003", thing("dog", (7, 7, 7, 7)))
    return tmp_path


@pytest.fixture
def yolo_folder(tmp_path: Path) -> Path:
    """A YOLO data set of two classes: an image 100 x 50 with a box and a polygon, one without a label file."""
    for name in ("train/images", "train/labels"):
        (tmp_path / name).mkdir(parents=True)
    Image.new("RGB", (100, 50)).save(tmp_path / "train/images/0007.jpg")
    Image.new("RGB", (30, 60)).save(tmp_path / "train/images/street.png")
    (tmp_path / "train/labels/0007.txt").write_text("1 0.5 0.5 0.2 0.4\n0 0.1 0.2 0.3 0.2 0.3 0.8\n\n")
    (tmp_path / "data.yaml").write_text("path: /somewhere/else\ntrain: ../train/images\nnames:\n  0: car\n  1: bus\n")
    return tmp_path
