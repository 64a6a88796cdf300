"""Records: which boxes stand together, and where the photos are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import ImageError
from risf_core.photos import ImageInfo
from risf_core.records import dataset_records
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names


def dataset(positions: list[int], labels: list[int], *, ids: list[int] | None = None) -> AnnotatedDataset:
    """Boxes numbered from 1 in images a, b, c; box n is at x = n."""
    count = len(positions)
    boxes = np.array([[n + 1.0, 2, 3, 4] for n in range(count)]).reshape(count, 4)
    table = AnnotatedDataset.from_columns(
        ClassVocabulary.from_names(["cat", "dog"]),
        [ImageInfo(name, f"{name}.jpg", 10, 20) for name in "abc"],
        np.array(positions, dtype=np.int64),
        np.array(labels, dtype=np.int64),
        boxes,
        difficult=np.arange(count) == 1,
    )
    return table if ids is None else replace(table, annotation_ids=np.array(ids))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    return tmp_path


def test_boxes_of_an_image_are_one_record_in_order_of_first_appearance(photos: Path) -> None:
    found = dataset_records(dataset([1, 0, 1], [0, 1, 1]), image_folders=[photos])
    first, second = found.records
    assert (first.image_id, first.path, first.height, first.width) == ("b", photos / "b.jpg", 10, 20)
    assert first.boxes.tolist() == [[1, 2, 4, 6], [3, 2, 6, 6]]
    assert first.labels.tolist() == [0, 1]
    assert second.image_id == "a"
    assert second.difficult.tolist() == [True]


def test_one_record_a_box_repeats_the_image_without_its_other_boxes(photos: Path) -> None:
    found = dataset_records(dataset([1, 0, 1], [0, 1, 1]), image_folders=[photos], form="box")
    assert [(record.image_id, record.boxes.tolist()) for record in found.records] == [
        ("b", [[1, 2, 4, 6]]), ("a", [[2, 2, 5, 6]]), ("b", [[3, 2, 6, 6]]),
    ]  # fmt: skip


def test_a_box_that_stands_twice_is_one_box_of_its_image_and_two_records_of_its_own(photos: Path) -> None:
    data = dataset([0, 0], [1, 1], ids=[5, 5])
    assert [len(record) for record in dataset_records(data, image_folders=[photos]).records] == [1]
    assert len(dataset_records(data, image_folders=[photos], form="box")) == 2


def test_missing_photos_are_counted_and_named(photos: Path) -> None:
    (photos / "a.jpg").unlink()
    with pytest.raises(ImageError) as caught:
        dataset_records(dataset([0, 1], [0, 0]), image_folders=[photos])
    assert str(caught.value).startswith(f"1 of 2 images have no photo in {photos}: image_id 'a' (looked for 'a.jpg', ")
    with pytest.raises(ImageError) as caught:
        dataset_records(dataset([0], [0]), image_folders=[])
    assert_names(str(caught.value), "1", "'a'", "'a.jpg'", "`images`")
