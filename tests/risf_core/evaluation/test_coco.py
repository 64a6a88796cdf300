"""COCO figures: bit for bit those of pycocotools, whatever the evaluator."""

from __future__ import annotations

import json
import logging
import sys
import tracemalloc

import numpy as np
import pytest

from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation import evaluate, read_detections_for, read_ground_truth
from risf_core.formats.coco import result_rows
from risf_core.vocabulary import COCO_NOVEL


def made_world(seed: int, *, images: int = 6, classes: int = 3, string_ids: bool = False) -> tuple[dict, list[dict]]:
    """A dataset and detections around its boxes, with crowds, equal scores and images without a box."""
    random = np.random.default_rng(seed)
    ids = [f"photo {i}" if string_ids else int(i) for i in random.permutation(images) * 7]
    annotations, results = [], []
    for image_id in ids[1:]:
        for _ in range(random.integers(1, 8)):
            x, y, width, height = (random.uniform(1, 120, 4)).round(1).tolist()
            category_id = int(random.integers(classes)) * 2 + 1
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": image_id, "category_id": category_id,
                    "bbox": [x, y, width, height], "area": round(width * height * 0.7, 2),
                    "iscrowd": int(random.random() < 0.15),
                }
            )  # fmt: skip
            for _ in range(random.integers(0, 4)):
                shift = random.normal(0, 6, 4)
                box = [x + shift[0], y + shift[1], abs(width + shift[2]), abs(height + shift[3])]
                results.append(
                    {
                        "image_id": image_id, "category_id": int(random.integers(classes)) * 2 + 1
                        if random.random() < 0.2 else category_id,
                        "bbox": box, "score": round(float(random.random()), 1),
                    }
                )  # fmt: skip
    dataset = {
        "images": [{"id": i, "height": 300, "width": 300} for i in ids],
        "categories": [{"id": label * 2 + 1, "name": f"class {label}"} for label in range(classes)],
        "annotations": annotations,
    }
    return dataset, results


def novel_of(truth, names):
    return truth.vocabulary.with_novel(names)


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
@pytest.mark.parametrize("name", ["yolox_nano.json", "yolox_nano_weak.json"])
def test_all_base_and_novel_figures_of_real_detections_equal_pycocotools(
    real_data, pycocotools_stats, stat_names, evaluator, name
):
    dataset = json.loads((real_data / "instances.json").read_text())
    results = json.loads((real_data / "detections" / name).read_text())
    truth = read_ground_truth(real_data / "instances.json")
    table = read_detections_for(real_data / "detections" / name, truth).detections
    metrics = evaluate(table, truth, vocabulary=novel_of(truth, COCO_NOVEL), evaluator=evaluator)
    novel = [c["id"] for c in dataset["categories"] if c["name"] in COCO_NOVEL]
    base = [c["id"] for c in dataset["categories"] if c["name"] not in COCO_NOVEL]
    for figures, category_ids in [
        (metrics.overall, None),
        (metrics.groups["novel"], novel),
        (metrics.groups["base"], base),
        (metrics.per_class["person"], [1]),
        (metrics.per_class["toothbrush"], [90]),  # no box of it among the photos
    ]:
        assert [figures[stat] for stat in stat_names] == pycocotools_stats(dataset, results, category_ids)


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
@pytest.mark.parametrize("seed", range(5))
def test_figures_of_made_worlds_equal_pycocotools(files, pycocotools_stats, stat_names, evaluator, seed):
    dataset, results = made_world(seed)
    metrics = evaluate(*files(dataset, results), evaluator=evaluator)
    assert [metrics.overall[stat] for stat in stat_names] == pycocotools_stats(dataset, results)
    for category in dataset["categories"]:
        figures = metrics.per_class[category["name"]]
        assert [figures[stat] for stat in stat_names] == pycocotools_stats(dataset, results, [category["id"]])


def test_ar_without_a_number_is_ar_at_the_largest_cap(files):
    metrics = evaluate(*files(*made_world(1)), max_detections=(1, 2, 3))
    assert metrics.overall["AR"] == metrics.overall["AR3"]
    assert metrics.overall["AR1"] < metrics.overall["AR3"]


def test_a_larger_cap_counts_detections_that_one_hundred_leaves_out(files):
    dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [500, 500, 20, 20]}],
    }
    row = {"image_id": 1, "category_id": 1, "score": 0.9}
    misses = [{**row, "bbox": [i, 0, 5, 5]} for i in range(150)]
    hit = {**row, "bbox": [500, 500, 20, 20], "score": 0.1}
    table, truth = files(dataset, [*misses, hit])
    assert evaluate(table, truth).overall["AP"] == 0
    # by hand: one true positive at rank 151, so the precision at every recall is 1 / 151
    assert evaluate(table, truth, max_detections=(1, 10, 300)).overall["AP"] == pytest.approx(1 / 151)


def test_image_ids_may_be_strings(files, pycocotools_stats, stat_names):
    dataset, results = made_world(3, string_ids=True)
    metrics = evaluate(*files(dataset, results))
    rank = {image_id: i for i, image_id in enumerate(sorted(image["id"] for image in dataset["images"]))}
    numbered = {
        **dataset,
        "images": [{**image, "id": rank[image["id"]]} for image in dataset["images"]],
        "annotations": [{**row, "image_id": rank[row["image_id"]]} for row in dataset["annotations"]],
    }
    expected = pycocotools_stats(numbered, [{**row, "image_id": rank[row["image_id"]]} for row in results])
    assert [metrics.overall[stat] for stat in stat_names] == expected


def warnings_of(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_no_detections_give_ap_zero_with_a_warning(files, pycocotools_stats, stat_names, caplog):
    dataset, _ = made_world(0)
    metrics = evaluate(*files(dataset, []))
    assert metrics.overall["AP"] == 0
    assert [metrics.overall[stat] for stat in stat_names] == pycocotools_stats(dataset, [])
    assert warnings_of(caplog) == ["there are no detections: every AP is 0"]


def test_without_any_box_every_figure_is_undefined(files):
    dataset, results = made_world(0)
    metrics = evaluate(*files({**dataset, "annotations": []}, results))
    assert set(metrics.overall.values()) == {-1.0}


def test_without_any_image_or_class_every_figure_is_undefined(files):
    metrics = evaluate(*files({"images": [], "categories": [], "annotations": []}, []))
    assert set(metrics.overall.values()) == {-1.0}
    assert metrics.per_class == {}


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
def test_a_box_with_id_zero_counts_like_any_other(files, evaluator):
    dataset = {
        "images": [{"id": 1}],
        "categories": [{"id": 1, "name": "a"}],
        "annotations": [{"id": 0, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]}],
    }
    result = {"image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "score": 0.5}
    assert evaluate(*files(dataset, [result]), evaluator=evaluator).overall["AP"] == pytest.approx(1)


@pytest.mark.parametrize("failure", ["missing", "broken"])
def test_pycocotools_takes_over_where_the_fast_evaluator_fails(files, monkeypatch, caplog, failure):
    table, truth = files(*made_world(2))
    expected = evaluate(table, truth)
    assert expected.evaluator == "ultrafast-pycocotools"
    if failure == "missing":
        monkeypatch.setitem(sys.modules, "ultrafast_pycocotools", None)
        said = "ModuleNotFoundError: import of ultrafast_pycocotools halted; None in sys.modules"
    else:
        import ultrafast_pycocotools

        def broken(*_, **__):
            raise OSError("no such instruction")

        monkeypatch.setattr(ultrafast_pycocotools, "COCO", broken)
        said = "OSError: no such instruction"
    with caplog.at_level(logging.WARNING):
        metrics = evaluate(table, truth)
    assert metrics.evaluator == "pycocotools"
    assert (metrics.overall, metrics.per_class) == (expected.overall, expected.per_class)
    assert warnings_of(caplog) == [
        f"ultrafast-pycocotools cannot be used ({said}); pycocotools takes over, slower with the same values"
    ]


def test_evaluators_print_nothing(files, capfd):
    table, truth = files(*made_world(0))
    for evaluator in ("ultrafast", "pycocotools"):
        evaluate(table, truth, evaluator=evaluator)
    assert capfd.readouterr() == ("", "")


def test_evaluate_leaves_the_table_and_the_ground_truth_as_they_are(files):
    table, truth = files(*made_world(0))
    before = list(result_rows(table, truth.vocabulary)), truth.boxes_xywh.copy()
    evaluate(table, truth)
    assert list(result_rows(table, truth.vocabulary)) == before[0]
    assert np.array_equal(truth.boxes_xywh, before[1])


def test_caps_below_one_are_refused(files):
    with pytest.raises(ConfigError) as caught:
        evaluate(*files(*made_world(0)), max_detections=(0, 10))
    assert str(caught.value) == "max-dets must be whole numbers of at least 1, got [0, 10]"


def test_an_empty_table_can_be_made_without_a_file(files):
    _, truth = files(*made_world(0))
    assert evaluate(Detections.empty(), truth).overall["AP50"] == 0


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
@pytest.mark.parametrize("classes_at_once", [1, 2, 4])
def test_classes_evaluated_a_few_at_a_time_give_pycocotools_figures(
    files, pycocotools_stats, stat_names, monkeypatch, classes_at_once, evaluator
):
    monkeypatch.setattr("risf_core.evaluation.coco_evaluators._CLASSES_AT_ONCE", classes_at_once)
    dataset, results = made_world(4, classes=5)
    dataset["categories"].append({"id": 99, "name": "without a box"})
    metrics = evaluate(*files(dataset, results), evaluator=evaluator)
    assert [metrics.overall[name] for name in stat_names] == pycocotools_stats(dataset, results)
    for category in dataset["categories"]:
        expected = pycocotools_stats(dataset, results, [category["id"]])
        assert [metrics.per_class[category["name"]][name] for name in stat_names] == expected


def test_memory_of_many_classes_is_bounded(files):
    dataset, results = made_world(4, classes=1)
    dataset["categories"] += [{"id": 10 + i, "name": f"absent {i}"} for i in range(3000)]
    table, truth = files(dataset, results)
    tracemalloc.start()
    evaluate(table, truth)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 3000 * 10 * 101 * 4 * 8  # three times the precisions by threshold, recall, class and area
