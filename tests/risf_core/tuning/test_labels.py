"""Which detections are right, and which can be judged, by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.photos import ImageInfo
from risf_core.tuning.labels import judge
from risf_core.vocabulary import ClassVocabulary

CAT, DOG, COW = range(3)


@pytest.fixture
def truth() -> AnnotatedDataset:
    """Image 1: a cat and a dog, far from each other. Image 2: a crowd of cows."""
    return AnnotatedDataset.from_columns(
        ClassVocabulary.from_names(("cat", "dog", "cow")),
        [ImageInfo(1), ImageInfo(2)],
        np.array([0, 0, 1]),
        np.array([CAT, DOG, COW]),
        np.array([[0, 0, 10, 10], [50, 50, 10, 10], [0, 0, 100, 100]], dtype=float),
        crowd=np.array([False, False, True]),
    )


ROWS = [
    # image, box, score, label
    (1, [0, 0, 10, 10], 0.9, CAT),  # the cat
    (1, [0, 0, 10, 9], 0.8, CAT),  # the cat again
    (1, [0, 0, 10, 10], 0.7, DOG),  # the cat taken for a dog
    (1, [50, 50, 10, 4], 0.6, DOG),  # too little of the dog
    (1, [80, 80, 10, 10], 0.5, COW),  # where nothing is labelled
    (2, [10, 10, 10, 10], 0.4, COW),  # in the crowd
    (2, [10, 10, 10, 10], 0.3, -1),  # of a category that is not known
]


@pytest.fixture
def detections() -> Detections:
    image_ids, boxes, scores, labels = zip(*ROWS, strict=True)
    return Detections.from_rows(image_ids, boxes, scores, labels)


def test_right_is_what_coco_matches_and_a_crowd_is_not_judged(truth: AnnotatedDataset, detections: Detections) -> None:
    right, judged = judge(detections, truth, sparse=False)
    assert right.tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert judged.tolist() == [True, True, True, True, True, False, False]


def test_sparse_labels_judge_only_rows_on_a_labelled_box(truth: AnnotatedDataset, detections: Detections) -> None:
    right, judged = judge(detections, truth, sparse=True)
    assert right.tolist() == [1, 0, 0, 0, 0, 0, 0]
    # the second cat overlaps its own class and is no proof of anything; the dog there is wrong
    assert judged.tolist() == [True, False, True, False, False, False, False]


def test_a_row_on_its_own_and_on_another_class_is_not_wrong_with_sparse_labels(truth: AnnotatedDataset) -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 100, 100]], dtype=float)  # the dog stands before the cat
    both = replace(truth, boxes_xywh=boxes)
    twice = Detections.from_rows([1, 1], [[0, 0, 10, 10], [0, 0, 10, 9]], [0.9, 0.8], [CAT, CAT])
    right, judged = judge(twice, both, sparse=True)
    assert (right.tolist(), judged.tolist()) == ([1, 0], [True, False])
