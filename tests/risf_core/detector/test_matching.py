"""Matching to ground truth against a plain loop, and the drawing of what a step trains on."""

from __future__ import annotations

import torch

from risf_core.detector.matching import RandomSampler, match_boxes


def plain_iou(a: list[float], b: list[float]) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def random_boxes(count: int, seed: int) -> torch.Tensor:
    boxes = torch.rand(count, 4, generator=torch.Generator().manual_seed(seed)) * 60
    boxes[:, 2:] += boxes[:, :2] + 5
    return boxes


def test_matches_are_those_of_a_plain_loop() -> None:
    truth, boxes = random_boxes(4, 0), random_boxes(300, 1)
    for keep_best in (False, True):
        matches, kinds = match_boxes(truth, boxes, background_below=0.3, foreground_from=0.5, keep_best=keep_best)
        table = [[plain_iou(t, b) for t in truth.tolist()] for b in boxes.tolist()]
        best_of_truth = [max(row[t] for row in table) for t in range(4)]
        for row, match, kind in zip(table, matches.tolist(), kinds.tolist(), strict=True):
            best = max(row)
            assert abs(row[match] - best) < 1e-6
            expected = 1 if best >= 0.5 else 0 if best < 0.3 else -1
            if keep_best and any(abs(row[t] - best_of_truth[t]) < 1e-7 for t in range(4)):
                expected = 1
            assert kind == expected
        assert set(kinds.tolist()) == {-1, 0, 1}


def test_the_best_box_of_a_true_box_is_kept_however_little_it_overlaps() -> None:
    truth = torch.tensor([[0.0, 0.0, 10.0, 10.0]])
    boxes = torch.tensor([[8.0, 8.0, 30.0, 30.0], [20.0, 20.0, 30.0, 30.0]])
    _, kinds = match_boxes(truth, boxes, background_below=0.3, foreground_from=0.7, keep_best=True)
    assert kinds.tolist() == [1, 0]


def test_without_true_boxes_all_is_background() -> None:
    matches, kinds = match_boxes(
        torch.zeros(0, 4), random_boxes(5, 0), background_below=0.3, foreground_from=0.7, keep_best=True
    )
    assert (matches.tolist(), kinds.tolist()) == ([0] * 5, [0] * 5)


def test_the_sampler_fills_up_with_negatives_and_never_repeats() -> None:
    sampler = RandomSampler(torch.Generator().manual_seed(0))
    positives, negatives = torch.arange(100, 110), torch.arange(1000)
    chosen, rest = sampler(positives, negatives, count=256, positive_fraction=0.5)
    assert sorted(chosen.tolist()) == list(range(100, 110))
    assert len(rest) == len(set(rest.tolist())) == 246
    chosen, rest = sampler(torch.arange(500), torch.arange(7), count=64, positive_fraction=0.25)
    assert (len(set(chosen.tolist())), len(rest)) == (16, 7)


def test_the_same_generator_draws_the_same_boxes_and_every_box_may_be_drawn() -> None:
    def draw(seed: int) -> list[int]:
        sampler = RandomSampler(torch.Generator().manual_seed(seed))
        return sampler(torch.arange(20), torch.arange(0), count=10, positive_fraction=0.5)[0].tolist()

    assert draw(1) == draw(1)
    assert {position for seed in range(60) for position in draw(seed)} == set(range(20))
