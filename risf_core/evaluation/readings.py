"""Other readings of a file's boxes, classes, images or scores under which its best detections would be right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections, factorize, image_id_array
from risf_core.evaluation.protocols import match

_MOST_ROWS = 2000  # detections that are looked at: as many of the best as there are boxes, at most these
_DOUBTFUL = 0.1  # share of the best detections that are right; above it nothing is said
_TELLING, _TIMES, _LEAST = 0.1, 4, 3  # what another reading must reach: this share, this many times as many, this many
_INPUT_SIDES = (416, 512, 608, 640, 800, 1024, 1280)  # of networks, to which photos are resized
_BOXES = "convert the boxes to [x, y, width, height] in pixels of the photo"


def better_reading(detections: Detections, ground_truth: AnnotatedDataset) -> str:
    """Which reading makes many of the best detections right where hardly one is, as a clause; else nothing."""
    known = np.flatnonzero(detections.labels >= 0)
    order = known[np.argsort(-detections.scores[known], kind="stable")]
    count = min(int((~ground_truth.crowd).sum()), len(order), _MOST_ROWS)
    best = detections[order[:count]]
    right = _right(best, ground_truth)
    if right > _DOUBTFUL * count:
        return ""
    found = [(_right(table, ground_truth), what) for table, what in _readings(best, ground_truth)]
    found.append((_right(detections[order[::-1][:count]], ground_truth), "with the lowest scores first (distances?)"))
    found.append(_in_another_order(best, ground_truth))
    most, what = max(found, key=lambda pair: pair[0])
    if most < max(_TELLING * count, _TIMES * right, _LEAST):
        return ""
    return f"of the {count} best detections {right} are right; {most} would be {what}"


def _right(table: Detections, ground_truth: AnnotatedDataset) -> int:
    return int(match(table, ground_truth).true_positive[0, 0].sum()) if len(table) else 0


def _readings(table: Detections, ground_truth: AnnotatedDataset) -> Iterator[tuple[Detections, str]]:
    for boxes, what in _other_boxes(table, ground_truth):
        if np.isfinite(boxes).all():
            yield replace(table, boxes_xywh=boxes), what
    ids = np.array(ground_truth.vocabulary.category_ids)
    for step, how in ((1, "one higher"), (-1, "one lower")):
        what = f"with category ids {how}; correct them, or see `category_ids`"
        moved = {label: np.flatnonzero(ids == ids[label] + step).tolist() for label in range(len(ids))}
        by_id = np.array([moved[label][0] if moved[label] else -1 for label in range(len(ids))], dtype=np.int64)
        by_position = np.arange(len(ids)) + step
        by_position[by_position == len(ids)] = -1
        for labels in {labels.tobytes(): labels for labels in (by_id, by_position)}.values():
            yield replace(table, labels=labels[table.labels]), what
    images = [info.image_id for info in ground_truth.images]
    place_of = {image_id: place for place, image_id in enumerate(images)}
    codes, present = factorize(table.image_ids)
    for step, how in ((1, "next"), (-1, "previous")):
        places = np.array([place_of[image_id] + step for image_id in present])[codes]
        inside = (places >= 0) & (places < len(images))
        moved_ids = image_id_array([images[place] for place in places[inside].tolist()])
        yield (
            replace(table[inside], image_ids=moved_ids),
            f"as those of the {how} image of the annotations; correct image_id, or see `image_ids`",
        )


def _other_boxes(table: Detections, ground_truth: AnnotatedDataset) -> Iterator[tuple[NDArray[np.float64], str]]:
    """The boxes (N, 4) under other conventions, as x, y, width, height."""
    box = table.boxes_xywh
    first, second = box[:, :2], box[:, 2:]
    yield np.hstack([first, second - first]), "as corners x0, y0, x1, y1; pass `boxes=xyxy`"
    yield np.hstack([first - second / 2, second]), f"as centre x, centre y, width, height; {_BOXES}"
    yield box[:, [1, 0, 3, 2]], f"as y, x, height, width; {_BOXES}"
    yield np.hstack([first[:, ::-1], (second - first)[:, ::-1]]), f"as y0, x0, y1, x1; {_BOXES}"
    codes, present = factorize(table.image_ids)
    sizes = [ground_truth.images_by_id[image_id].size or (np.nan, np.nan) for image_id in present]
    sides = np.array(sizes, dtype=np.float64).reshape(-1, 2)[codes, ::-1]  # width, height
    for unit, name in ((100, "percent"), (1000, "thousandths")):
        scale = np.tile(sides / unit, 2)
        yield box * scale, f"in {name} of the photo's sides; {_BOXES}"
        corners = box * scale
        corners[:, 2:] -= corners[:, :2]
        yield corners, f"as corners in {name} of the photo's sides; {_BOXES}"
    yield box * np.tile(sides / sides[:, ::-1], 2), f"with width and height of the photos swapped; {_BOXES}"
    width, height = sides[:, :1], sides[:, 1:]
    left, top, right, bottom = box[:, :1], box[:, 1:2], first[:, :1] + second[:, :1], first[:, 1:] + second[:, 1:]
    for way, corner in (
        ("a quarter to the right", [top, height - right]),
        ("a quarter to the left", [width - bottom, left]),
        ("upside down", [width - right, height - bottom]),
        ("left to right", [width - right, top]),
    ):
        turned = second[:, ::-1] if "quarter" in way else second
        yield np.hstack([*corner, turned]), f"of the photo turned {way} (by its EXIF orientation?); {_BOXES}"
    longest = sides.max(axis=1, keepdims=True)
    for side in _INPUT_SIDES:
        back = np.tile(longest / side, (1, 4))
        padding = (side - sides * side / longest) / 2
        as_resized = f"of the photo resized to {side}"
        yield box * back, f"as boxes {as_resized} on its longer side; {_BOXES}"
        yield box * np.tile(sides / side, 2), f"as boxes {as_resized} x {side}; {_BOXES}"
        yield np.hstack([first - padding, second]) * back, f"as boxes {as_resized} and padded around; {_BOXES}"
        yield box * (sides.min(axis=1, keepdims=True) / side), f"as boxes {as_resized} on its shorter side; {_BOXES}"


def _in_another_order(table: Detections, ground_truth: AnnotatedDataset) -> tuple[int, str]:
    """How many would be right if each class were the one on whose boxes it mostly is, and what to say of it."""
    one = replace(ground_truth, labels=np.zeros(len(ground_truth), np.int64))
    found = match(replace(table, labels=np.zeros(len(table), np.int64)), one)
    assert found.found_boxes is not None
    hits = np.flatnonzero(found.true_positive[0, 0])
    own = table.labels[found.order.rows[hits]]
    truth = ground_truth.labels[found.found_boxes[hits]]
    agreeing, pairs = 0, []
    for label in np.unique(own).tolist():
        labels, counts = np.unique(truth[own == label], return_counts=True)
        if counts.sum() >= _LEAST and counts.max() > counts.sum() / 2:
            agreeing += int(counts.max())
            pairs.append((int(counts.max()), label, int(labels[counts.argmax()])))
    names = ground_truth.vocabulary.names
    _, detected, labelled = max(pairs, default=(0, 0, 0))
    example = f"{names[detected]!r} is mostly on {names[labelled]!r}"
    return agreeing, f"in another order of the classes ({example}); are category ids numbered otherwise?"
