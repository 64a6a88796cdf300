"""The golden data: made COCO and VOC data and what TFA's own scripts draw from it."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.voc import read_voc_dataset

EXPECTED = Path(__file__).parents[2] / "data" / "expected_splits"

WriteCoco = Callable[..., Path]


@pytest.fixture(scope="session")
def coco_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("coco") / "trainvalno5k.json"
    with gzip.open(EXPECTED / "coco_like.json.gz") as packed, open(path, "wb") as handle:
        shutil.copyfileobj(packed, handle)
    return path


@pytest.fixture(scope="session")
def coco(coco_file: Path) -> AnnotatedDataset:
    return read_coco_dataset(coco_file)


@pytest.fixture(scope="session")
def voc_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("voc")
    with tarfile.open(EXPECTED / "voc_like.tar.gz") as packed:
        packed.extractall(root, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return root


@pytest.fixture(scope="session")
def voc(voc_root: Path) -> AnnotatedDataset:
    return read_voc_dataset(voc_root)


@pytest.fixture(scope="session")
def tfa_coco() -> dict[str, dict[str, list[int]]]:
    """File name -> the image ids and annotation ids that TFA's script writes there, in order."""
    return json.loads(gzip.decompress((EXPECTED / "tfa_coco_expected.json.gz").read_bytes()))


@pytest.fixture(scope="session")
def tfa_voc() -> dict[str, list[str]]:
    """File name -> the lines that TFA's script writes there."""
    return json.loads(gzip.decompress((EXPECTED / "tfa_voc_expected.json.gz").read_bytes()))


@pytest.fixture
def write_coco(tmp_path: Path) -> WriteCoco:
    """Writes a COCO file of boxes given as image id -> class names; returns its path."""

    def write(boxes: dict[int, list[str]], *, name: str = "own.json", **changes: Any) -> Path:
        names = sorted({class_name for of_image in boxes.values() for class_name in of_image})
        ids = {class_name: 10 * place + 3 for place, class_name in enumerate(names)}  # categories with gaps
        annotations = [
            {"id": 100 * image + place, "image_id": image, "category_id": ids[class_name], "bbox": [place, 2, 5.5, 7]}
            for image, of_image in boxes.items()
            for place, class_name in enumerate(of_image)
        ]
        content = {
            "images": [{"id": i, "file_name": f"{i:04}.jpg", "height": 40, "width": 60} for i in boxes],
            "annotations": annotations,
            "categories": [{"id": category_id, "name": class_name} for class_name, category_id in ids.items()],
        }
        path = tmp_path / name
        path.write_text(json.dumps({**content, **changes}))
        return path

    return write
