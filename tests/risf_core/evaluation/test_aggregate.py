"""Several runs as one: means and intervals by hand, CSV and JSON of them."""

from __future__ import annotations

import csv
import math

import pytest

from risf_core.errors import ConfigError
from risf_core.evaluation import Metrics, Spread, aggregate


def run_of(ap: float, dog: float) -> Metrics:
    figures = {"AP": ap, "APl": -1.0}
    return Metrics(figures, {"cat": {"AP": 0.5}, "dog": {"AP": dog}}, {"base": figures, "novel": {"AP": dog}})


def test_mean_and_interval_are_those_of_the_formula():
    runs = aggregate([run_of(0.1, 0.2), run_of(0.2, 0.4), run_of(0.6, 0.9)])
    # by hand: mean .3, s = sqrt((.04 + .01 + .09) / 2) = .264575, 1.96 s / sqrt(3) = .299395
    assert runs.overall["AP"].mean == pytest.approx(0.3)
    assert runs.overall["AP"].deviation == pytest.approx(0.264575, abs=1e-6)
    assert runs.overall["AP"].interval == pytest.approx(0.299395, abs=1e-6)
    assert runs.per_class["dog"]["AP"].mean == pytest.approx(0.5)
    assert runs.figures["nAP"] == runs.per_class["dog"]["AP"] == runs.groups["novel"]["AP"]
    assert runs.runs == 3


def test_equal_runs_have_no_spread():
    assert aggregate([run_of(0.5, 0.5)] * 10).per_class["cat"]["AP"] == Spread(0.5, 0.0, 0.0)


def test_what_is_undefined_stays_undefined():
    assert aggregate([run_of(0.1, 0.2), run_of(0.2, 0.4)]).overall["APl"] == Spread(-1.0, None, None)


def test_one_run_has_a_mean_and_no_interval():
    assert aggregate([run_of(0.25, 0.2)]).overall["AP"] == Spread(0.25, None, None)


def test_no_run_is_refused():
    with pytest.raises(ConfigError) as caught:
        aggregate([])
    assert str(caught.value) == "an aggregate needs at least one run"


def test_json_names_mean_deviation_and_interval():
    content = aggregate([run_of(0.25, 0.25), run_of(0.75, 0.75)]).to_json()
    deviation = math.sqrt(0.125)
    assert content["runs"] == 2
    assert content["metrics"]["bAP"] == {
        "mean": 0.5, "deviation": pytest.approx(deviation), "interval": pytest.approx(1.96 * deviation / math.sqrt(2)),
    }  # fmt: skip
    assert content["per_class"]["cat"]["AP"] == {"mean": 0.5, "deviation": 0.0, "interval": 0.0}


def test_csv_has_one_row_a_class(tmp_path, files):
    from risf_core.evaluation import EvaluatedFile
    from risf_core.evaluation.results import write_aggregate_csv, write_class_csv

    dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog, large"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [0, 0, 9, 9]}],
    }
    _, truth = files(dataset, [])
    truth = truth.with_vocabulary(truth.vocabulary.with_novel(["dog, large"]))
    metrics = [Metrics({"AP": ap}, {"cat": {"AP": ap}, "dog, large": {"AP": -1.0}}) for ap in (0.25, 0.75)]
    write_aggregate_csv(tmp_path / "runs.csv", aggregate(metrics), truth)
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert rows[0] == {
        "class": "cat", "category_id": "3", "group": "base", "boxes": "1", "runs": "2", "AP_mean": "0.5",
        "AP_interval": repr(1.96 * math.sqrt(0.125) / math.sqrt(2)),
    }  # fmt: skip
    assert [rows[1][key] for key in ("class", "group", "AP_mean", "AP_interval")] == ["dog, large", "novel", "", ""]
    write_class_csv(tmp_path / "f.csv", [EvaluatedFile(f"{i}.json", 0, m) for i, m in enumerate(metrics)], truth)
    assert (tmp_path / "f.csv").read_bytes().decode() == (
        "detections,class,category_id,group,boxes,AP\n"
        '0.json,cat,3,base,1,0.25\n0.json,"dog, large",7,novel,0,\n'
        '1.json,cat,3,base,1,0.75\n1.json,"dog, large",7,novel,0,\n'
    )
