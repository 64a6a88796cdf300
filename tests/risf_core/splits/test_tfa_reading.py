"""The published seed 0 is read where it is there, and only drawn where it is not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import DataError
from risf_core.splits import SplitSettings, open_split, prepare_splits
from tests.messages import assert_names


@pytest.fixture(scope="module")
def cocosplit(coco: AnnotatedDataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as TFA publishes it, seed 0 in its root: the shots are seed 77's, which no draw of seed 0 gives."""
    root = tmp_path_factory.mktemp("published")
    settings = SplitSettings(seeds=(77,), layouts=("tfa",))
    prepare_splits(coco, root / "drawn", settings=settings)
    shutil.copytree(root / "drawn/seed77", root / "cocosplit")
    return root / "cocosplit"


@pytest.mark.parametrize("place", ["", "seed0"])
def test_seed_0_is_the_published_one(coco: AnnotatedDataset, cocosplit: Path, tmp_path: Path, place: str) -> None:
    published = cocosplit
    if place:  # where DeFRCN wants it
        published = tmp_path / "cocosplit"
        shutil.copytree(cocosplit, published / place)
    settings = SplitSettings(seeds=(0, 1), layouts=("risf", "tfa"), published=published)
    prepared = prepare_splits(coco, tmp_path / "s", settings=settings)
    shots = open_split(tmp_path / "s").read(seed=0)
    for count in (1, 2, 3, 5, 10, 30):
        for label, name in enumerate(shots.boxes.vocabulary.names):
            file = f"full_box_{count}shot_{name}_trainval.json"
            expected = [row["id"] for row in json.loads((cocosplit / file).read_text())["annotations"]]
            assert shots.boxes.annotation_ids[shots.rows[count][label]].tolist() == expected
            written = json.loads((tmp_path / "s/seed0" / file).read_text())
            assert written == json.loads((cocosplit / file).read_text())
    assert {mark.kind for mark in shots.marks} == {"published"}
    assert prepared.seeds[1].marks == ()
    assert prepared.manifest.published


def test_counts_that_were_not_published_are_drawn_around_the_published_ones(
    coco: AnnotatedDataset, cocosplit: Path, tmp_path: Path
) -> None:
    settings = SplitSettings(shots=(3, 4, 5), seeds=(0,), published=cocosplit)
    shots = prepare_splits(coco, tmp_path / "s", settings=settings).seeds[0]
    for three, four, five in zip(shots.rows[3], shots.rows[4], shots.rows[5], strict=True):
        assert set(three.tolist()) < set(four.tolist()) < set(five.tolist())


def test_classes_that_were_not_published_are_drawn_and_marked(
    coco: AnnotatedDataset, cocosplit: Path, tmp_path: Path
) -> None:
    shutil.copytree(cocosplit, tmp_path / "cocosplit")
    (tmp_path / "cocosplit/full_box_3shot_zebra_trainval.json").unlink()
    settings = SplitSettings(shots=(3,), seeds=(0,), published=tmp_path / "cocosplit")
    shots = prepare_splits(coco, tmp_path / "s", settings=settings).seeds[0]
    assert {mark.kind: len(mark.classes) for mark in shots.marks} == {"published": 79, "not-published": 1}


def test_published_files_of_other_data_are_refused(coco: AnnotatedDataset, cocosplit: Path, tmp_path: Path) -> None:
    shutil.copytree(cocosplit, tmp_path / "cocosplit")
    path = tmp_path / "cocosplit/full_box_1shot_cat_trainval.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["bbox"][0] += 1
    path.write_text(json.dumps(content))
    settings = SplitSettings(shots=(1,), seeds=(0,), published=tmp_path / "cocosplit")
    with pytest.raises(DataError) as caught:
        prepare_splits(coco, tmp_path / "s", settings=settings)
    assert_names(str(caught.value), path, content["annotations"][0]["id"], "`published=none`", "0")


def test_published_voc_lists_are_read_and_frozen(voc: AnnotatedDataset, tmp_path: Path) -> None:
    settings = SplitSettings(seeds=(77,), layouts=("tfa",))
    prepare_splits(voc, tmp_path / "drawn", settings=settings)
    shutil.copytree(tmp_path / "drawn/seed77", tmp_path / "vocsplit")
    settings = SplitSettings(seeds=(0,), layouts=("risf", "tfa"), published=tmp_path / "vocsplit")
    shots = prepare_splits(voc, tmp_path / "s", settings=settings).seeds[0]
    assert {mark.kind for mark in shots.marks} >= {"published"}
    for path in (tmp_path / "vocsplit").iterdir():
        assert (tmp_path / "s/seed0" / path.name).read_text() == path.read_text()
