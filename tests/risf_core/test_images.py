"""Photos of every odd kind decode to upright RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core import images
from risf_core.errors import ImageError
from risf_core.images import decode_rgb, upright_size


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def rotated(tmp_path: Path, orientation: int) -> Path:
    """A stored 20 wide, 10 high photo, red on its left half, with an EXIF orientation."""
    pixels = np.zeros((10, 20, 3), dtype=np.uint8)
    pixels[:, :10, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(tmp_path / "turned.png", pixels, exif=exif)


def test_grayscale_photo_repeats_its_channel(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.png", np.array([[0, 90], [180, 255]], dtype=np.uint8))
    assert decode_rgb(path).tolist() == [[[0] * 3, [90] * 3], [[180] * 3, [255] * 3]]


def test_sixteen_bit_photo_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", np.array([[0, 256 * 90], [256 * 180 + 7, 65535]], dtype=np.uint16))
    assert decode_rgb(path)[..., 1].tolist() == [[0, 90], [180, 255]]


def test_cmyk_photo_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(path)  # magenta and yellow ink: red
    assert decode_rgb(path).tolist() == [[[255, 0, 0], [255, 0, 0]]]


def test_exif_turned_photo_is_upright_without_annotations(tmp_path: Path) -> None:
    path = rotated(tmp_path, 6)  # the stored left side is the top
    image = decode_rgb(path)
    assert image.shape == (20, 10, 3)
    assert (image[:10, :, 0] == 255).all()
    assert (image[10:, :, 0] == 0).all()
    assert upright_size(path) == (20, 10)


def test_exif_turned_photo_is_turned_when_that_gives_the_annotated_size(tmp_path: Path) -> None:
    assert decode_rgb(rotated(tmp_path, 6), expected_size=(20, 10)).shape == (20, 10, 3)


def test_exif_turned_photo_is_left_when_the_annotations_mean_the_stored_pixels(tmp_path: Path) -> None:
    image = decode_rgb(rotated(tmp_path, 6), expected_size=(10, 20))
    assert (image[:, :10, 0] == 255).all()


def test_photo_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    path = rotated(tmp_path, 1)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path, expected_size=(11, 20))
    assert str(caught.value) == (
        f"{path}: is 20x10 pixels, but the annotations say 20x11; "
        "boxes and photo belong to different versions of the image"
    )


def test_corrupt_jpeg_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value).startswith(f"{path}: the image is damaged and cannot be decoded (")
    assert str(caught.value).endswith("; replace the file")


def test_text_under_an_image_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_text("<html>404</html>")
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == f"{path}: is not an image that can be decoded; replace the file"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("most", [150, 40])  # Pillow warns from its limit on, and refuses from its double on
def test_photo_beyond_pillows_limit_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, most: int
) -> None:
    path = save(tmp_path / f"aerial{suffix}", np.full((10, 20, 3), 128, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    assert decode_rgb(path).tolist() == [[[128] * 3] * 20] * 10
    assert upright_size(path) == (10, 20)
    assert most == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
def test_photo_beyond_pillows_limit_for_its_kind_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = save(tmp_path / f"aerial{suffix}", np.full((10, 20, 3), 7, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == (
        f"{path}: is too large (Image size (200 pixels) exceeds limit of 80 pixels); save it as PNG or JPEG, or cut it "
        "into tiles"
    )


def test_photo_beyond_all_reason_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "bomb.png", np.zeros((10, 20, 3), dtype=np.uint8))
    monkeypatch.setattr(images, "MOST_PIXELS", 199)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == (f"{path}: has 20x10 pixels, more than the 199 that are decoded; cut it into tiles")
