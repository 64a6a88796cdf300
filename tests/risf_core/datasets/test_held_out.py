"""Lists of test images, in the forms that people have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from risf_core.datasets.held_out import read_held_out
from risf_core.errors import DataError
from risf_core.photos import ImageInfo

WriteJson = Callable[..., Path]
IMAGES = (
    ImageInfo(42, "COCO_val2014_000000000042.jpg"), ImageInfo(7, "COCO_train2014_000000000007.jpg"),
    ImageInfo("2008_000003", "VOC2012/JPEGImages/2008_000003.jpg"),
)  # fmt: skip


def held_out(path: Path) -> tuple[list[int], int]:
    positions, chance = read_held_out(path).positions(IMAGES)
    return positions.tolist(), chance


def test_a_coco_file_holds_out_its_images_whichever_year_names_them(write_json: WriteJson) -> None:
    content = {
        "images": [{"id": 42, "file_name": "000000000042.jpg"}, {"id": 7, "file_name": "other.jpg"}],
        "annotations": [{"image_id": 7}],
    }
    assert held_out(write_json("5k.json", content)) == ([0], 1)


def test_a_coco_file_without_file_names_goes_by_ids(write_json: WriteJson) -> None:
    assert held_out(write_json("5k.json", {"images": [{"id": 7}, {"id": 99}]})) == ([1], 0)


def test_ids_are_compared_as_text(write_json: WriteJson) -> None:
    for stated, own in (("3", "3"), (3, "3"), ("3", 3)):
        images = (ImageInfo(own, "a.jpg"), ImageInfo(4))
        for content in ([stated], {"images": [{"id": stated}]}):
            assert read_held_out(write_json("ids.json", content)).positions(images)[0].tolist() == [0]


def test_a_text_list_holds_out_images_whose_ids_are_text(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("3\n")
    assert read_held_out(tmp_path / "test.txt").positions((ImageInfo("3"), ImageInfo(4)))[0].tolist() == [0]


def test_a_name_with_blanks_is_one_name(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("  my photo 3.jpg \nother 1\nthird  -1\nfourth 2\n")
    images = tuple(ImageInfo(i, name) for i, name in enumerate(("my photo 3.jpg", "other.jpg", "third.jpg", "4.jpg")))
    assert read_held_out(tmp_path / "test.txt").positions(images)[0].tolist() == [0, 1, 2]


def test_entries_are_counted_once_whatever_images_they_mean(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("a.jpg\nb.jpg\nnowhere.jpg\n")
    images = (ImageInfo(1, "x/a.jpg"), ImageInfo(2, "y/a.jpg"), ImageInfo(3, "b.jpg"), ImageInfo(4, "c.jpg"))
    assert read_held_out(tmp_path / "test.txt").entries_among(images) == 2


def test_a_json_list_holds_ids(write_json: WriteJson) -> None:
    assert held_out(write_json("ids.json", [7, "2008_000003"])) == ([1, 2], 0)


@pytest.mark.parametrize(
    ("line", "position"),
    [("42", 0), ("COCO_train2014_000000000007", 1), ("VOC2012/JPEGImages/2008_000003.jpg", 2), ("2008_000003 -1", 2)],
)
def test_a_text_list_holds_ids_file_names_or_stems(tmp_path: Path, line: str, position: int) -> None:
    (tmp_path / "test.txt").write_text(f"{line}\n\n")
    assert held_out(tmp_path / "test.txt") == ([position], 0)


def test_a_file_of_something_else_is_refused(write_json: WriteJson) -> None:
    path = write_json("x.json", {"categories": []})
    with pytest.raises(DataError) as caught:
        read_held_out(path)
    assert str(caught.value) == f"{path}: holds no images; a COCO JSON or a list of image ids is needed"
