"""Made files of detections and their ground truth, of any number of classes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.detections import Detections
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

Made = Callable[..., tuple[AnnotatedDataset, Detections, Detections]]


@pytest.fixture(scope="session")
def made() -> Made:
    """Ground truth, detections, and the same detections under other scores."""

    def make(*, images: int = 12, classes: int = 3, boxes: int = 60, seed: int = 0, novel: tuple[str, ...] = ()):
        generator = np.random.default_rng(seed)
        names = [f"class {i}" for i in range(classes)]
        places = generator.integers(images, size=boxes)
        labels = generator.integers(classes, size=boxes)
        corners = np.column_stack([generator.uniform(0, 250, (boxes, 2)), generator.uniform(20, 120, (boxes, 2))])
        crowd = generator.random(boxes) < 0.05
        truth = AnnotatedDataset.from_columns(
            ClassVocabulary.from_names(names, novel=novel),
            [ImageInfo(i, f"{i:06d}.jpg", 400, 400) for i in range(images)],
            places,
            labels,
            corners,
            crowd=crowd,
        )
        near = corners + generator.normal(0, 5, corners.shape)
        stray = np.column_stack([generator.uniform(0, 250, (boxes, 2)), generator.uniform(20, 120, (boxes, 2))])
        stray_labels = np.where(generator.random(boxes) < 0.5, labels, generator.integers(classes, size=boxes))
        found = np.concatenate([near, near + 2, stray])
        scores = np.concatenate([generator.beta(3, 2, 2 * boxes), generator.beta(1, 3, boxes)])
        before = Detections.from_rows(
            np.tile(places, 3), np.abs(found), scores.round(3), np.concatenate([labels, stray_labels, labels])
        )
        after = before.with_scores(np.clip(0.7 * scores + 0.3 * generator.random(len(scores)), 0, 1))
        return truth, before, after

    return make
