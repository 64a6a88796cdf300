"""Decoding photos to upright RGB."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from risf_core.errors import ImageError

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
MOST_PIXELS = 1 << 30  # 3 GB as RGB

_ORIENTATION_TAG = 0x0112  # EXIF
_SIDEWAYS = (5, 6, 7, 8)  # the orientations that swap height and width


def decode_rgb(path: Path, expected_size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """The photo as RGB, (H, W, 3), turned as its EXIF orientation says.

    Args:
        expected_size: (height, width) that the annotations state. A photo that fits only unturned is left unturned.

    Raises ImageError where the file is missing, is not a whole image, or fits `expected_size` neither way.
    """
    with _opened(path) as opened:
        turn = _should_turn(_stored_size(opened), _orientation(opened), expected_size, path)
        upright = ImageOps.exif_transpose(opened) if turn else opened
        return np.asarray(_to_rgb(upright))


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
    except Image.DecompressionBombError as error:  # the plugins of TIFF and WebP ask once more
        size = str(error).partition(",")[0]
        raise ImageError(f"{path}: is too large ({size}); save it as PNG or JPEG, or cut it into tiles") from None
    except FileNotFoundError:
        raise ImageError(f"{path}: there is no such photo") from None
    except UnidentifiedImageError:
        raise ImageError(f"{path}: is not an image that can be decoded; replace the file") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"{path}: the image is damaged and cannot be decoded ({error}); replace the file") from None


@contextlib.contextmanager
def _open(path: Path) -> Iterator[Image.Image]:
    """`Image.open` without Pillow's own limit (89 or 179 million pixels, global): aerial photos go beyond it."""
    try:
        opened = Image.open(path)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        with open(path, "rb") as handle, _identified(handle, path) as large:
            yield large
    else:
        with opened:
            yield opened


def _identified(handle: IO[bytes], path: Path) -> Image.Image:
    """The image by the first of Pillow's plugins that takes the file."""
    prefix = handle.read(16)
    for name in Image.ID:
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(prefix) is not True:  # a text says why the format is not at hand
            continue
        handle.seek(0)
        try:
            return factory(handle, str(path))
        except (SyntaxError, IndexError, TypeError, struct.error):  # what a plugin raises for another's file
            continue
    raise UnidentifiedImageError


def _stored_size(opened: Image.Image) -> tuple[int, int]:
    return opened.height, opened.width


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


def _to_rgb(opened: Image.Image) -> Image.Image:
    if opened.mode == "I" or opened.mode.startswith("I;16"):  # 16-bit grey: Pillow would clip instead of scaling
        grey = np.asarray(opened).astype(np.uint16) >> 8
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    return opened.convert("RGB")
