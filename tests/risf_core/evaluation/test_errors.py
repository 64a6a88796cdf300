"""Kinds of error and their costs against a loop over TIDE's definitions; ceilings against every order of scores."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.evaluation import evaluate
from risf_core.evaluation.error_analysis import KINDS
from risf_core.evaluation.errors import analyse_errors
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

CLASSES = ClassVocabulary(("cat", "dog", "cow"), (1, 2, 3), frozenset({"cow"}))


def world(seed: int, *, images: int = 3, boxes: int = 3, rows: int = 6, classes: int = 3):
    """Boxes on a coarse grid and rows jittered around them, so that all kinds of error come up."""
    draw = np.random.default_rng(seed)
    truth, found = [], []
    for image_id in range(1, images + 1):
        own = []
        for _ in range(draw.integers(0, boxes + 1)):
            x, y = draw.integers(0, 3, 2) * 40.0
            own.append([x, y, 40.0, 40.0])
            truth.append((image_id, own[-1], int(draw.integers(classes))))
        for _ in range(draw.integers(0, rows + 1)):
            base = own[draw.integers(len(own))] if own and draw.random() < 0.8 else [*draw.integers(0, 160, 2), 40, 40]
            shift = draw.choice([0, 4, 12, 24, 30]) * draw.choice([-1, 1])
            found.append((image_id, [base[0] + shift, base[1], base[2], base[3]], int(draw.integers(classes))))
    scores = draw.permutation(np.linspace(0.1, 0.9, max(len(found), 1)))[: len(found)]
    infos = tuple(ImageInfo(image_id, f"{image_id}.png", 200, 200) for image_id in range(1, images + 1))
    ground_truth = AnnotatedDataset.from_columns(
        CLASSES,
        infos,
        np.array([row[0] - 1 for row in truth], dtype=np.int64),
        np.array([row[2] for row in truth], dtype=np.int64),
        np.array([row[1] for row in truth], dtype=np.float64).reshape(-1, 4),
    )
    detections = Detections.from_rows(
        [row[0] for row in found], [row[1] for row in found], scores.tolist(), [row[2] for row in found]
    )
    return detections, ground_truth


def iou(a, b) -> float:
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def average_precision(rows, positives: int) -> float | None:
    """COCO's AP over 101 recalls of (score, right) rows."""
    if not positives:
        return None
    points, right = [], 0
    for count, (_, is_right) in enumerate(sorted(rows, key=lambda row: -row[0]), 1):
        right += is_right
        points.append((right / positives, right / count))
    best = [max((p for r, p in points if r >= recall - 1e-12), default=0.0) for recall in np.linspace(0, 1, 101)]
    return sum(best) / 101


def by_hand(detections: Detections, truth: AnnotatedDataset):
    """Kinds, and the AP50 (mean over classes) after mending each kind, by loops over the definitions."""
    boxes = list(zip(truth.image_ids.tolist(), truth.boxes_xywh.tolist(), truth.labels.tolist(), strict=True))
    rows = list(
        zip(
            detections.image_ids.tolist(),
            detections.boxes_xywh.tolist(),
            detections.labels.tolist(),
            detections.scores.tolist(),
            strict=True,
        )
    )
    taken: dict[int, int] = {}
    for place in sorted(range(len(rows)), key=lambda place: -rows[place][3]):
        image, box, label, _ = rows[place]
        fits = [
            (iou(box, other), number)
            for number, (own, other, other_label) in enumerate(boxes)
            if own == image and other_label == label and number not in taken.values() and iou(box, other) >= 0.5
        ]
        if fits:
            taken[place] = max(fits)[1]
    kinds, about = {}, {}
    for place, (image, box, label, _) in enumerate(rows):
        if place in taken:
            continue
        own = max(((iou(box, o), n) for n, (i, o, c) in enumerate(boxes) if i == image and c == label), default=(0, -1))
        other = max(
            ((iou(box, o), n) for n, (i, o, c) in enumerate(boxes) if i == image and c != label), default=(0, -1)
        )
        if 0.1 <= own[0] < 0.5:
            kinds[place], about[place] = "box", own[1]
        elif other[0] >= 0.5:
            kinds[place], about[place] = "class", other[1]
        elif own[0] >= 0.5:
            kinds[place] = "duplicate"
        elif max(own[0], other[0]) < 0.1:
            kinds[place] = "background"
        else:
            kinds[place] = "both"
    missed = [n for n in range(len(boxes)) if n not in taken.values() and n not in about.values()]

    def mean_ap(verdicts, absent=()) -> float:
        values = []
        for label in range(3):
            positives = sum(c == label for _, _, c in boxes)
            left = positives - sum(boxes[n][2] == label for n in absent)
            if positives:
                own = [(score, right) for score, right, c in verdicts if c == label]
                values.append(average_precision(own, left) if left else 1.0)
        return sum(values) / len(values) if values else 0.0

    plain = [(rows[n][3], n in taken, rows[n][2]) for n in range(len(rows))]
    after = {"missed": mean_ap(plain, missed)}
    for kind in KINDS[:-1]:
        verdicts, used = [], set(taken.values())
        for n in sorted(range(len(rows)), key=lambda n: -rows[n][3]):
            if kinds.get(n) != kind:
                verdicts.append(plain[n])
            elif kind in ("class", "box") and about[n] not in used:
                used.add(about[n])
                verdicts.append((rows[n][3], True, boxes[about[n]][2]))
        after[kind] = mean_ap(verdicts)
    return kinds, missed, mean_ap(plain), after


@pytest.mark.parametrize("seed", range(60))
def test_kinds_and_costs_are_those_of_a_plain_loop(seed: int) -> None:
    detections, truth = world(seed)
    kinds, missed, plain, after = by_hand(detections, truth)
    analysis = analyse_errors(detections, truth)
    assert analysis.counts == {kind: list(kinds.values()).count(kind) for kind in KINDS[:-1]} | {"missed": len(missed)}
    assert analysis.ap50[""] == pytest.approx(plain, abs=1e-12)
    if len(detections):
        assert analysis.ap50[""] == pytest.approx(max(evaluate(detections, truth).overall["AP50"], 0.0), abs=1e-12)
    for kind in KINDS:
        assert analysis.costs[""][kind] == pytest.approx(after[kind] - plain, abs=1e-12), kind


def test_the_worlds_hold_errors_of_every_kind() -> None:
    seen = {kind for seed in range(60) for kind in by_hand(*world(seed))[0].values()}
    assert seen == set(KINDS[:-1])


@pytest.mark.parametrize("seed", range(30))
def test_no_order_of_the_scores_beats_the_ceiling_and_one_reaches_it(seed: int) -> None:
    detections, truth = world(seed, images=2, boxes=2, rows=3, classes=1)
    if not len(detections) or not len(truth):
        return
    reached = {"AP": 0.0, "AP50": 0.0}
    for order in permutations(np.linspace(0.1, 0.9, len(detections))):
        overall = evaluate(detections.with_scores(np.array(order)), truth, evaluator="ultrafast").overall
        reached = {name: max(value, overall[name]) for name, value in reached.items()}
    ceilings = analyse_errors(detections, truth).ceilings[""]
    assert ceilings["AP"] == pytest.approx(reached["AP"], abs=1e-9)
    assert ceilings["AP50"] == pytest.approx(reached["AP50"], abs=1e-9)


def test_intervals_groups_confusions_and_the_sentence_speak_of_the_same_figures() -> None:
    detections, truth = world(5, images=40, boxes=4, rows=8)
    analysis = analyse_errors(detections, truth, resamples=100, generator=np.random.default_rng(0))
    assert set(analysis.costs) == {"", "b", "n"}
    for group, own in analysis.costs.items():
        for kind, value in own.items():
            low, high = analysis.intervals[group][kind]
            assert low <= value <= high
    assert sum(count for *_, count in analysis.confusions) == analysis.counts["class"]
    assert f"{100 * analysis.costs['']['class']:.1f}" in analysis.sentence()
    assert f"{100 * analysis.ceilings['']['AP']:.1f}" in analysis.sentence()
    assert analysis.ceilings[""]["relabelled AP"] >= analysis.ceilings[""]["AP"] > analysis.ap50[""] / 2
