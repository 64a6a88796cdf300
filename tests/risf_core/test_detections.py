"""The table: what it keeps, what it refuses, and that every view of it agrees with a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risf_core.detections import Detections, factorize, image_id_array

IMAGE_IDS = st.lists(st.one_of(st.integers(-(2**70), 2**70), st.text(max_size=3)), max_size=30)


def table(*image_ids, extras=None):
    count = len(image_ids)
    boxes = [[row, row + 0.25, 10.0, 20.0] for row in range(count)]
    return Detections.from_rows(
        list(image_ids), boxes, [row / 100 for row in range(count)], list(range(count)), extras=extras
    )


def test_numbers_are_kept_as_64_bit_and_anything_else_as_it_is():
    assert table(3, 1).image_ids.dtype == np.int64
    for ids in (["3", 1], ["a"], [2**63, 1], [-(2**63) - 1]):
        kept = table(*ids).image_ids
        assert kept.dtype == object
        assert kept.tolist() == ids
        assert list(map(type, kept.tolist())) == list(map(type, ids))


@pytest.mark.parametrize(
    "given_ids",
    [np.array([5, 2], dtype=np.int32), np.array([5, 2], dtype=np.uint64), [np.int64(5), np.int16(2)], [5, np.int64(2)]],
)
def test_numpy_integers_of_any_width_are_ids_too(given_ids):
    ids = image_id_array(given_ids)
    assert ids.dtype == np.int64
    assert ids.tolist() == [5, 2]


def test_unsigned_ids_over_63_bits_do_not_wrap_round():
    assert image_id_array(np.array([2**64 - 1], dtype=np.uint64)).tolist() == [2**64 - 1]


def test_numpy_strings_become_plain_ones():
    ids = image_id_array(np.array(["a", "bc"])).tolist()
    assert ids == ["a", "bc"]
    assert {type(i) for i in ids} == {str}


def test_columns_cannot_be_written_to():
    detections = table(1, 2)
    for column in ("image_ids", "boxes_xywh", "scores", "labels", "extras"):
        with pytest.raises(ValueError) as caught:
            getattr(detections, column)[0] = 0
        assert "read-only" in str(caught.value)


@pytest.mark.parametrize(
    ("boxes", "scores", "message"),
    [
        ([[1, 2, 3, 4]], [0.5, 0.5], "boxes_xywh has shape (1, 4), expected (2, 4)"),
        ([[1, 2], [3, 4], [5, 6], [7, 8]], [0.5, 0.5], "boxes_xywh has shape (4, 2), expected (2, 4)"),
        ([[1, 2, 3, 4]] * 2, [0.5], "scores has shape (1,), expected (2,)"),
    ],
)
def test_columns_of_other_lengths_are_a_fault_of_the_caller(boxes, scores, message):
    with pytest.raises(ValueError) as caught:
        Detections.from_rows([1, 2], boxes, scores, [0, 0])
    assert str(caught.value) == message


def test_boxes_are_corners_and_leave_the_table_as_it_is():
    detections = Detections.from_rows([1], [[0.1, 0.2, 0.7, 0.4]], [0.5], [0])
    assert detections.boxes.tolist() == [[0.1, 0.2, 0.1 + 0.7, 0.2 + 0.4]]
    detections.boxes[0, 0] = 99
    assert detections.boxes_xywh.tolist() == [[0.1, 0.2, 0.7, 0.4]]


def test_rows_are_taken_by_mask_by_positions_and_by_slice():
    detections = table(7, 8, "a", 9)
    assert detections[np.array([True, False, True, False])].image_ids.tolist() == [7, "a"]
    assert detections[np.array([3, 0])].boxes_xywh[:, 0].tolist() == [3, 0]
    assert detections[1:3].scores.tolist() == [0.01, 0.02]
    assert len(detections[np.zeros(4, dtype=bool)]) == 0


def test_equality_is_by_content_of_every_column():
    assert table(1, 2) == table(1, 2)
    assert table(1, 2) != table(1, "2")
    assert table(1, 2) != table(1)
    assert table(1) != table(1).with_scores([0.5])
    assert table(1, extras=[{"a": 1}]) != table(1, extras=[{"a": 2}])
    assert table(1, extras=[{}]) == table(1)
    assert table(1) != [1]
    with pytest.raises(TypeError):
        hash(table(1))


def test_with_scores_returns_a_new_table_and_checks_its_length():
    before = table(1, 2)
    assert before.with_scores([0.9, 0.8]).scores.tolist() == [0.9, 0.8]
    assert before.scores.tolist() == [0, 0.01]
    with pytest.raises(ValueError) as caught:
        before.with_scores([0.9])
    assert str(caught.value) == "scores has shape (1,), expected (2,)"


def test_with_extras_adds_to_the_chosen_rows_alone_and_edits_nothing():
    own = {"area": 3}
    before = table(1, 2, 3, extras=[own, None, None])
    after = before.with_extras(np.array([0, 2]), {"score_clip": np.array([0.5, 0.25]), "n": np.array([1, 2])})
    assert after.extras.tolist() == [
        {"area": 3, "score_clip": 0.5, "n": 1}, None, {"score_clip": 0.25, "n": 2},
    ]  # fmt: skip
    assert type(after.extras[0]["n"]) is int
    assert before.extras.tolist() == [{"area": 3}, None, None]
    assert own == {"area": 3}


def test_concatenate_keeps_every_row_and_the_type_of_each_id():
    joined = Detections.concatenate([table(1, 2), Detections.empty(), table("1", extras=[{"k": 0}])])
    assert joined.image_ids.tolist() == [1, 2, "1"]
    assert joined.extras.tolist() == [None, None, {"k": 0}]
    assert joined.labels.tolist() == [0, 1, 0]
    assert Detections.concatenate([]) == Detections.empty()
    assert len(Detections.empty()) == 0


@given(IMAGE_IDS)
def test_factorize_numbers_ids_in_order_of_first_appearance(ids):
    codes, distinct = factorize(image_id_array(ids))
    assert distinct == list(dict.fromkeys(ids))
    assert [distinct[code] for code in codes.tolist()] == ids


@given(IMAGE_IDS)
def test_by_image_gives_each_image_its_rows_in_order(ids):
    found = [(image_id, rows.tolist()) for image_id, rows in table(*ids).by_image()]
    assert found == [(i, [row for row, other in enumerate(ids) if other == i]) for i in dict.fromkeys(ids)]
