"""The paired bootstrap: what it draws, what cancels out, and how often its interval holds the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.errors import ConfigError
from risf_core.evaluation import bootstrap, evaluate, match
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary


def made_data(
    images: int, generator: np.random.Generator, classes: int = 2, lift: float = 0.5
) -> tuple[AnnotatedDataset, list[Detections]]:
    """Images drawn one like the other, and two detectors: the second sees the same boxes and scores them better."""
    truth_images = np.repeat(np.arange(images), generator.integers(1, 4, images))
    count = len(truth_images)
    truth_labels = generator.integers(classes, size=count)
    truth_boxes = np.column_stack([generator.uniform(0, 400, (count, 2)), generator.uniform(20, 120, (count, 2))])
    seen = generator.random(count) < 0.85
    jitter = generator.normal(0, 0.06, (count, 4)) * np.tile(truth_boxes[:, 2:], 2)
    false_images = np.repeat(np.arange(images), generator.poisson(2, images))
    false_boxes = np.column_stack(
        [generator.uniform(0, 400, (len(false_images), 2)), generator.uniform(20, 120, (len(false_images), 2))]
    )
    found_images = np.concatenate([truth_images[seen], false_images])
    found_boxes = np.concatenate([(truth_boxes + jitter)[seen], false_boxes])
    found_labels = np.concatenate([truth_labels[seen], generator.integers(classes, size=len(false_images))])
    evidence = np.concatenate([generator.normal(1, 1, seen.sum()), generator.normal(0, 1, len(false_images))])
    is_true = np.arange(len(found_images)) < seen.sum()
    tables = []
    for own_lift in (0.0, lift):
        logits = evidence + own_lift * is_true + generator.normal(0, 0.5, len(evidence))
        scores = 1 / (1 + np.exp(-logits))
        tables.append(Detections.from_rows(found_images, found_boxes, scores, found_labels))
    truth = AnnotatedDataset.from_columns(
        ClassVocabulary.from_names([f"class {i}" for i in range(classes)]),
        [ImageInfo(i) for i in range(images)],
        truth_images,
        truth_labels,
        truth_boxes,
    )
    return truth, tables


def intervals(truth, tables, *, resamples=200, seed=0, protocol="coco", novel=()):
    vocabulary = truth.vocabulary.with_novel(novel)
    return bootstrap(
        [match(table, truth, protocol=protocol) for table in tables],
        vocabulary,
        resamples=resamples,
        generator=np.random.default_rng(seed),
    )


def test_the_interval_holds_the_true_difference_in_95_of_100_samples():
    # two detectors of one make: which is first is a matter of chance, so the true difference is 0
    generator = np.random.default_rng(20240611)
    held = {("coco", "AP"): 0, ("coco", "AP50"): 0, ("voc", "AP50"): 0}
    for trial in range(200):
        truth, tables = made_data(150, generator, classes=1, lift=0.0)
        for protocol in ("coco", "voc"):
            difference = intervals(truth, tables, resamples=100, seed=trial, protocol=protocol)[1].difference
            for name in ("AP", "AP50"):
                low, high = difference.figures[name]
                if (protocol, name) in held:
                    held[protocol, name] += low <= 0 <= high
    # of 200 draws with probability .95, 184 to 196 are within two standard deviations
    assert all(184 <= count <= 196 for count in held.values()), held


def test_a_better_detector_is_told_from_a_worse_one_by_as_much_as_it_is():
    generator = np.random.default_rng(5)
    population, both = made_data(20_000, generator, lift=0.5)
    first, second = (evaluate(table, population).overall["AP"] for table in both)
    held = 0
    for trial in range(40):
        truth, tables = made_data(300, generator, lift=0.5)
        low, high = intervals(truth, tables, resamples=60, seed=trial)[1].difference.figures["AP"]
        assert low > 0
        held += low <= second - first <= high
    assert held >= 35  # of 40 draws with probability .95, fewer have a chance of 1 in 70


def test_every_figure_and_group_of_the_metrics_has_its_interval():
    truth, tables = made_data(30, np.random.default_rng(1))
    for protocol in ("coco", "voc"):
        first, second = intervals(truth, tables, resamples=20, protocol=protocol, novel=["class 1"])
        vocabulary = truth.vocabulary.with_novel(["class 1"])
        metrics = [evaluate(table, truth, vocabulary=vocabulary, protocol=protocol) for table in tables]
        assert first.own.figures.keys() == second.difference.figures.keys() == metrics[0].flat().keys()
        assert first.own.per_class.keys() == metrics[0].per_class.keys()
        for own, of_file in zip((first, second), metrics, strict=True):
            for name, value in of_file.flat().items():
                interval = own.own.figures[name]
                assert (interval is None and value == -1) or interval[0] <= value <= interval[1]
        for name, (low, high) in second.difference.per_class["class 0"].items():
            difference = metrics[1].per_class["class 0"][name] - metrics[0].per_class["class 0"][name]
            assert (low + high) / 2 == pytest.approx(difference)


def test_deviations_are_those_of_a_plain_loop_over_drawn_images():
    truth, tables = made_data(12, np.random.default_rng(2), classes=1)
    resamples = 40
    interval = intervals(truth, tables, resamples=resamples, seed=5)[1].difference.figures["AP50"]
    generator = np.random.default_rng(5)
    differences = []
    for _ in range(resamples):
        drawn = np.sort(generator.integers(12, size=12))
        values = []
        for table in tables:
            rows = [np.flatnonzero(table.image_ids == image) for image in drawn]
            boxes = [np.flatnonzero(truth.image_ids == image) for image in drawn]
            copies = Detections.from_rows(
                np.repeat(np.arange(12), [len(r) for r in rows]), table.boxes_xywh[np.concatenate(rows)],
                table.scores[np.concatenate(rows)], table.labels[np.concatenate(rows)],
            )  # fmt: skip
            kept = np.concatenate(boxes)
            copied = AnnotatedDataset.from_columns(
                truth.vocabulary, truth.images, np.repeat(np.arange(12), [len(b) for b in boxes]),
                truth.labels[kept], truth.boxes_xywh[kept],
            )  # fmt: skip
            values.append(evaluate(copies, copied).overall["AP50"])
        differences.append(values[1] - values[0])
    assert (interval[1] - interval[0]) / 2 == pytest.approx(1.959963984540054 * np.std(differences, ddof=1))


def test_the_same_file_twice_differs_by_nothing():
    truth, (table, _) = made_data(30, np.random.default_rng(3))
    difference = intervals(truth, [table, table])[1].difference
    assert set(difference.figures.values()) <= {(0.0, 0.0), None}


def test_the_seed_decides_and_the_number_of_files_does_not():
    truth, tables = made_data(30, np.random.default_rng(4))
    assert intervals(truth, tables, seed=7) == intervals(truth, tables, seed=7)
    assert intervals(truth, tables, seed=7)[0] == intervals(truth, tables[:1], seed=7)[0]
    assert intervals(truth, tables, seed=7) != intervals(truth, tables, seed=8)


def test_pairing_makes_the_difference_surer_than_the_figures_themselves():
    truth, tables = made_data(60, np.random.default_rng(5))
    first, second = intervals(truth, tables)

    def width(interval):
        return interval[1] - interval[0]

    alone = width(first.own.figures["AP"]) ** 2 + width(second.own.figures["AP"]) ** 2
    assert width(second.difference.figures["AP"]) ** 2 < alone / 2


def test_a_class_in_few_images_gets_no_interval():
    truth, tables = made_data(30, np.random.default_rng(6), classes=1)
    vocabulary = ClassVocabulary.from_names(["class 0", "rare", "absent"])
    labels = truth.labels.copy()
    rare = np.flatnonzero(np.isin(truth.image_ids, [0, 1, 2, 3]))
    labels[rare] = 1
    changed = replace(truth, vocabulary=vocabulary, labels=labels)
    own = intervals(changed, tables)[0].own
    assert own.per_class["class 0"]["AP"] is not None
    assert own.per_class["rare"] == own.per_class["absent"] == {"AP": None, "AP50": None, "AP75": None}


def test_intervals_do_not_depend_on_how_many_resamples_are_computed_together(monkeypatch):
    truth, tables = made_data(20, np.random.default_rng(7))
    whole = intervals(truth, tables, resamples=70)
    monkeypatch.setattr("risf_core.evaluation.compare._CELLS_AT_ONCE", 200)
    assert intervals(truth, tables, resamples=70) == whole


def test_progress_tells_what_is_done_and_what_is_to_do():
    truth, tables = made_data(10, np.random.default_rng(8))
    told = []
    bootstrap(
        [match(tables[0], truth)], truth.vocabulary, resamples=100, generator=np.random.default_rng(0),
        progress=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert told == [(64, 100), (100, 100)]


def test_one_resample_is_refused():
    truth, tables = made_data(10, np.random.default_rng(9))
    with pytest.raises(ConfigError) as caught:
        intervals(truth, tables, resamples=1)
    assert str(caught.value) == "a bootstrap needs at least 2 resamples, got 1; 1000 is usual"
