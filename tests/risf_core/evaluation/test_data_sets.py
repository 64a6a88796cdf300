"""Several data sets in one evaluation against one evaluation of each."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from risf_core.errors import ConfigError, DataError
from risf_core.evaluation import EvaluationSettings, evaluate_files
from risf_core.evaluation.data_sets import evaluate_data_sets
from risf_core.files import sha256_of
from tests.conftest import Run

NAMES = ("cat", "dog")


def write_set(folder: Path, *, kept: int) -> None:
    """Two images with a box of each class, and two detections files that find the first `kept` boxes and all."""
    folder.mkdir()
    boxes = [
        {"id": 2 * image + label + 1, "image_id": image, "category_id": label + 1, "bbox": [50 * label, 0, 40, 40]}
        for image in range(2)
        for label in range(2)
    ]
    dataset = {
        "images": [{"id": image, "file_name": f"{image}.jpg", "height": 100, "width": 100} for image in range(2)],
        "annotations": [{**box, "area": 1600, "iscrowd": 0} for box in boxes],
        "categories": [{"id": label + 1, "name": name} for label, name in enumerate(NAMES)],
    }
    (folder / "gt.json").write_text(json.dumps(dataset))
    for name, count in (("seed0.json", kept), ("seed1.json", 4)):
        rows = [{**{key: box[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.5} for box in boxes]
        (folder / name).write_text(json.dumps(rows[:count]))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_set(tmp_path / "a", kept=2)
    write_set(tmp_path / "b", kept=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def listed(folder: Path, text: str) -> Path:
    (folder / "sets.yaml").write_text(text)
    return folder / "sets.yaml"


def ap(folder: Path, *files: str) -> list[float]:
    done = evaluate_files([folder / file for file in files], annotations=folder / "gt.json")
    return [file.metrics.overall["AP"] for file in done.files]


TWO = """
- {name: first, annotations: a/gt.json, detections: a/seed0.json}
- {name: second, annotations: b/gt.json, detections: b/seed0.json, novel: dog}
"""
SEEDS = """
- {annotations: a/gt.json, detections: [a/seed0.json, a/seed1.json]}
- {annotations: b/gt.json, detections: [b/seed0.json]}
"""


def test_the_mean_is_that_of_the_data_sets_and_a_group_counts_where_it_is(folder: Path) -> None:
    done = evaluate_data_sets(listed(folder, TWO))
    (first,), (second,) = ap(folder / "a", "seed0.json"), ap(folder / "b", "seed0.json")
    assert 0 < second < first < 1
    assert [own.name for own in done.sets] == ["first", "second"]
    assert done.means["AP"] == pytest.approx((first + second) / 2)
    assert done.means["nAP"] == done.sets[1].figures["nAP"].mean  # the first has no novel class


def test_seeds_are_averaged_within_a_data_set_before_the_data_sets_are(folder: Path) -> None:
    done = evaluate_data_sets(listed(folder, SEEDS), settings=EvaluationSettings(aggregate=True))
    seeds, (second,) = ap(folder / "a", "seed0.json", "seed1.json"), ap(folder / "b", "seed0.json")
    assert done.sets[0].figures["AP"].mean == pytest.approx(sum(seeds) / 2)
    assert done.means["AP"] == pytest.approx((sum(seeds) / 2 + second) / 2)


def test_the_command_prints_a_row_for_each_and_the_mean(folder: Path, risf: Run) -> None:
    listed(folder, TWO)
    done = risf("evaluate", "--datasets", "sets.yaml")
    assert done.exit_code == 0, done.output
    mean = evaluate_data_sets(folder / "sets.yaml").means["AP"]
    rows = [line.split() for line in done.stdout.splitlines() if line.strip()]
    assert [row[0] for row in rows if row[0] in ("first", "second", "mean")] == ["first", "second", "mean"]
    assert next(row for row in rows if row[0] == "mean")[1] == f"{100 * mean:.2f}"
    content = json.loads(risf("evaluate", "--datasets", "sets.yaml", "--json").stdout)
    assert content["mean"]["AP"] == mean
    assert content["datasets"]["first"]["results"][0]["rows"] == 2


@pytest.mark.parametrize("out", ["a/gt.json", "b/seed0.json", "sets.yaml"])
def test_no_file_of_the_list_is_overwritten(folder: Path, risf: Run, out: str) -> None:
    listed(folder, TWO)
    before = Path(out).read_bytes()
    done = risf("evaluate", "--datasets", "sets.yaml", "--out", out)
    assert done.exit_code == 1
    assert "would overwrite an input" in done.stderr
    assert Path(out).read_bytes() == before


def test_a_fusion_fitted_to_the_annotations_of_a_data_set_is_named(folder: Path, risf: Run) -> None:
    listed(folder, TWO)
    labels = {"path": "a/gt.json", "sha256": sha256_of(folder / "a" / "gt.json")}
    (folder / "fusion.json").write_text(json.dumps({"inputs": {"annotations": labels}}))
    fusion = {"path": "fusion.json", "sha256": sha256_of(folder / "fusion.json")}
    (folder / "a" / "seed0.json.record.json").write_text(
        json.dumps({"fitted": {"terms": []}, "inputs": {"fusion": fusion}})
    )
    done = risf("evaluate", "--datasets", "sets.yaml")
    assert done.exit_code == 0, done.output
    assert "a/seed0.json: the fusion was fitted to these very annotations" in done.stderr.replace("\\", "/")
    assert done.stderr.count("very annotations") == 1


def test_what_cannot_be_is_one_line(folder: Path, risf: Run) -> None:
    with pytest.raises(ConfigError, match="has 2 detections files, one is needed; `aggregate` takes several"):
        evaluate_data_sets(listed(folder, SEEDS))
    with pytest.raises(DataError, match="names no data set"):
        evaluate_data_sets(listed(folder, "[]"))
    with pytest.raises(DataError, match="names the data set 'first' twice"):
        evaluate_data_sets(listed(folder, TWO.replace("second", "first")))
    with pytest.raises(DataError, match=r"sets\.yaml: is damaged .*write a list of `name`"):
        evaluate_data_sets(listed(folder, "- {annotations: a/gt.json}"))
    done = risf("evaluate", "a/seed0.json", "--datasets", "sets.yaml")
    assert done.exit_code == 1
    assert "leave out detections files" in done.stderr
