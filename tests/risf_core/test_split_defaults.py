"""Where a split lies when nobody says so: what is written is what is read next."""

from __future__ import annotations

from pathlib import Path

import pytest

from risf_core.project import PUBLISHED_LAYOUT, load_project
from risf_core.splits.data_files import default_split_folder
from risf_core.vocabulary import NOVEL_SETS

COMMANDS = ["prepare-splits", "finetune"]


def split_of(folder: Path) -> object:
    options = dict.fromkeys(("split", "novel"), str)
    return load_project(folder).defaults("finetune", options, commands=COMMANDS).get("split")


def test_every_split_that_is_written_is_looked_for() -> None:
    root = Path("datasets")
    written = [default_split_folder(root, name).as_posix() for name in (*NOVEL_SETS, "own")]
    assert [f"datasets/{place}" for place in PUBLISHED_LAYOUT["split"]] == written


@pytest.mark.parametrize("name", ["coco20", "voc3", "own"])
def test_the_split_that_is_there_is_the_default(tmp_path: Path, name: str) -> None:
    assert split_of(tmp_path) is None
    default_split_folder(tmp_path / "datasets", name).mkdir(parents=True)
    assert split_of(tmp_path) == f"datasets/risfsplit/{name}"


def test_a_novel_set_in_force_takes_no_split_of_another(tmp_path: Path) -> None:
    for name in ("coco20", "voc2"):
        default_split_folder(tmp_path / "datasets", name).mkdir(parents=True)
    (tmp_path / "risf.yaml").write_text("novel: voc2\n")
    assert split_of(tmp_path) == "datasets/risfsplit/voc2"
    (tmp_path / "risf.yaml").write_text("novel: voc1\n")
    assert split_of(tmp_path) is None


def test_the_default_split_follows_a_novel_set_that_is_asked_for(tmp_path: Path) -> None:
    for name in ("voc1", "voc2"):
        default_split_folder(tmp_path / "datasets", name).mkdir(parents=True)
    project = load_project(tmp_path)
    found = [project.default_split("finetune", novel=novel) for novel in (None, "voc2", "voc3", "cat,dog")]
    assert found == [Path("datasets/risfsplit") / name if name else None for name in ("voc1", "voc2", None, "voc1")]
    (tmp_path / "risf.yaml").write_text("novel: voc3\nfinetune:\n  novel: voc2\n")
    assert split_of(tmp_path) == "datasets/risfsplit/voc2"
    assert load_project(tmp_path).default_split("base-train") is None


def test_the_split_of_risf_yaml_is_where_prepare_splits_writes(tmp_path: Path) -> None:
    (tmp_path / "risf.yaml").write_text("split: my/split\n")
    project = load_project(tmp_path)
    assert project.defaults("prepare-splits", {"out": str, "novel": str}, commands=COMMANDS) == {"out": "my/split"}
    assert split_of(tmp_path) == "my/split"
