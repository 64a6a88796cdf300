"""Examples: size, mirroring, and boxes that stay on their objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.config import DataConfig
from risf_core.errors import ImageError
from risf_core.records import ImageRecord
from risf_core.training.examples import Example, is_portrait, make_example

BOX = (10, 20, 50, 60)  # x0, y0, x1, y1 of a red square on black


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    pixels = np.zeros((80, 160, 3), dtype=np.uint8)
    pixels[BOX[1] : BOX[3], BOX[0] : BOX[2], 0] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def record_of(path: Path, *boxes: tuple[float, ...], size: tuple[int, int] | None = (80, 160)) -> ImageRecord:
    height, width = size if size is not None else (None, None)
    table = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return ImageRecord(1, path, height, width, table, np.arange(len(table)), np.zeros(len(table), dtype=bool))


def example_of(record: ImageRecord, seed: int = 0, **data: object) -> Example:
    settings = DataConfig(**{"short_sides": (80,), "long_side": 1000, "flip": 0.0, **data})
    return make_example(record, settings, place=0, generator=np.random.default_rng(seed))


def red_box(example: Example) -> list[float]:
    rows, columns = np.nonzero(example.pixels[2].numpy() > 127)  # BGR
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("short_side", [40, 80, 120, 160])
@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_boxes_follow_the_pixels(photo: Path, short_side: int, flip: float) -> None:
    example = example_of(record_of(photo, BOX), short_sides=(short_side,), flip=flip)
    assert tuple(example.pixels.shape) == (3, short_side, 2 * short_side)
    assert np.abs(np.array(red_box(example)) - example.target.boxes[0].numpy()).max() <= 0.5
    assert bool(example.target.boxes[0, 0] > short_side) == bool(flip)  # on the right once it is mirrored


def test_the_long_side_is_bounded(photo: Path) -> None:
    assert tuple(example_of(record_of(photo, BOX), short_sides=(100,), long_side=100).pixels.shape) == (3, 50, 100)


def test_all_sizes_are_drawn_and_half_are_mirrored(photo: Path) -> None:
    drawn = [example_of(record_of(photo, BOX), seed, short_sides=(40, 60, 80), flip=0.5) for seed in range(200)]
    heights, counts = np.unique([example.pixels.shape[1] for example in drawn], return_counts=True)
    assert heights.tolist() == [40, 60, 80]
    assert counts.min() > 40
    mirrored = [bool(example.target.boxes[0, 0] > example.pixels.shape[1] / 2) for example in drawn]
    assert 70 < sum(mirrored) < 130


def test_boxes_are_clipped_and_those_outside_are_dropped(photo: Path) -> None:
    example = example_of(record_of(photo, (-5, -5, 20, 20), (170, 0, 180, 10), (150, 70, 170, 90)))
    assert example.target.boxes.tolist() == [[0, 0, 20, 20], [150, 70, 160, 80]]
    assert example.target.labels.tolist() == [0, 2]


def test_an_image_of_another_size_than_its_annotations_is_named(photo: Path) -> None:
    with pytest.raises(ImageError, match=r"a\.png: is 160x80 pixels, but the annotations say 100x100"):
        example_of(record_of(photo, BOX, size=(100, 100)))


def test_orientation_is_read_from_the_file_where_the_dataset_does_not_say(photo: Path) -> None:
    assert not is_portrait(record_of(photo, BOX, size=None))
    assert is_portrait(record_of(photo, BOX, size=(160, 80)))
