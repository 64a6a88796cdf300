"""Image ids that do not fit: the error names both sets and the cause, an explicit convention maps them."""

from __future__ import annotations

import pytest

from risf_core.errors import DataError
from risf_core.formats.image_ids import own_image_ids
from risf_core.photos import ImageInfo
from tests.messages import assert_names

NAMES = {40: "val/0012.jpg", 10: "val/0007.jpg", 30: "val/cat.png"}
IMAGES = {image_id: ImageInfo(image_id, name) for image_id, name in NAMES.items()}


def own(*image_ids: int | str, images=IMAGES, **options) -> list:
    return own_image_ids(list(dict.fromkeys(image_ids)), images, **options)


def test_ids_of_the_dataset_are_left_as_they_are():
    assert own(10, 40) == [10, 40]


@pytest.mark.parametrize(
    ("image_ids", "convention", "cause"),
    [
        (["40", "10", "40"], "text", "the ids look like the annotations' ids in another type (text or number)"),
        (["0012.jpg", "0007.jpg", "0012.jpg"], "file-names", "the ids look like file names"),
        (["val/0012.jpg", "val/0007.jpg", "val/0012.jpg"], "file-names", "the ids look like file names"),
        (["C:\\v\\0012.JPG", "0007_jpg.rf.0a1b.jpg", "C:\\v\\0012.JPG"], "file-names", "the ids look like file names"),
        (["0012", "0007", "0012"], "stems", "the ids look like file names without their ending"),
        ([12, 7, 12], "stems", "the ids look like file names without their ending"),
        ([0, 1, 0], "positions", "the ids look like positions from 0"),
        ([1, 2, 1], "positions-from-1", "the ids look like positions from 1"),
    ],
)  # fmt: skip
def test_each_likely_cause_is_named_and_its_convention_maps_the_ids(image_ids, convention, cause):
    if convention == "positions-from-1":
        image_ids = [1, 2, 3, 1]
    with pytest.raises(DataError) as caught:
        own(*image_ids, name="dets.json")
    assert str(caught.value).endswith(f"(40, 10, 30); {cause}: pass `image_ids={convention}`")
    mapped = own(*image_ids, convention=convention)
    assert mapped[:2] == [40, 10]


def test_two_conventions_that_fit_are_both_named():
    with pytest.raises(DataError) as caught:
        own(1, 2)
    assert str(caught.value).endswith(
        "the ids fit as positions from 0 (`image_ids=positions`) or as positions from 1 "
        "(`image_ids=positions-from-1`): pass the one that the detector writes"
    )
    same = {1: ImageInfo(1, "0.jpg"), 2: ImageInfo(2, "1.jpg")}  # stems and positions lead to the same images
    with pytest.raises(DataError) as caught:
        own(0, 1, images=same)
    assert str(caught.value).endswith("the ids look like file names without their ending: pass `image_ids=stems`")


def test_text_ids_of_a_dataset_are_found_by_number():
    images = {"139": ImageInfo("139"), "photo": ImageInfo("photo")}
    assert own(139, images=images, convention="text") == ["139"]


def test_ids_of_another_dataset_are_named_with_those_of_the_annotations():
    with pytest.raises(DataError) as caught:
        own(10, 990, 991, name="dets.json")
    assert_names(str(caught.value), "dets.json", "990, 991", "3 images", "40, 10, 30", "1 of the 3", "`on_unmatched`")


def test_ids_of_which_most_fit_are_not_taken_for_positions():
    images = {image_id: ImageInfo(image_id, f"{image_id}.jpg") for image_id in (0, 2, 3, 5, 7, 9, *range(20, 40))}
    with pytest.raises(DataError) as caught:
        own(*range(10), images=images, name="dets.json")
    assert_names(
        str(caught.value), "dets.json", "1, 4, 6, 8", "26", "0, 2, 3, 5, 7", "21", "6 of the 10", "`on_unmatched`"
    )


@pytest.mark.parametrize(("ids", "first", "convention"), [((1, 5), 0, "positions"), ((0, 4), 1, "positions-from-1")])
def test_ids_that_are_off_by_one_are_taken_for_positions_though_most_fit(ids, first, convention):
    images = {image_id: ImageInfo(image_id) for image_id in range(ids[0], ids[1] + 1)}
    with pytest.raises(DataError) as caught:
        own(*range(first, first + len(images)), images=images)
    assert str(caught.value).endswith(f"pass `image_ids={convention}`")


def test_rows_of_other_images_are_left_out_on_demand():
    assert own(10, 990, 40, on_unmatched="drop") == [10, None, 40]
    positions = own(0, 990, 2, convention="positions", on_unmatched="drop")
    assert positions == [40, None, 30]


def test_rows_of_other_images_keep_their_ids_on_demand():
    kept = own(0, 990, 2, convention="positions", on_unmatched="keep")
    assert kept == [40, None, 30]


@pytest.mark.parametrize("on_unmatched", ["drop", "keep"])
@pytest.mark.parametrize(
    ("image_ids", "convention"), [([0, 1], "positions"), (["40", "10"], "text"), (["0012", "0007"], "stems")]
)
def test_ids_of_another_convention_are_named_though_rows_of_other_images_pass(image_ids, convention, on_unmatched):
    with pytest.raises(DataError) as caught:
        own(*image_ids, on_unmatched=on_unmatched)
    assert str(caught.value).endswith(f"pass `image_ids={convention}`, or leave these rows out")


def test_a_row_that_fits_no_image_does_not_become_one_of_another():
    with pytest.raises(DataError) as caught:
        own(0, 10, convention="positions", on_unmatched="keep", name="d.json")
    assert_names(str(caught.value), "d.json", "10", "`on_unmatched=drop`")
    assert own(0, 10, convention="positions", on_unmatched="drop") == [40, None]


@pytest.mark.parametrize(
    ("stated", "written"),
    [("cat_jpg.rf.1f2e3d.jpg", "cat.jpg"), ("IMG_1.JPG", "img_1.jpg"), ("caf\u00e9.jpg", "cafe\u0301.jpg")],
)
def test_file_names_that_tools_changed_on_the_way_are_found_where_one_alone_fits(stated: str, written: str) -> None:
    images = {7: ImageInfo(7, stated), 8: ImageInfo(8, "other.jpg")}
    assert own_image_ids([written], images, convention="file-names") == [7]
    twins = {**images, 9: ImageInfo(9, f"sub/{stated}")}
    with pytest.raises(DataError):
        own_image_ids([written], twins, convention="file-names")
