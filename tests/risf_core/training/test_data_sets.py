"""What a run trains on, and by what it is known again when it is resumed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest
from PIL import Image

from risf_core.config import ConfigInForce, DataConfig, read_config
from risf_core.datasets.coco import read_coco_dataset
from risf_core.engines.train import train
from risf_core.errors import ConfigError, DataError
from risf_core.splits import SplitSettings, prepare_splits
from risf_core.splits.manifest import Manifest, read_manifest
from risf_core.training.data_sets import read_training_data
from risf_core.training.plan import TrainingChoice, plan_finetuning, read_plan
from tests.messages import assert_names
from tests.risf_core.training.conftest import SMALL
from tests.risf_core.training.shapes import NOVEL, write_shapes
from tests.risf_core.training.test_resume import Stop, stop_at

OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>5</ymin><xmax>{right}</xmax><ymax>60</ymax></bndbox>"
    "</object>"
)


@pytest.fixture
def tfa_coco(tmp_path: Path) -> DataConfig:
    """A split in TFA's layout alone, as risf writes it."""
    dataset = read_coco_dataset(write_shapes(tmp_path, name="train", photos=40, seed=1))
    settings = SplitSettings(novel=",".join(NOVEL), shots=(1, 2), seeds=(0,), layouts=("tfa",))
    prepare_splits(dataset, tmp_path / "split", settings=settings)
    return DataConfig(
        "few-shot", split=tmp_path / "split", images=(tmp_path / "photos",), novel=",".join(NOVEL), shots=2
    )


@pytest.fixture
def tfa_voc(tmp_path: Path) -> DataConfig:
    """TFA's lists of two novel classes, with the images and the annotations that they need."""
    for part in ("split/seed0", "VOC2007/Annotations", "VOC2007/JPEGImages"):
        (tmp_path / part).mkdir(parents=True)
    for number, name in enumerate(["cow", "cow", "sofa", "sofa"]):
        stem = f"{number:06}"
        things = OBJECT.format(name=name, x=10, right=60) + OBJECT.format(name="car", x=70, right=110)
        (tmp_path / f"VOC2007/Annotations/{stem}.xml").write_text(
            f"<annotation><size><width>128</width><height>96</height></size>{things}</annotation>"
        )
        Image.new("RGB", (128, 96), (40 * number, 90, 120)).save(tmp_path / f"VOC2007/JPEGImages/{stem}.jpg")
        with open(tmp_path / f"split/seed0/box_2shot_{name}_train.txt", "a") as handle:
            handle.write(f"datasets/VOC2007/JPEGImages/{stem}.jpg\n")
    return DataConfig("few-shot", split=tmp_path / "split", images=(tmp_path,), novel="cow,sofa", shots=2)


def swap_shots(split: Path) -> None:
    """Other boxes under the same names: those of one shot under the name of two."""
    shutil.copy(split / "seed0/full_box_1shot_red triangle_trainval.json",
                split / "seed0/full_box_2shot_red triangle_trainval.json")  # fmt: skip


def test_a_training_opens_its_split_once(tfa_coco: DataConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def counting(folder: Path) -> Manifest:
        read.append(folder)
        return read_manifest(folder)

    monkeypatch.setattr("risf_core.splits.folder.read_manifest", counting)
    choice = TrainingChoice(split=tfa_coco.split, images=tfa_coco.images, shots=2, weights=tfa_coco.split)
    plan = plan_finetuning(choice)
    data = read_plan(plan)
    assert len(data.records) == 4
    assert read == [tfa_coco.split]


@pytest.mark.parametrize("with_manifest", [True, False])
def test_shots_in_tfas_layout_are_known_by_all_their_files(tfa_coco: DataConfig, with_manifest: bool) -> None:
    split = tfa_coco.split
    assert split is not None
    if not with_manifest:
        (split / "split.json").unlink()
    before = read_training_data(tfa_coco).inputs
    assert before == read_training_data(tfa_coco).inputs
    assert before.keys() == {"split"}
    swap_shots(split)
    assert read_training_data(tfa_coco).inputs["split"] != before["split"]


def test_vocs_lists_are_known_by_their_files_and_by_the_annotations(tfa_voc: DataConfig, tmp_path: Path) -> None:
    before = read_training_data(tfa_voc).inputs
    assert before.keys() == {"split", "annotations"}
    annotation = tmp_path / "VOC2007/Annotations/000002.xml"
    annotation.write_text(annotation.read_text().replace("<ymin>5<", "<ymin>9<"))
    moved = read_training_data(tfa_voc).inputs
    assert moved["annotations"] != before["annotations"]
    assert moved["split"] == before["split"]
    path = tmp_path / "split/seed0/box_2shot_sofa_train.txt"
    path.write_text("".join(sorted(path.read_text().splitlines(keepends=True), reverse=True)))
    assert read_training_data(tfa_voc).inputs["split"] != before["split"]


def test_a_base_set_without_a_file_of_its_own_is_known_by_what_it_was_drawn_from(
    tfa_coco: DataConfig, tmp_path: Path
) -> None:
    base = DataConfig("base", split=tfa_coco.split, images=tfa_coco.images)
    inputs = read_training_data(base).inputs
    assert inputs.keys() == {"split", "annotations"}
    assert inputs["annotations"] == hashlib.sha256((tmp_path / "train.json").read_bytes()).hexdigest()


def test_vocs_lists_without_annotations_name_the_option_that_brings_them(tfa_voc: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_training_data(DataConfig("few-shot", split=tfa_voc.split, novel="cow,sofa", shots=2))
    assert_names(str(caught.value), f"{tmp_path}/split", "`images`", "images")


def config_of(data: DataConfig, *overrides: str) -> ConfigInForce:
    stated = [f"data.setting={data.setting}", f"data.split={data.split}", f"data.images={data.images[0]}",
              f"data.novel={data.novel}", "data.shots=2"]  # fmt: skip
    return read_config(overrides=[*SMALL, *stated, *overrides])


def test_resuming_with_other_shots_in_tfas_layout_is_refused(tfa_coco: DataConfig, tmp_path: Path) -> None:
    split = tfa_coco.split
    assert split is not None
    (split / "split.json").unlink()
    with pytest.raises(Stop):
        train(config_of(tfa_coco), tmp_path / "run", hooks=stop_at(3))
    swap_shots(split)
    with pytest.raises(ConfigError, match=r"begun with other settings: inputs\.split \(was"):
        train(config_of(tfa_coco), tmp_path / "run", resume=True)


def test_resuming_with_other_voc_annotations_is_refused(tfa_voc: DataConfig, tmp_path: Path) -> None:
    with pytest.raises(Stop):
        train(config_of(tfa_voc), tmp_path / "run", hooks=stop_at(3))
    annotation = tmp_path / "VOC2007/Annotations/000002.xml"
    annotation.write_text(annotation.read_text().replace("<ymin>5<", "<ymin>9<"))
    with pytest.raises(ConfigError, match=r"begun with other settings: inputs\.annotations \(was"):
        train(config_of(tfa_voc), tmp_path / "run", resume=True)


def test_resuming_with_other_held_out_images_or_names_of_the_weights_classes_is_refused(
    scenes: Path, small, tmp_path: Path
) -> None:
    held_out, classes = tmp_path / "held_out.json", tmp_path / "classes.txt"
    held_out.write_bytes((scenes / "instances.json").read_bytes())
    classes.write_text("cat\n")
    config = small("solver.evaluate_every=2", f"data.held_out={held_out}", "data.held_out_images=2",
                   f"model.weights_classes={classes}")  # fmt: skip
    with pytest.raises(Stop):
        train(config, tmp_path / "run", hooks=stop_at(3))
    held_out.write_text(held_out.read_text() + " ")
    classes.write_text("dog\n")
    with pytest.raises(ConfigError, match=r"settings: inputs\.held_out \(.*\), inputs\.weights_classes \("):
        train(config, tmp_path / "run", resume=True)
