"""Decoding photos to upright RGB."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from risf_core.errors import ImageError
from risf_core.files import saved_instead

MOST_PIXELS = 450_000_000  # decoding takes up to 8 bytes each: 3.6 GB

_log = logging.getLogger(__name__)

_USUAL = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")
_NOT_PHOTOS = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}  # Pillow knows them, but needs help
_ORIENTATION_TAG, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_MOST = 0x0112, 256, 257, 281
_SIDEWAYS = (5, 6, 7, 8)  # the orientations that swap height and width
_UNTURN = {  # what takes a turn back, by orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_STRIP = 1 << 24  # pixels that are copied at once
_DEPTHS = (8, 10, 12, 14, 16)  # bits of sensors
_DARK = 64  # 16-bit colours below this, of 256, have 14 bits or fewer, and Pillow keeps the upper 8 of 16
_OPENING = threading.Lock()


@cache
def image_suffixes() -> frozenset[str]:
    """The endings of file names, in lower case, that Pillow reads as images."""
    suffixes = Image.registered_extensions()
    readable = {*_formats(), "MPO"}  # MPO is opened as JPEG
    return frozenset(suffix for suffix, form in suffixes.items() if form in readable)


@cache
def _formats() -> tuple[str, ...]:
    """The forms that Pillow reads by itself, the usual ones first: PostScript, whatever its name, is a program."""
    Image.init()
    return tuple(sorted(Image.OPEN.keys() - _NOT_PHOTOS, key=lambda form: (form not in _USUAL, form)))


def decode_rgb(path: Path, expected_size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The photo as RGB, (H, W, 3), turned as its EXIF orientation says.

    Grey of more than 8 bits is scaled by the depth that its values (or its TIFF tags) show. A photo of one colour is
    decoded with a warning.

    Args:
        expected_size: (height, width) that the annotations state. A photo that fits only unturned is left unturned.

    Raises ImageError where the file is missing, is not a whole image, has values of no known range, or fits
    `expected_size` neither way.
    """
    with _opened(path) as opened:
        deep = any(";16" in str(tile[3]) for tile in getattr(opened, "tile", ()))  # before PNG's EXIF loads the pixels
        orientation = _orientation(opened)
        turn = _should_turn(_stored_size(opened), orientation, expected_size, path)
        opened.load()
        if turn:
            ImageOps.exif_transpose(opened, in_place=True)
        upright: Image.Image = opened
        if not turn and _orientation(opened) != orientation:  # Pillow turns TIFF itself
            upright = opened.transpose(_UNTURN[orientation])
        pixels = _to_rgb(upright, path)
    if deep and opened.mode.startswith(("RGB", "LA")) and 0 < pixels.max() < _DARK:
        raise ImageError(
            f"{path}: its 16-bit values reach only {(int(pixels.max()) + 1) * 256 - 1} of 65535, as of a 12- or 14-bit "
            "sensor, so it would be nearly black; save it with 8 bits per channel"
        )
    if (pixels[::16, ::16] == pixels[0, 0]).all() and (pixels == pixels[0, 0]).all():
        _log.warning("%s: the whole photo has one colour, RGB %s", path, tuple(pixels[0, 0].tolist()))
    return pixels


def upright_size(path: Path) -> tuple[int, int]:
    """(height, width) that `decode_rgb` would give, read from the file's head alone."""
    with _opened(path) as opened:
        height, width = _stored_size(opened)
        return (width, height) if _orientation(opened) in _SIDEWAYS else (height, width)


def is_turned(path: Path, expected_size: tuple[int, int] | None = None) -> bool:
    """Whether `decode_rgb` turns the photo's stored pixels, read from the file's head alone."""
    with _opened(path) as opened:
        orientation = _orientation(opened)
        return _should_turn(_stored_size(opened), orientation, expected_size, path) and orientation != 1


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image file, open; what goes wrong with it inside the block becomes an ImageError that names it."""
    try:
        with _open(path) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                raise ImageError(
                    f"{path}: has {opened.width}x{opened.height} pixels, more than the {MOST_PIXELS} that are decoded; "
                    "cut it into tiles"
                )
            yield opened
    except ImageError:
        raise
    except (
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ) as error:  # TIFF's plugin asks once more
        size = str(error).partition(",")[0]
        raise ImageError(f"{path}: is too large ({size}); save it as PNG or JPEG, or cut it into tiles") from None
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such photo") from None
    except UnidentifiedImageError:
        with open(path, "rb") as handle:
            start = handle.read(200)
        fault = "is not an image that can be decoded" if start else "is empty"
        fault = saved_instead(start) or f"{fault}; replace the file"
        raise ImageError(f"{path}: {fault}") from None
    except MemoryError:
        raise ImageError(f"{path}: there is not enough memory to decode it; cut it into tiles") from None
    except Exception as error:  # Pillow's plugins raise what comes for a damaged file
        if isinstance(error, OSError) and error.strerror:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from None
        why = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"{path}: the image is damaged and cannot be decoded ({why}); replace the file") from None


def _open(path: Path) -> Image.Image:
    """`Image.open` without Pillow's own limit (89 or 179 million pixels, global): aerial photos go beyond it."""
    with _OPENING:
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(path, formats=_formats())
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _stored_size(opened: Image.Image) -> tuple[int, int]:
    tags = getattr(opened, "tag_v2", {}) if opened.format == "TIFF" else {}  # a TIFF's `size` is the turned one
    return int(tags.get(_TIFF_HEIGHT, opened.height)), int(tags.get(_TIFF_WIDTH, opened.width))


def _orientation(opened: Image.Image) -> int:
    return int(opened.getexif().get(_ORIENTATION_TAG, 1))


def _should_turn(stored: tuple[int, int], orientation: int, expected: tuple[int, int] | None, path: Path) -> bool:
    turned = stored[::-1] if orientation in _SIDEWAYS else stored
    if expected is None or turned == expected:
        return True
    if stored == expected:
        return False
    raise ImageError(
        f"{path}: is {turned[1]}x{turned[0]} pixels, but the annotations say {expected[1]}x{expected[0]}; "
        "boxes and photo belong to different versions of the image"
    )


def _to_rgb(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    """The pixels (H, W, 3), copied in strips: the copy's own copies would triple the memory of a large photo."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        tags = getattr(image, "tag_v2", {})
        grey = _to_eight_bits(np.asarray(image), tags.get(_TIFF_MOST), path)
        return np.repeat(grey[:, :, None], 3, axis=2)
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    rows = max(1, _STRIP // rgb.width)
    if rgb.height <= rows:
        return np.asarray(rgb)
    pixels = np.empty((rgb.height, rgb.width, 3), dtype=np.uint8)
    for top in range(0, rgb.height, rows):
        below = min(top + rows, rgb.height)
        pixels[top:below] = np.asarray(rgb.crop((0, top, rgb.width, below)))
    return pixels


def _to_eight_bits(values: NDArray[np.generic], stated_most: object, path: Path) -> NDArray[np.uint8]:
    """Grey values (H, W) of 16 bits or floats as 0..255, by the depth that they show.

    Raises ImageError with the range where it is of no known depth.
    """
    least, most = float(values.min()), float(values.max())
    if values.dtype.kind == "f":
        if least >= 0 and most <= 255:  # false for NaN
            grey: NDArray[np.generic] = np.rint(values.astype(np.float64) * (255 if most <= 1 else 1))
            return grey.astype(np.uint8)
        raise ImageError(f"{path}: its values range over {least:g}..{most:g}, not 0..1 or 0..255; save it with 8 bits")
    if least < 0 or most >= 1 << 16:
        raise ImageError(f"{path}: its values range over {least:g}..{most:g}, not 0..65535; save it with 8 bits")
    top = stated_most[0] if isinstance(stated_most, tuple) else stated_most
    top = top if isinstance(top, int) and top >= most else most
    if 0 < most - least < most / 16:  # a thermal sensor uses a small part of its range
        _log_once("photos whose 16-bit values cover little of the range are spread from their least to their largest")
        stretched = (values.astype(np.float64) - least) * (255 / (most - least))
        return np.rint(stretched).astype(np.uint8)
    depth = next(depth for depth in _DEPTHS if top < 1 << depth)
    if depth < 16:
        _log_once(f"photos whose 16-bit values are below {1 << depth} are read as {depth}-bit")
    return np.asarray(values.astype(np.uint16) >> (depth - 8)).astype(np.uint8)


@cache  # so each is said once
def _log_once(text: str) -> None:
    _log.warning("%s", text)
