"""`risf config`: what is in force, from where, and all faults at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from risf_core.config import published_config, read_config
from tests.conftest import Run
from tests.messages import assert_names


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_config_prints_yaml_that_reads_back_with_the_origin_of_each_value(risf: Run, tmp_path: Path) -> None:
    done = risf("config", "coco/fsod", "--shots", 4, "--set", "solver.batch=8")
    assert done.exit_code == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("iterations: 2250" in line and "# published coco schedule, few-shot, 4 shots" in line for line in lines)
    assert any("batch: 8 " in line and line.endswith("# --set") for line in lines)
    assert any("learning_rate: 0.01" in line and line.endswith("# configs/coco/fsod.yaml") for line in lines)
    assert any("short_sides" in line and line.endswith("# configs/coco/base.yaml") for line in lines)
    assert any("momentum" in line and line.endswith("# default") for line in lines)
    assert "note: the coco schedule (few-shot) has no row for 4 shots" in done.stderr
    (tmp_path / "again.yaml").write_text(done.stdout)
    assert read_config(tmp_path / "again.yaml").values.solver.batch == 8


def test_config_as_json(risf: Run) -> None:
    done = risf("config", "voc/base", "--json")
    found = json.loads(done.stdout)
    assert found["solver.iterations"] == {"value": 15000, "from": "configs/voc/base.yaml"}
    assert {key: entry["value"] for key, entry in found.items()} == read_config(
        published_config("voc/base")
    ).values.flat()


def test_three_errors_of_a_config_are_one_line(risf: Run, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("loss: {gama: 2}\nsolver: {batch: 0}\nmodle: {}\n")
    done = risf("config", "c.yaml")
    assert done.exit_code == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert_names(line, "c.yaml", "'gama'", "'gamma'", "'modle'", "'model'", "1", "0")


def test_without_a_file_the_options_of_this_folder_are_shown(risf: Run, tmp_path: Path) -> None:
    (tmp_path / "risf.yaml").write_text("novel: coco20\nevaluate: {max_dets: '300'}\n")
    (tmp_path / "datasets/cocosplit/datasplit").mkdir(parents=True)
    (tmp_path / "datasets/cocosplit/datasplit/5k.json").write_text("{}")
    done = risf("config")
    assert done.exit_code == 0, done.stderr
    assert yaml.safe_load(done.stdout)["evaluate"] == {
        "annotations": "datasets/cocosplit/datasplit/5k.json", "novel": "coco20", "max-dets": 300,
    }  # fmt: skip
    lines = [line for line in done.stdout.split("evaluate:")[1].splitlines() if line.startswith("  ")]
    assert [line.split("# ")[1] for line in lines[:3]] == ["layout", "risf.yaml", "risf.yaml"]


def test_numbers_of_a_folder_are_shown_as_numbers(risf: Run, tmp_path: Path) -> None:
    (tmp_path / "risf.yaml").write_text("rescore: {alpha: 0.6, min_score: 0, crop: pad}\nworkers: 3\n")
    done = risf("config")
    assert done.stderr == ""
    stated = {"alpha": 0.6, "min-score": 0, "crop": "pad", "workers": 3}
    assert yaml.safe_load(done.stdout)["rescore"] == stated
    assert "  alpha: 0.6 " in done.stdout
    found = json.loads(risf("config", "--json").stdout)
    assert found["rescore --alpha"] == {"value": 0.6, "from": "risf.yaml"}


def test_a_folder_without_settings_says_so(risf: Run, tmp_path: Path) -> None:
    done = risf("config")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "note: there is no risf.yaml here: the options' own defaults apply\n"
    (tmp_path / "detections.json").write_text("[]")
    done = risf("config")
    assert "detections" in done.stdout
    assert done.stderr.endswith("the options' own defaults apply, and what is shown of the published layout\n")
