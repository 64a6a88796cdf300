"""From photo to batch and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from risf_core.detector.architecture import InputSettings
from risf_core.detector.inputs import batch_of, in_photo, network_pixels, resized_size
from risf_core.detector.roi_heads import ImageDetections


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 640), (800, 1067)),  # 800 / 480 x 640 = 1066.67
        ((640, 480), (1067, 800)),
        ((300, 900), (444, 1333)),  # 2400 wide would pass 1333: 1333 / 900 x 300 = 444.33
        ((800, 800), (800, 800)),
        ((1, 4000), (1, 1333)),  # a side never vanishes
    ],
)
def test_the_short_side_is_800_unless_the_long_one_would_pass_1333(size, expected) -> None:
    assert resized_size(size, short_side=800, long_side=1333) == expected


def test_a_photo_becomes_bgr_pixels() -> None:
    photo = np.zeros((4, 6, 3), dtype=np.uint8)
    photo[:, :, 0], photo[:, :, 2] = 200, 10  # red and blue
    pixels = network_pixels(photo, (2, 3))
    assert pixels.dtype == torch.uint8
    assert pixels.shape == (3, 2, 3)
    assert [channel.unique().tolist() for channel in pixels] == [[10], [0], [200]]


def test_a_batch_takes_off_the_mean_and_pads_with_0() -> None:
    images = [torch.full((3, 2, 4), 100, dtype=torch.uint8), torch.full((3, 3, 2), 50, dtype=torch.uint8)]
    batch = batch_of(images, InputSettings(mean=(1.0, 2.0, 3.0)))
    assert batch.pixels.shape == (2, 3, 3, 4)
    assert batch.sizes == [(2, 4), (3, 2)]
    assert batch.pixels[0, :, 0, 0].tolist() == [99.0, 98.0, 97.0]
    assert batch.pixels[0, :, 2].abs().sum() == 0
    assert batch.pixels[1, :, :, 2:].abs().sum() == 0
    assert batch.pixels[1, 2].tolist() == [[47.0, 47.0, 0.0, 0.0]] * 3


def test_boxes_return_to_the_photo_scaled_clipped_and_without_empty_ones() -> None:
    found = ImageDetections(
        torch.tensor([[20.0, 10.0, 40.0, 30.0], [190.0, 90.0, 200.0, 101.0], [5.0, 5.0, 5.0, 9.0]]),
        torch.tensor([0.9, 0.8, 0.7]),
        torch.tensor([1, 0, 1]),
    )
    back = in_photo(found, size=(100, 200), photo_size=(50, 400))
    assert back.boxes.tolist() == [[40.0, 5.0, 80.0, 15.0], [380.0, 45.0, 400.0, 50.0]]
    assert back.scores.tolist() == pytest.approx([0.9, 0.8])
    assert back.labels.tolist() == [1, 0]
