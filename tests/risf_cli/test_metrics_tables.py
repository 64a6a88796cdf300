"""The tables of `risf evaluate`: what stands where, and that it fits the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from risf_cli.metrics_tables import class_tables, overall_tables, short_names
from risf_cli.render import print_table
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.evaluation import Bootstrapped, EvaluatedFile, Intervals, Metrics, read_ground_truth
from risf_core.files import write_json

CLASSES = [f"{'long ' * (i % 4)}name {i}" for i in range(37)]


@pytest.fixture
def truth(tmp_path) -> AnnotatedDataset:
    document = {
        "images": [{"id": 1}],
        "categories": [{"id": i, "name": name} for i, name in enumerate(CLASSES)],
        "annotations": [{"image_id": 1, "category_id": i, "bbox": [0, 0, 9, 9]} for i in range(37)],
    }
    write_json(tmp_path / "truth.json", document)
    return read_ground_truth(tmp_path / "truth.json")


def evaluated(name: str, value: float) -> EvaluatedFile:
    figures = {"AP": value, "AP50": 1.0, "AR": value, "AR1": -1.0, "AR100": value}
    return EvaluatedFile(name, 1, Metrics(figures, dict.fromkeys(CLASSES, figures)))


def with_intervals(file: EvaluatedFile) -> EvaluatedFile:
    """The file, each of its figures 10 points uncertain."""
    reaches = {"AP": (-0.1, 0.5), "AP50": (-0.1, 0.1), "AR": (-0.1, 0.1), "AR1": None, "AR100": (-0.1, 0.1)}
    own = Intervals(reaches, dict.fromkeys(CLASSES, reaches))
    return replace(file, bootstrapped=Bootstrapped(own, own))


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_every_class_has_one_line_within_the_width(truth, capsys, monkeypatch, width, count):
    monkeypatch.setenv("COLUMNS", str(width))
    files = [evaluated(f"runs/seed{i}/detections.json", 0.2 + 0.3 * i) for i in range(count)]
    [(columns, sections)] = class_tables(files, truth, range(37), width=width)
    print_table(columns, sections)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert sum(line.count("20.00") for line in lines) == 37
    blocks = [column.head for column in columns].count("class")
    assert len([line for line in lines if "20.00" in line]) == -(-37 // blocks)
    assert blocks > 1 or width < 110 or count == 3


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_intervals_and_long_names_of_files_break_no_line(truth, capsys, monkeypatch, width, count):
    monkeypatch.setenv("COLUMNS", str(width))
    files = [evaluated(f"runs/quite-a-long-name-{i}/detections.json", 0.2 + 0.15 * i) for i in range(count)]
    tables = list(class_tables([with_intervals(file) for file in files], truth, range(37), width=width))
    for columns, sections in tables:
        print_table(columns, sections)
        lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
        assert max(map(len, lines)) <= width
        blocks = [column.head for column in columns].count("class")
        rows = lines[[set(line.strip()) for line in lines].index({"─"}) + 1 :]
        assert len(rows) == -(-37 // blocks)
        assert sum(line.count(" 20.00 ") for line in rows) == 37
    shown = {column.head for columns, _ in tables for column in columns if "name" in column.head}
    assert shown == {f"quite-a-long-name-{i}" for i in range(count)} or count == 1
    assert len(tables) == 1 or width < 60 + 30 * count


def test_files_that_do_not_fit_beside_each_other_stand_below_each_other():
    files = [
        with_intervals(evaluated(f"{name}.json", value))
        for name, value in zip("abcd", (0.2, 0.3, 0.4, 0.5), strict=True)
    ]
    heads = [[column.head for column in columns] for columns, _ in overall_tables(files, width=112)]
    change = "diff ± 95 %"
    assert heads == [["", "a", "b", change, "c", change], ["", "a", "d", change]]
    below = [rows[0] for _, [rows] in overall_tables(files, width=112)]
    assert below[0] == ["AP", "20.00", "30.00", "+10.00 ± 40.00", "40.00", "+20.00 ± 30.00"]
    assert below[1] == ["AP", "20.00", "50.00", "+30.00 ± 40.00"]


def test_recall_at_the_largest_cap_is_not_shown_twice():
    [(columns, sections)] = overall_tables([evaluated("a.json", 0.5)], width=80, all_metrics=True)
    assert [column.head for column in columns] == ["", "all classes"]
    assert sections == [[["AP", "50.00"], ["AP50", "100.00"]], [["AR1", "-"], ["AR100", "50.00"]]]


def test_a_difference_to_something_undefined_is_none():
    [(_, [rows])] = overall_tables([evaluated("a.json", 0.5), evaluated("b.json", 0.25)], width=80, all_metrics=True)
    assert rows[0] == ["AP", "50.00", "25.00", "-25.00"]
    assert rows[2] == ["AR1", "-", "-", "-"]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a/before.json", "a/after.json"], ["before", "after"]),
        (["runs/seed0/d.json", "runs/seed1/d.json"], ["seed0", "seed1"]),
        (["a/before.json", "b/before.json", "b/after.json"], ["a/before", "b/before", "b/after"]),
        (["a.json", "a.json"], ["a (1)", "a (2)"]),
        (["stdin", "a.json"], ["stdin", "a"]),
    ],
)
def test_files_are_named_as_shortly_as_tells_them_apart(paths, names):
    assert short_names(paths) == names
