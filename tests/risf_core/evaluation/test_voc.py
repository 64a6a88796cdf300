"""The VOC2007 protocol against the development kit's rule, written here a second time as plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from risf_core.evaluation import evaluate, match
from risf_core.evaluation.resampling import Resampler

CLASSES = ("boat", "cat", "dog")
THRESHOLDS = [percent / 100.0 for percent in range(50, 100, 5)]


def devkit_average_precision(objects, found, name, threshold):
    """AP of a class: objects (image, class, corners, difficult), found (image, class, corners, score); -1: no object.

    Corners are xmin, ymin, xmax, ymax as in the XML files, counted from 1, the last pixel inside.
    """
    positives = sum(1 for _, own, _, difficult in objects if own == name and not difficult)
    if not positives:
        return -1.0
    taken, true_positives, false_positives, curve = set(), 0, 0, []
    mine = [row for row in found if row[1] == name]
    for image, _, (x0, y0, x1, y1), _ in sorted(mine, key=lambda row: -row[3]):  # sorted is stable
        best, best_object = -1.0, None
        for number, (place, own, (u0, v0, u1, v1), _) in enumerate(objects):
            if place != image or own != name:
                continue
            width, height = min(x1, u1) - max(x0, u0) + 1, min(y1, v1) - max(y0, v0) + 1
            overlap = 0.0
            if width > 0 and height > 0:
                union = (x1 - x0 + 1) * (y1 - y0 + 1) + (u1 - u0 + 1) * (v1 - v0 + 1) - width * height
                overlap = width * height / union
            if overlap > best:
                best, best_object = overlap, number
        if best > threshold:
            if not objects[best_object][3]:
                if best_object in taken:
                    false_positives += 1
                else:
                    taken.add(best_object)
                    true_positives += 1
        else:
            false_positives += 1
        counted = true_positives + false_positives
        curve.append((true_positives / positives, true_positives / counted if counted else 0.0))
    total = 0.0
    for recall in np.arange(0.0, 1.1, 0.1):
        total += max((p for r, p in curve if r >= recall), default=0.0) / 11.0
    return total


def in_coco_form(objects, found):
    """The same as a COCO dataset and results list, as loaders of VOC write them: xmin and ymin counted from 0."""
    images = sorted({row[0] for row in objects} | {row[0] for row in found})

    def row(image, name, corners):
        x0, y0, x1, y1 = corners
        box = [x0 - 1, y0 - 1, x1 - (x0 - 1), y1 - (y0 - 1)]
        return {"image_id": image, "category_id": CLASSES.index(name) + 1, "bbox": box}

    dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES, 1)],
        "annotations": [
            {"id": number, **row(image, name, corners), "iscrowd": 0, "difficult": int(difficult)}
            for number, (image, name, corners, difficult) in enumerate(objects, 1)
        ],
    }
    return dataset, [{**row(image, name, corners), "score": score} for image, name, corners, score in found]


corners = st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 14), st.integers(1, 14)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)
images = st.integers(1, 3)
names = st.sampled_from(CLASSES[:2])
scores = st.one_of(st.sampled_from([0.25, 0.5, 1.0]), st.floats(0, 1))


@st.composite
def worlds(draw):
    """Objects, some difficult, and detections, some at the objects themselves, with equal scores among them."""
    objects = draw(st.lists(st.tuples(images, names, corners, st.booleans()), max_size=8))
    found = draw(st.lists(st.tuples(images, names, corners, scores), max_size=8))
    for image, name, (x0, y0, x1, y1), _ in objects:
        if draw(st.booleans()):
            found.append((image, name, (x0, y0, x1 + draw(st.integers(0, 3)), y1), draw(scores)))
    return objects, found


everywhere = settings(
    max_examples=200, deadline=None, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip


@everywhere
@given(worlds())
def test_every_figure_is_that_of_the_development_kit(files, world):
    metrics = evaluate(*files(*in_coco_form(*world)), protocol="voc")
    by_class = {name: [devkit_average_precision(*world, name, t) for t in THRESHOLDS] for name in CLASSES}
    for name, values in by_class.items():
        assert metrics.per_class[name] == {
            "AP50": values[0], "AP": pytest.approx(np.mean(values), abs=1e-15), "AP75": values[5],
        }  # fmt: skip
    defined = [values for values in by_class.values() if values[0] >= 0]
    means = np.mean(defined, axis=0) if defined else np.full(10, -1.0)
    assert list(metrics.overall) == ["AP50", "AP", "AP75"]
    assert list(metrics.overall.values()) == pytest.approx([means[0], means.mean(), means[5]], abs=1e-15)


@everywhere
@given(worlds())
def test_matches_accumulated_with_every_image_once_give_the_same_figures(files, world):
    table, truth = files(*in_coco_form(*world))
    metrics = evaluate(table, truth, protocol="voc")
    matches = match(table, truth, protocol="voc")
    figures = Resampler(matches).figures(np.ones((1, matches.image_count), dtype=np.int32)).average_precision[0, 0]
    for label, name in enumerate(CLASSES):
        own = np.nan_to_num(figures[:, label], nan=-1.0)
        assert [own[0], own.mean(), own[5]] == pytest.approx(list(metrics.per_class[name].values()), abs=1e-12)


def test_by_hand_a_difficult_box_counts_neither_way_and_a_second_hit_is_false():
    box, other = (1, 1, 10, 10), (31, 31, 40, 40)
    objects = [("a", "cat", box, False), ("a", "cat", other, True), ("b", "cat", box, False)]
    found = [("a", "cat", box, 0.9), ("a", "cat", box, 0.8), ("a", "cat", other, 0.7), ("b", "cat", box, 0.6)]
    # hits 1/1, then 1/2, the difficult one is skipped, then 2/3: recalls 0 .. .5 at precision 1, .6 .. 1 at 2/3
    assert devkit_average_precision(objects, found, "cat", 0.5) == pytest.approx((6 + 5 * 2 / 3) / 11)


def test_an_overlap_must_exceed_the_threshold(files):
    objects = [("a", "cat", (1, 1, 10, 10), False)]
    half = [("a", "cat", (1, 1, 10, 5), 0.9)]  # 50 of 100 pixels
    more = [("a", "cat", (1, 1, 10, 6), 0.9)]
    assert evaluate(*files(*in_coco_form(objects, half)), protocol="voc").overall["AP50"] == 0
    assert evaluate(*files(*in_coco_form(objects, more)), protocol="voc").overall["AP50"] == pytest.approx(1)


def test_no_detections_and_no_boxes_are_zero_and_undefined(files):
    objects = [("a", "cat", (1, 1, 10, 10), False)]
    metrics = evaluate(*files(*in_coco_form(objects, [])), protocol="voc")
    assert (metrics.overall["AP"], metrics.per_class["dog"]["AP"]) == (0, -1)
    nothing = evaluate(*files(*in_coco_form([], [])), protocol="voc")
    assert set(nothing.overall.values()) == {-1.0}


def test_base_and_novel_are_means_over_their_classes(files):
    table, truth = files(
        *in_coco_form(
            [("a", name, (1, 1, 10, 10), False) for name in CLASSES], [("a", "cat", (1, 1, 10, 10), 0.5)]
        )
    )  # fmt: skip
    metrics = evaluate(table, truth, vocabulary=truth.vocabulary.with_novel(["cat"]), protocol="voc")
    flat = metrics.flat()
    assert [flat[name] for name in ("AP50", "bAP50", "nAP50")] == pytest.approx([1 / 3, 0, 1])


def test_many_pairs_are_worked_off_in_pieces(files, monkeypatch):
    random = np.random.default_rng(1)

    def box():
        x, y, w, h = random.integers(1, 30, 4).tolist()
        return x, y, x + w, y + h

    objects = [(int(random.integers(4)), CLASSES[random.integers(3)], box(), False) for _ in range(60)]
    found = [(int(random.integers(4)), CLASSES[random.integers(3)], box(), float(random.random())) for _ in range(300)]
    table, truth = files(*in_coco_form(objects, found))
    whole = evaluate(table, truth, protocol="voc")
    monkeypatch.setattr("risf_core.evaluation.matches._PAIRS_AT_ONCE", 7)
    assert evaluate(table, truth, protocol="voc") == whole
    assert whole.per_class["cat"]["AP50"] == devkit_average_precision(objects, found, "cat", 0.5)
