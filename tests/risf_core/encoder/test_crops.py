"""Crops: colours, sides, edges and padding as a person would draw them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from risf_core.boxes import clip_boxes, has_area
from risf_core.encoder.crops import cut_crops, cut_released_crops

RNG = np.random.default_rng(2)
SMOOTH = np.asarray(
    Image.fromarray(RNG.integers(0, 256, (8, 12, 3), dtype=np.uint8)).resize((120, 80), Image.Resampling.BICUBIC)
)


def boxes(*rows: tuple[float, float, float, float]) -> np.ndarray:
    return np.array(rows, dtype=np.float64)


def test_squash_equals_pillows_crop_and_antialiased_resize_away_from_the_edge():
    crop = cut_crops(SMOOTH, boxes((10, 20, 90, 70)), side=32)[0]
    plain = np.asarray(Image.fromarray(SMOOTH).crop((10, 20, 90, 70)).resize((32, 32), Image.Resampling.BICUBIC))
    difference = np.abs(crop.transpose(1, 2, 0).astype(int) - plain)
    assert difference[2:-2, 2:-2].max() <= 1
    assert difference.max() <= 12  # at the edge ours sees the pixels beyond the box, a crop made first cannot


def test_channels_are_red_green_blue():
    image = np.zeros((10, 10, 3), dtype=np.uint8)
    image[..., 0] = 200
    assert cut_crops(image, boxes((1, 1, 9, 9)), side=4)[0].reshape(3, -1).tolist() == [[200] * 16, [0] * 16, [0] * 16]


def test_fractions_of_a_pixel_move_the_crop():
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    image[:, 4:] = 255
    left, right = cut_crops(image, boxes((2, 0, 6, 8), (2.5, 0, 6.5, 8)), side=8)
    assert right.astype(int).sum() > left.astype(int).sum()


def test_pad_keeps_the_shape_and_fills_the_rest():
    image = np.full((40, 40, 3), 255, dtype=np.uint8)
    crop = cut_crops(image, boxes((0, 10, 40, 20)), side=32, rule="pad", fill=(1, 2, 3))[0]
    assert (crop[:, 12:20] == 255).all()  # 40 x 10 becomes 32 x 8, in the middle
    for channel, value in enumerate((1, 2, 3)):
        assert (crop[channel, :12] == value).all()
        assert (crop[channel, 20:] == value).all()


def test_pad_of_a_hairline_keeps_at_least_one_row():
    crop = cut_crops(np.full((50, 50, 3), 255, dtype=np.uint8), boxes((0, 1, 50, 1.1)), side=16, rule="pad")[0]
    assert (crop == 255).any()


def test_context_is_the_squash_of_a_box_wider_by_a_tenth_a_side_within_the_photo():
    wide = cut_crops(SMOOTH, boxes((50, 30, 70, 50), (0, 0, 100, 80)), side=16, rule="context")
    by_hand = cut_crops(SMOOTH, boxes((48, 28, 72, 52), (0, 0, 110, 80)), side=16)
    assert np.array_equal(wide, by_hand)


def test_released_crops_are_blue_green_red_in_unit_range_by_roi_align():
    crops = cut_released_crops(SMOOTH, boxes((10, 20, 42, 52)), side=32)
    # 32 x 32 pixels to 32 x 32 bins, aligned: bin i samples the middle of pixel i, so pixels come through as they are
    plain = torch.from_numpy(SMOOTH[20:52, 10:42, ::-1].copy()).permute(2, 0, 1).float() / 255
    assert np.abs(crops[0] - plain.numpy()).max() < 1e-5


def test_boxes_are_moved_into_the_photo_and_those_outside_lose_their_area():
    clipped = clip_boxes(boxes((-5, -5, 10, 10), (90, 70, 200, 100), (130, 10, 140, 20), (5, 5, 5, 9)), (80, 120))
    assert clipped.tolist() == [[0, 0, 10, 10], [90, 70, 120, 80], [120, 10, 120, 20], [5, 5, 5, 9]]
    assert has_area(clipped).tolist() == [True, True, False, False]


@pytest.mark.parametrize("rule", ["squash", "pad", "context"])
def test_no_boxes_give_no_crops(rule):
    assert cut_crops(SMOOTH, boxes().reshape(0, 4), side=8, rule=rule).shape == (0, 3, 8, 8)
