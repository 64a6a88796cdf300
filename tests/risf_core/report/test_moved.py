"""Which rows are the same in two files, and which of them are shown."""

from __future__ import annotations

import numpy as np
import pytest

from risf_core.detections import Detections
from risf_core.report.comparison import compare_files
from risf_core.report.moved import moved_rows
from risf_core.report.pairing import pair_rows
from risf_core.report.verdicts import FALSE, IGNORED, TRUE


def test_rows_are_paired_by_image_class_and_box_whatever_their_order(made):
    _, before, after = made()
    order = np.random.default_rng(0).permutation(len(after))
    pairs = pair_rows(before, after[order])
    assert pairs.before.tolist() == list(range(len(before)))
    assert order[pairs.after].tolist() == list(range(len(before)))
    assert not len(pairs.only_before)
    assert not len(pairs.only_after)


def test_repeated_rows_are_paired_one_by_one_and_the_rest_stays_alone():
    box, other = [1.5, 2, 3, 4], [1.5, 2, 3, 4.0001]
    before = Detections.from_rows(["a", "a", "a", "b"], [box, box, other, box], [0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0])
    after = Detections.from_rows(["b", "a", "c"], [box, box, box], [0.5, 0.6, 0.7], [1, 0, 0])
    pairs = pair_rows(before, after)
    assert list(zip(pairs.before.tolist(), pairs.after.tolist(), strict=True)) == [(0, 1)]
    assert (pairs.only_before.tolist(), pairs.only_after.tolist()) == ([1, 2, 3], [0, 2])
    empty = pair_rows(Detections.empty(), after)
    assert (len(empty), empty.only_after.tolist()) == (0, [0, 1, 2])


@pytest.mark.parametrize("seed", range(3))
def test_moved_rows_are_those_of_a_plain_loop(made, seed):
    truth, before, after = made(seed=seed)
    comparison = compare_files(before, after, truth, names=("b", "a"), threshold=0.5, resamples=0)
    moved = moved_rows(comparison, most=1000)
    verdicts = [file.verdicts for file in comparison.files]
    rows = range(len(before))
    counting = [row for row in rows if IGNORED not in (verdicts[0][row], verdicts[1][row])]
    dropped = [row for row in rows if before.scores[row] >= 0.5 > after.scores[row]]
    lifted = [row for row in rows if before.scores[row] < 0.5 <= after.scores[row]]
    assert {kind: own.count for kind, own in moved.items()} == {
        "rises": sum(after.scores[row] > before.scores[row] for row in counting),
        "falls": sum(after.scores[row] < before.scores[row] for row in counting),
        "false removed": sum(verdicts[0][row] == FALSE for row in dropped),
        "true lost": sum(verdicts[0][row] == TRUE for row in dropped),
        "true gained": sum(verdicts[1][row] == TRUE for row in lifted),
        "false added": sum(verdicts[1][row] == FALSE for row in lifted),
    }
    changes = [row.score_after - row.score_before for row in moved["rises"].rows]
    assert changes == sorted(changes, reverse=True)
    assert changes[0] == max(after.scores[row] - before.scores[row] for row in counting)
    assert all(row.score_before >= 0.5 > row.score_after for row in moved["true lost"].rows)


def test_a_box_that_several_classes_share_is_shown_once_a_kind(made):
    truth, _, _ = made()
    boxes = [[10, 10, 40, 40]] * 3 + [[100, 10, 40, 40]]
    before = Detections.from_rows([0] * 4, boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 2, 0])
    after = before.with_scores(np.array([0.1, 0.1, 0.1, 0.1]))
    moved = moved_rows(compare_files(before, after, truth, names=("b", "a"), resamples=0), most=5)
    assert moved["falls"].count == 4
    assert [(row.box[0], row.label) for row in moved["falls"].rows] == [(10, 0), (100, 0)]
    assert (
        len(moved_rows(compare_files(before, after, truth, names=("b", "a"), resamples=0), most=1)["falls"].rows) == 1
    )


def test_a_row_that_after_lacks_is_dropped_and_one_that_before_lacks_is_lifted(made):
    truth, before, _ = made()
    first = compare_files(before, before[:-40], truth, names=("b", "a"), threshold=0.2, resamples=0)
    moved = moved_rows(first, most=1000)
    gone = [row for row in range(len(before) - 40, len(before)) if before.scores[row] >= 0.2]
    assert moved["false removed"].count == sum(first.before.verdicts[row] == FALSE for row in gone)
    assert {row.score_after for row in moved["false removed"].rows} == {None}
    assert moved["rises"].count == moved["falls"].count == 0
    back = moved_rows(compare_files(before[:-40], before, truth, names=("b", "a"), threshold=0.2, resamples=0), most=9)
    assert {row.score_before for row in back["false added"].rows} == {None}


def test_files_without_a_row_in_common_have_nothing_that_moved(made):
    truth, before, _ = made()
    other = Detections.from_rows(before.image_ids, before.boxes_xywh + 1, before.scores, before.labels)
    comparison = compare_files(before, other, truth, names=("b", "a"), resamples=0)
    assert len(comparison.pairs) == 0
    assert {own.count for own in moved_rows(comparison, most=5).values()} == {0}


def test_what_the_encoder_said_comes_from_afters_rows_where_they_keep_it(made):
    truth, before, after = made()
    columns = {"score_clip": np.full(len(after), 0.25), "score_support": np.full(len(after), 0.75)}
    shares = after.with_extras(np.arange(len(after)), columns)
    for table, expected in ((shares, {(0.25, 0.75)}), (after, {(None, None)})):
        moved = moved_rows(compare_files(before, table, truth, names=("b", "a"), resamples=0), most=5)
        assert {(row.score_clip, row.score_support) for row in moved["rises"].rows} == expected
