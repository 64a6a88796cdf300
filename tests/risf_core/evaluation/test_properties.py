"""Properties over many small worlds: the very bits of pycocotools, and figures of images that are drawn again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from risf_core.evaluation import evaluate, match, read_detections_for, read_ground_truth
from risf_core.evaluation.resampling import Resampler

# sides and corners on a coarse grid, so that overlaps tie and land on thresholds; some large for the area ranges
coordinates = st.integers(0, 12).map(lambda n: n * 2.5)
sides = st.one_of(st.integers(0, 12).map(lambda n: n * 2.5), st.sampled_from([31.9, 32.0, 50.0, 96.0, 130.0]))
boxes = st.tuples(coordinates, coordinates, sides, sides).map(list)
scores = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def worlds(draw) -> tuple[dict, list[dict]]:
    """A dataset with crowds and images without a box; detections with equal scores, at times over a hundred."""
    image_ids = draw(st.lists(st.integers(0, 50), min_size=1, max_size=4, unique=True))
    category_ids = draw(st.lists(st.integers(1, 90), max_size=3, unique=True))
    if not category_ids:
        return {"images": [{"id": i} for i in image_ids], "categories": [], "annotations": []}, []
    places = st.tuples(st.sampled_from(image_ids), st.sampled_from(category_ids))
    truth = draw(st.lists(st.tuples(places, boxes, st.booleans(), st.booleans()), max_size=8))
    annotations = [
        {
            "id": number, "image_id": image_id, "category_id": category_id, "bbox": box,
            "area": box[2] * box[3] * (0.6 if masked else 1), "iscrowd": int(crowd),
        }
        for number, ((image_id, category_id), box, crowd, masked) in enumerate(truth, 1)
    ]  # fmt: skip
    found = draw(st.lists(st.tuples(places, boxes, scores), max_size=10))
    near = [  # detections at the boxes themselves, so that many match
        ((a["image_id"], a["category_id"]), [a["bbox"][0] + shift, *a["bbox"][1:]], score)
        for a, shift, score in zip(
            annotations,
            draw(st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.5]), min_size=8, max_size=8)),
            draw(st.lists(scores, min_size=8, max_size=8)),
            strict=False,
        )
    ]
    copies = draw(st.sampled_from([1, 1, 1, 45]))
    results = [
        {"image_id": image_id, "category_id": category_id, "bbox": box, "score": score}
        for (image_id, category_id), box, score in [*found * copies, *near]
    ]
    dataset = {
        "images": [{"id": i} for i in image_ids],
        "categories": [{"id": i, "name": f"class {i}"} for i in category_ids],
        "annotations": annotations,
    }
    return dataset, results


everywhere = settings(
    max_examples=200, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@everywhere
@given(worlds())
def test_every_figure_has_the_very_bits_of_pycocotools(files, pycocotools_stats, stat_names, world):
    dataset, results = world
    table, truth = files(dataset, results)
    expected = pycocotools_stats(dataset, results)
    own = {c["name"]: pycocotools_stats(dataset, results, [c["id"]]) for c in dataset["categories"]}
    for evaluator in ("ultrafast", "pycocotools"):
        metrics = evaluate(table, truth, evaluator=evaluator)
        assert metrics.evaluator.endswith(evaluator) or metrics.evaluator.startswith(evaluator)
        assert [metrics.overall[stat] for stat in stat_names] == expected
        for name, stats in own.items():
            assert [metrics.per_class[name][stat] for stat in stat_names] == stats


@everywhere
@given(worlds())
def test_matches_accumulated_with_every_image_once_give_the_evaluators_figures(files, world):
    table, truth = files(*world)
    metrics = evaluate(table, truth)
    matches = match(table, truth)
    figures = Resampler(matches).figures(np.ones((1, matches.image_count), dtype=np.int32))
    for area, name in enumerate(["AP", "APs", "APm", "APl"]):
        assert close(figures.average_precision[0, area], metrics.overall[name])
        assert close(figures.recall[0, area], metrics.overall[name.replace("AP", "AR")])
    for place, cap in enumerate([1, 10, 100]):
        assert close(figures.capped_recall[0, place], metrics.overall[f"AR{cap}"])
    for label, own in enumerate(metrics.per_class.values()):
        assert close(figures.average_precision[0, 0, :, label], own["AP"])
        assert close(figures.average_precision[0, 0, 0, label], own["AP50"])


@everywhere
@given(worlds(), st.lists(st.integers(0, 3), min_size=4, max_size=4))
def test_an_image_that_is_drawn_twice_counts_as_two_images(files, world, times):
    dataset, results = world
    # equal scores of an image would interleave with those of its copy, so every score is its own here
    results = [{**row, "score": (number + 1) / (len(results) + 1)} for number, row in enumerate(results)]
    table, truth = files(dataset, results)
    order = sorted(image["id"] for image in dataset["images"])
    counts = np.array([times[: len(order)]], dtype=np.int32)
    copies = [(image_id, image_id * 10 + copy) for i, image_id in enumerate(order) for copy in range(counts[0, i])]

    def copied(rows: list[dict]) -> list[dict]:
        return [{**row, "image_id": new} for row in rows for old, new in copies if row["image_id"] == old]

    annotations = [{**row, "id": number} for number, row in enumerate(copied(dataset["annotations"]), 1)]
    drawn = {**dataset, "images": [{"id": new} for _, new in copies], "annotations": annotations}
    expected = evaluate(*files(drawn, copied(results)), evaluator="pycocotools")
    figures = Resampler(match(table, truth)).figures(counts)
    for area, name in enumerate(["AP", "APs", "APm", "APl"]):
        assert close(figures.average_precision[0, area], expected.overall[name])
        assert close(figures.recall[0, area], expected.overall[name.replace("AP", "AR")])
    for place, cap in enumerate([1, 10, 100]):
        assert close(figures.capped_recall[0, place], expected.overall[f"AR{cap}"])


def test_matches_of_real_detections_give_the_evaluators_figures_in_pieces_too(real_data, monkeypatch):
    truth = read_ground_truth(real_data / "instances.json")
    table = read_detections_for(real_data / "detections" / "yolox_nano_weak.json", truth).detections
    metrics = evaluate(table, truth)
    whole = match(table, truth)
    monkeypatch.setattr("risf_core.evaluation.matches._PAIRS_AT_ONCE", 50)
    monkeypatch.setattr("risf_core.evaluation.coco_matching._DETECTIONS_AT_ONCE", 7)
    pieces = match(table, truth)
    assert np.array_equal(pieces.true_positive, whole.true_positive)
    assert np.array_equal(pieces.ignored, whole.ignored)
    figures = Resampler(whole).figures(np.ones((1, whole.image_count), dtype=np.int32))
    for area, name in enumerate(["AP", "APs", "APm", "APl"]):
        assert close(figures.average_precision[0, area], metrics.overall[name])


def close(values, figure: float) -> bool:
    """Whether the mean of what is defined is the figure, -1 standing for nothing."""
    values = np.asarray(values)
    defined = values[~np.isnan(values)]
    return math.isclose(defined.mean() if defined.size else -1.0, figure, rel_tol=0, abs_tol=1e-12)


def test_the_worlds_hold_what_they_should(files, pycocotools_stats):
    """The generator does make matches: else equality would be that of zeros."""
    seen: set[str] = set()

    @settings(max_examples=200, deadline=None, derandomize=True, database=None)
    @given(worlds())
    def look(world):
        dataset, results = world
        stats = pycocotools_stats(dataset, results)
        per_image: dict[tuple[int, int], int] = {}
        for row in results:
            place = row["image_id"], row["category_id"]
            per_image[place] = per_image.get(place, 0) + 1
        with_boxes = {row["image_id"] for row in dataset["annotations"]}
        values = [row["score"] for row in results]
        traits = {
            "AP between 0 and 1": 0 < stats[0] < 1,
            "small": stats[3] > 0,
            "medium": stats[4] > 0,
            "large": stats[5] > 0,
            "crowd": any(row["iscrowd"] for row in dataset["annotations"]),
            "empty image": bool(with_boxes) and len(with_boxes) < len(dataset["images"]),
            "over a hundred": max(per_image.values(), default=0) > 100,
            "ties": len(set(values)) < len(values),
            "one class": len(dataset["categories"]) == 1,
            "no class": not dataset["categories"],
        }
        seen.update(name for name, holds in traits.items() if holds)

    look()
    assert sorted(seen) == sorted(
        ["AP between 0 and 1", "small", "medium", "large", "crowd", "empty image", "over a hundred", "ties",
         "one class", "no class"]
    )  # fmt: skip


@pytest.mark.parametrize("evaluator", ["ultrafast", "pycocotools"])
def test_a_class_list_as_long_as_that_of_lvis_works(files, pycocotools_stats, stat_names, evaluator):
    random = np.random.default_rng(0)
    categories = [{"id": 2 * i + 1, "name": f"class {i}"} for i in range(1203)]
    annotations, results = [], []
    for number in range(40):
        box = [*random.uniform(0, 200, 2).tolist(), *random.uniform(5, 150, 2).tolist()]
        place = {"image_id": number % 3, "category_id": int(random.integers(1203)) * 2 + 1}
        annotations.append({"id": number + 1, **place, "bbox": box, "area": box[2] * box[3], "iscrowd": 0})
        results.append({**place, "bbox": [box[0] + 3, *box[1:]], "score": float(random.random())})
    dataset = {"images": [{"id": i} for i in range(3)], "categories": categories, "annotations": annotations}
    metrics = evaluate(*files(dataset, results), evaluator=evaluator)
    assert [metrics.overall[stat] for stat in stat_names] == pycocotools_stats(dataset, results)
    assert len(metrics.per_class) == 1203
