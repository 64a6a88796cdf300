"""The demo's files: COCO JSON, labelled in full, with novel objects that lose their labels in a split."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from risf_core.datasets.coco import read_coco_dataset
from risf_core.demo.dataset import CLASSES, MadeDataset, make_dataset
from risf_core.demo.things import BASE, NOVEL
from risf_core.splits import open_split
from risf_core.splits.prepare import SplitSettings, prepare_splits


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeDataset:
    return make_dataset(tmp_path_factory.mktemp("made"), train_photos=50, test_photos=12, seed=0)


def test_pycocotools_reads_both_files_and_every_photo_is_there(
    made: MadeDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    for file, count in ((made.train, 50), (made.test, 12)):
        coco = COCO(str(file))
        assert len(coco.imgs) == count
        assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == list(CLASSES)
        for annotation in coco.anns.values():
            image = coco.imgs[annotation["image_id"]]
            x, y, width, height = annotation["bbox"]
            assert 0 <= x < x + width <= image["width"]
            assert 0 <= y < y + height <= image["height"]
            assert 0 < annotation["area"] <= width * height
        assert all((made.photos / image["file_name"]).is_file() for image in coco.imgs.values())
    assert not set(COCO(str(made.train)).imgs) & set(COCO(str(made.test)).imgs)
    capsys.readouterr()


def test_the_same_seed_writes_the_same_bytes(made: MadeDataset, tmp_path: Path) -> None:
    again = make_dataset(tmp_path, train_photos=50, test_photos=12, seed=0)
    assert again.train.read_bytes() == made.train.read_bytes()
    assert again.test.read_bytes() == made.test.read_bytes()
    for photo in sorted(made.photos.iterdir())[::10]:
        assert (again.photos / photo.name).read_bytes() == photo.read_bytes()


def test_base_and_few_shot_images_hold_novel_objects_without_a_label(made: MadeDataset, tmp_path: Path) -> None:
    settings = SplitSettings(novel=",".join(NOVEL), shots=(1,), seeds=(0,))
    prepare_splits(read_coco_dataset(made.train), tmp_path / "split", settings=settings)
    truth = json.loads(made.train.read_text())
    names = {category["id"]: category["name"] for category in truth["categories"]}
    of_image: dict[int, list[str]] = {}
    for annotation in truth["annotations"]:
        of_image.setdefault(annotation["image_id"], []).append(names[annotation["category_id"]])

    base = open_split(tmp_path / "split").base()
    assert set(base.vocabulary.names) == set(BASE)
    base_ids = [info.image_id for info in base.images]
    unlabelled = sum(name in NOVEL for image_id in base_ids for name in of_image[image_id])
    assert len(base.labels) == sum(name in BASE for image_id in base_ids for name in of_image[image_id])
    assert unlabelled > 20

    shots = open_split(tmp_path / "split").read(seed=0).boxes
    shown = sum(len(of_image[info.image_id]) for info in shots.images)
    assert len(shots.labels) == len(CLASSES)  # one of each
    assert shown > 2 * len(shots.labels)  # the others are there, without a label
