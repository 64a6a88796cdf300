"""Boxes and category ids of other conventions: recognised and refused, or converted where a person states them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risf_core.errors import DataError
from risf_core.formats.conventions import check_boxes, labels_of, to_xywh
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
SIZES = {1: (100, 200), 2: (50, 50)}  # (height, width)


def labels(ids, convention="dataset", unknown="error", **options):
    return labels_of(ids, PETS, convention=convention, unknown=unknown, name="d.json", **options).tolist()


def checked(boxes, *, convention="xywh", image_ids=None, sizes=SIZES):
    boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    check_boxes(boxes, image_ids or [1] * len(boxes), sizes, convention=convention, name="d.json")


def converted(boxes, convention, image_ids=(1,), sizes=SIZES):
    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return to_xywh(array, image_ids, sizes, convention=convention, name="d.json").tolist()


def test_category_ids_are_the_datasets_own_or_positions():
    assert labels([3, 17, 18, 17]) == [2, 0, 1, 0]
    assert labels([0, 2, 1], "positions") == [0, 2, 1]
    assert labels([1, 3, 2], "positions-from-1") == [0, 2, 1]
    assert labels([]) == []


@pytest.mark.parametrize("convention", ["dataset", "positions", "positions-from-1"])
def test_unknown_category_ids_are_kept_on_demand_as_no_label(convention):
    assert labels([99, -1], convention, "keep") == [-1, -1]


@pytest.mark.parametrize(
    ("ids", "convention", "message"),
    [
        ([17, 99, 4, 99], "dataset", "category_id 4, 99 unknown to the 3 classes (ids 3..18); pass the detector's own "
            "annotations, or decide about such rows with `on_unmatched`"),
        ([0, 1, 2], "dataset", "category_id 0, 1, 2 unknown to the 3 classes (ids 3..18); the ids look like positions "
            "from 0: pass `category_ids=positions`"),
        ([1, 2, 3], "dataset", "category_id 1, 2 unknown to the 3 classes (ids 3..18); the ids look like positions "
            "from 1: pass `category_ids=positions-from-1`"),
        ([1, 2], "dataset", "category_id 1, 2 unknown to the 3 classes (ids 3..18); the ids fit as positions from 0 "
            "(`category_ids=positions`) or as positions from 1 (`category_ids=positions-from-1`): pass the one that "
            "the detector writes"),
        ([0, 3], "positions", "category_id 3 unknown to the 3 classes (ids 3..18); pass the detector's own "
            "annotations, or decide about such rows with `on_unmatched`"),
        ([1, 2, 3], "positions", "category_id 3 unknown to the 3 classes (ids 3..18); the ids look like positions from "
            "1: pass `category_ids=positions-from-1`"),
        ([10**30], "dataset", f"category_id {10**30} unknown to the 3 classes (ids 3..18); pass the detector's own "
            "annotations, or decide about such rows with `on_unmatched`"),
    ],
)  # fmt: skip
def test_unknown_category_ids_are_named_with_the_likely_cause(ids, convention, message):
    with pytest.raises(DataError) as caught:
        labels(ids, convention)
    assert str(caught.value) == f"d.json: {message}"


@pytest.mark.parametrize(
    ("ids", "cause"),
    [
        ([0, 1, 2], "positions from 0: pass `category_ids=positions`, or leave these rows out"),
        ([1, 2, 3], "positions from 1: pass `category_ids=positions-from-1`, or leave these rows out"),
    ],
)
def test_ids_that_are_all_positions_are_named_though_unknown_ones_are_kept(ids, cause):
    with pytest.raises(DataError) as caught:
        labels(ids, unknown="keep")
    assert str(caught.value).endswith(f"the ids look like {cause}")
    assert labels([*ids, 18], unknown="keep")[-1] == 1


def test_where_ids_were_counted_the_way_out_is_to_count_from_zero():
    counted = ClassVocabulary(("a", "b", "c"), (1, 2, 3), counted=True).with_novel(["b"])
    with pytest.raises(DataError) as caught:
        labels_of([0, 1], counted, convention="dataset", unknown="error", name="x.json")
    assert str(caught.value).endswith("the ids look like positions from 0: pass `first_id=0`")


@pytest.mark.parametrize(
    ("boxes", "convention"),
    [
        ([], "xywh"),
        ([[0, 0, 200, 100]], "xywh"),
        ([[-3, -3, 200, 100]], "xywh"),  # detectors reach past the edge
        ([[10, 10, 0, 0]], "xywh"),  # degenerate boxes are for the one who crops
        ([[0, 0, 0, 0]], "xywh"),
        ([[10, 10, 5, 5]] * 20 + [[150, 50, 180, 90]], "xywh"),  # one row past the edge is no other convention
        ([[150, 60, 180, 90]], "xyxy"),
        ([[0.1, 0.1, 0.5, 0.5]], "xywh-relative"),
        ([[0.1, 0.1, 1.02, 1]], "xyxy-relative"),
    ],
)
def test_boxes_of_the_stated_convention_pass(boxes, convention):
    checked(boxes, convention=convention)


def test_boxes_of_images_of_unknown_size_pass():
    checked([[150, 60, 180, 90]], image_ids=[77])
    checked([[150, 60, 180, 90]], sizes={})


@pytest.mark.parametrize(
    ("boxes", "convention", "message"),
    [
        ([[1, 2, 3, 4], [5, 6, -7, 8]], "xywh", "row 1: bbox [5.0, 6.0, -7.0, 8.0] has a negative width or height "
            "(1 such row); a box is [x, y, width, height]"),
        ([[5, 6, 7, -8], [5, 6, -7, 8]], "xywh", "row 0: bbox [5.0, 6.0, 7.0, -8.0] has a negative width or height "
            "(2 such rows); a box is [x, y, width, height]"),
        ([[0.1, 0.1, -0.5, 0.5]], "xywh-relative", "row 0: bbox [0.1, 0.1, -0.5, 0.5] has a negative width or height "
            "(1 such row); a box is [x, y, width, height]"),
        ([[50, 10, 20, 20]], "xyxy", "row 0: bbox [50.0, 10.0, 20.0, 20.0] ends before it begins, so it is not "
            "[x0, y0, x1, y1]; pass `boxes=xywh` if it is [x, y, width, height]"),
        ([[0.1, 0.1, 0.5, 0.5], [1, 2, 3, 4]], "xyxy-relative", "row 1: bbox [1.0, 2.0, 3.0, 4.0] is not relative to "
            "the image's size (0..1)"),
        ([[150, 60, 180, 90], [100, 20, 199, 99]], "xywh", "the boxes look like corners [x0, y0, x1, y1], not "
            "[x, y, width, height]: read so, many run past their images; pass `boxes=xyxy`"),
        ([[0.5, 0.5, 0.4, 0.4]], "xywh", "every number of every bbox is in 0..1, so the boxes look relative to the "
            "image's size; pass `boxes=xywh-relative` (or convert them to pixels)"),
        ([[0.5, 0.5, 1.01, 0.9], [0.6, 0.1, 0.9, 0.2]], "xywh", "every number of every bbox is in 0..1, so the boxes "
            "look relative to the image's size; pass `boxes=xyxy-relative` (or convert them to pixels)"),
    ],
)  # fmt: skip
def test_boxes_of_another_convention_are_named(boxes, convention, message):
    with pytest.raises(DataError) as caught:
        checked(boxes, convention=convention)
    assert str(caught.value) == f"d.json: {message}"


def test_corners_are_told_though_a_few_rows_reach_past_the_edge():
    corners = [[100, 20, 199, 99]] * 98
    for odd in ([150, 60, 230, 90], [20, 20, 10, 10]):  # past the edge as corners too; no corners at all
        with pytest.raises(DataError, match="the boxes look like corners"):
            checked([*corners, odd, odd])
        checked([*corners[:40], *[odd] * 5])


def test_centres_are_told():
    by_hand = [[150, 50, 100, 60], [100, 50, 199, 99], [170, 60, 40, 40]]  # in an image 200 wide and 100 high
    with pytest.raises(DataError, match="look like a centre and sides"):
        checked(by_hand)
    with pytest.raises(DataError, match="as centre x, centre y"):
        checked([[x / 200, y / 100, w / 200, h / 100] for x, y, w, h in by_hand])


def test_boxes_that_mostly_run_past_their_images_are_a_warning(caplog):
    checked([[300, 20, 80, 30], [400, 90, 100, 100], [10, 10, 20, 20]])
    assert "2 of 3 boxes run past their images, such as [300.0, 20.0, 80.0, 30.0] of one 200 x 100" in caplog.text


def test_each_convention_becomes_x_y_width_height_in_pixels():
    # image 1 is 200 wide and 100 high: by hand
    assert converted([10, 20, 30, 40], "xywh") == [[10, 20, 30, 40]]
    assert converted([10, 20, 30, 60], "xyxy") == [[10, 20, 20, 40]]
    assert converted([0.25, 0.5, 0.5, 0.25], "xywh-relative") == [[50, 50, 100, 25]]
    assert converted([0.25, 0.5, 0.75, 0.75], "xyxy-relative") == [[50, 50, 100, 25]]
    assert converted([], "xyxy-relative", ()) == []


def test_each_row_is_scaled_by_its_own_image():
    rows = [[0.5, 0.5, 0.5, 0.5]] * 2
    assert converted(rows, "xywh-relative", (2, 1)) == [[25, 25, 25, 25], [100, 50, 100, 50]]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), max_size=5))
def test_x_y_width_height_comes_back_digit_for_digit(boxes):
    assert converted(boxes, "xywh", [1] * len(boxes)) == boxes


def test_relative_boxes_of_an_image_of_unknown_size_are_refused():
    with pytest.raises(DataError) as caught:
        converted([[0.1, 0.1, 0.2, 0.2]] * 2, "xywh-relative", (1, 8))
    assert_names(str(caught.value), "d.json", "8", "`annotations`")


def test_corners_are_told_where_only_some_images_have_a_size_and_ids_are_strings():
    corners = [[90.0, 40.0, 190.0, 90.0]] * 3
    with pytest.raises(DataError) as caught:
        checked(corners, image_ids=["a", "b", "a"], sizes={"a": (100, 200)})
    assert "the boxes look like corners" in str(caught.value)
    checked(corners, image_ids=["b", "c", "b"], sizes={"a": (100, 200)})


def test_a_relative_box_that_is_not_clipped_does_not_make_the_others_pixels():
    boxes = [[0.1, 0.1, 0.5, 0.5]] * 99 + [[0.2, 0.1, 1.25, 0.9]]
    checked(boxes, convention="xywh-relative")
    with pytest.raises(DataError, match="not relative"):
        checked(boxes[:1] + boxes[-1:], convention="xywh-relative")
