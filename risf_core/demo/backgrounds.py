"""What lies behind the things of a made scene, and what a camera adds in front."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Pixels = NDArray[np.float32]  # (H, W, 3) in 0..1


def draw_background(size: tuple[int, int], generator: np.random.Generator) -> Pixels:
    """A ground and a wall, clouds of colour, and blurred shapes that are no thing; `size` is height, width."""
    height, width = size
    wall, ground = (_muted(generator) for _ in range(2))
    horizon = generator.uniform(0.25, 0.9)
    slope = (np.linspace(0, 1, height)[:, None, None] - horizon) * generator.uniform(3, 30)
    pixels = wall + (ground - wall) / (1 + np.exp(-slope)) + np.zeros((1, width, 1))
    for cells, strength in ((3, 0.22), (9, 0.16), (40, 0.09)):
        pixels = pixels + strength * _clouds(size, cells, generator)
    image = Image.fromarray((np.clip(pixels, 0, 1) * 255).astype(np.uint8))
    _draw_clutter(image, generator)
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.3, 1.6)))
    blurred: Pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    return blurred


def as_photographed(pixels: Pixels, generator: np.random.Generator) -> Image.Image:
    """The scene through a camera: exposure, colour cast, a soft lens and noise."""
    exposure = generator.uniform(0.75, 1.15) * generator.normal(1, 0.04, 3)
    image = Image.fromarray((np.clip(pixels * exposure, 0, 1) * 255).astype(np.uint8))
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0.0, 0.7)))
    noise = generator.normal(0, generator.uniform(2, 9), (*pixels.shape[:2], 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def _muted(generator: np.random.Generator) -> NDArray[np.float64]:
    """A colour (3,) as walls and grounds have it: not far from grey."""
    return np.clip(generator.uniform(0.2, 0.85) + generator.uniform(-0.16, 0.16, 3), 0, 1)


def _clouds(size: tuple[int, int], cells: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Smooth noise in -1..1 of about N bumps a side, the colours mostly alike."""
    coarse = generator.uniform(-1, 1, (cells, cells, 1)) * 0.85 + generator.uniform(-1, 1, (cells, cells, 3)) * 0.15
    image = Image.fromarray((coarse * 127 + 128).astype(np.uint8))
    smooth = image.resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.asarray(smooth, dtype=np.float64) / 127 - 1


def _draw_clutter(image: Image.Image, generator: np.random.Generator) -> None:
    """Slabs, blobs and sticks in colours of their own."""
    width, height = image.size
    pen = ImageDraw.Draw(image)
    for _ in range(int(generator.integers(3, 10))):
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        reach = float(np.exp(generator.uniform(np.log(8), np.log(60))))
        red, green, blue = (_muted(generator) * 255 + generator.normal(0, 25, 3)).clip(0, 255).astype(int).tolist()
        kind = generator.integers(3)
        if kind == 0:
            turn = np.sort(generator.uniform(0, 2 * np.pi, int(generator.integers(4, 9))))
            far = reach * generator.uniform(0.5, 1, len(turn))
            corners = zip((x + far * np.cos(turn)).tolist(), (y + far * np.sin(turn)).tolist(), strict=True)
            pen.polygon(list(corners), fill=(red, green, blue))
        elif kind == 1:
            flat = reach * generator.uniform(0.2, 0.8)
            pen.ellipse((x - reach, y - flat, x + reach, y + flat), fill=(red, green, blue))
        else:
            end = (x + generator.uniform(-2, 2) * reach, y + generator.uniform(-2, 2) * reach)
            pen.line([(x, y), end], fill=(red, green, blue), width=int(generator.integers(1, 9)))
