"""Photos of every odd kind decode to upright RGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core import images
from risf_core.errors import ImageError
from risf_core.images import decode_rgb, upright_size
from tests.messages import assert_names


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
    for content, said in {
        b"GIF 404": "is not an image that can be decoded; replace the file",
        b"<html>404</html>": "is a web page, not the file itself; download the file by its direct link",
        b"": "is empty; replace the file",
    }.items():
        path.write_bytes(content)
        with pytest.raises(ImageError) as caught:
            decode_rgb(path)
        assert str(caught.value) == f"{path}: {said}"


def test_postscript_under_an_image_name_is_not_run(tmp_path: Path) -> None:
    """Pillow would hand it to Ghostscript, which runs it as the program that it is."""
    path = tmp_path / "page.jpg"
    Image.new("RGB", (8, 8)).save(path, "EPS")
    with pytest.raises(ImageError, match="is not an image that can be decoded"):
        decode_rgb(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("most", [150, 40])  # Pillow warns from its limit on, and refuses from its double on
def test_photo_beyond_pillows_limit_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, most: int
) -> None:
    path = save(tmp_path / f"aerial{suffix}", np.full((10, 20, 3), 128, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    assert decode_rgb(path).tolist() == [[[128] * 3] * 20] * 10
    assert upright_size(path) == (10, 20)
    assert most == Image.MAX_IMAGE_PIXELS


def test_tiff_beyond_pillows_limit_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "aerial.tif", np.full((10, 20, 3), 7, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert_names(str(caught.value), path, "200", "80")


def test_photo_beyond_all_reason_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "bomb.png", np.zeros((10, 20, 3), dtype=np.uint8))
    monkeypatch.setattr(images, "MOST_PIXELS", 199)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert_names(str(caught.value), path, "199", "decoded")


@pytest.mark.parametrize(("depth", "top"), [(10, 1000), (12, 4000), (14, 16000), (16, 65000)])
def test_grey_of_a_sensors_depth_is_scaled_to_its_own_range(tmp_path: Path, depth: int, top: int) -> None:
    path = save(tmp_path / "sensor.tiff", np.array([[0, top // 2], [top // 4, top]], dtype=np.uint16))
    expected = [[0, top // 2 // 2 ** (depth - 8)], [top // 4 // 2 ** (depth - 8), top // 2 ** (depth - 8)]]
    assert decode_rgb(path)[..., 2].tolist() == expected


def test_thermal_grey_is_spread_over_the_whole_range(tmp_path: Path) -> None:
    path = save(tmp_path / "thermal.tiff", np.array([[21000, 21102], [21051, 21204]], dtype=np.uint16))
    assert decode_rgb(path)[..., 0].tolist() == [[0, 128], [64, 255]]  # 102, 51 and 204 of 204


@pytest.mark.parametrize(("values", "grey"), [([0.0, 0.2, 1.0], [0, 51, 255]), ([0.0, 51.0, 255.0], [0, 51, 255])])
def test_float_grey_is_read_in_either_range(tmp_path: Path, values: list[float], grey: list[int]) -> None:
    path = save(tmp_path / "float.tiff", np.array([values], dtype=np.float32))
    assert decode_rgb(path)[0, :, 0].tolist() == grey


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([[-1.0, 0.5]], dtype=np.float32), "-1..0.5"),
        (np.array([[0.0, 4000.0]], dtype=np.float32), "0..4000"),
        (np.array([[np.nan, 0.5]], dtype=np.float32), "nan"),
        (np.array([[0, 70000]], dtype=np.int32), "0..70000"),
    ],
)
def test_values_of_no_known_range_are_refused_with_it(tmp_path: Path, values: np.ndarray, said: str) -> None:
    path = save(tmp_path / "odd.tiff", values)
    with pytest.raises(ImageError, match=said) as caught:
        decode_rgb(path)
    assert str(path) in str(caught.value)


def test_twelve_bit_colours_are_refused(tmp_path: Path) -> None:
    """Pillow keeps the upper 8 of 16 bits. The file is written by hand, for Pillow writes none."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    def written(values: list[int]) -> Path:
        rows = zlib.compress(b"\0" + struct.pack(f">{len(values)}H", *values))
        head = struct.pack(">IIBBBBB", len(values) // 3, 1, 16, 2, 0, 0, 0)
        content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
        (tmp_path / "deep.png").write_bytes(content)
        return tmp_path / "deep.png"

    with pytest.raises(ImageError, match=r"deep.png: its 16-bit values reach only 4095 of 65535"):
        decode_rgb(written([4000, 300, 1000, 0, 0, 0]))
    assert decode_rgb(written([0x8100, 0, 0xFF00, 0, 0, 0])).tolist() == [[[0x81, 0, 0xFF], [0, 0, 0]]]


def test_a_photo_of_one_colour_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full((40, 40, 3), 7, dtype=np.uint8)
    decode_rgb(save(tmp_path / "blank.png", pixels))
    assert [record.message for record in caplog.records] == [
        f"{tmp_path / 'blank.png'}: the whole photo has one colour, RGB (7, 7, 7)"
    ]
    caplog.clear()
    pixels[5, 3] = 8
    decode_rgb(save(tmp_path / "nearly.png", pixels))
    assert not caplog.records


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_as_png_is(tmp_path: Path, orientation: int) -> None:
    pixels = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = orientation
    png = save(tmp_path / "a.png", pixels, exif=exif)
    tiff = save(tmp_path / "a.tiff", pixels, tiffinfo={274: orientation})
    assert upright_size(tiff) == upright_size(png)
    assert decode_rgb(tiff).tolist() == decode_rgb(png).tolist()
    if orientation >= 5:
        assert decode_rgb(tiff, expected_size=(6, 4)).tolist() == pixels.tolist()
        assert not images.is_turned(tiff, expected_size=(6, 4))


def test_strips_of_a_large_photo_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (10, 20, 3), dtype=np.uint8)
    monkeypatch.setattr(images, "_STRIP", 60)
    assert decode_rgb(save(tmp_path / "a.png", pixels)).tolist() == pixels.tolist()


def test_too_little_memory_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", np.zeros((2, 2, 3), dtype=np.uint8))

    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(images, "_to_rgb", fail)
    with pytest.raises(ImageError, match=r"a.png: there is not enough memory to decode it"):
        decode_rgb(path)


def test_endings_are_those_that_pillow_reads() -> None:
    assert {".jpg", ".jfif", ".mpo", ".jp2", ".tif", ".webp"} <= images.image_suffixes()
    assert not {".pdf", ".mpg", ".h5", ".txt", ".json", ".xml"} & images.image_suffixes()
