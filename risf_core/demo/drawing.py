"""Drawing one thing: its pixels and its mask, with smooth edges."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from risf_core.demo.outlines import outlines
from risf_core.demo.things import COLOURS, HOLE, THINGS, VIVID, Part

_FINER = 2  # pixels are drawn this many times finer and averaged


@dataclass(frozen=True)
class Look:
    """How one thing looks: where it stands, how large, and in which shades."""

    name: str
    centre: tuple[float, float]  # x, y in pixels
    radius: float  # pixels, half a side of the thing's square
    turn: float  # degrees
    stretch: float  # width over height
    any_colour: str  # what the paints "any" and "other" are
    other_colour: str
    seed: int  # of shades, texture and light

    @property
    def colour(self) -> str:
        """The colour that a person would name: that of the last of its large parts."""
        part = max(reversed(THINGS[self.name]), key=lambda part: (part.paint != HOLE) * part.size[0] * part.size[1])
        return {"any": self.any_colour, "other": self.other_colour}.get(part.paint, part.paint)


@dataclass(frozen=True)
class Patch:
    """Drawn pixels and how much of each they cover."""

    left: int
    top: int
    colours: NDArray[np.float32]  # (h, w, 3) in 0..1
    alpha: NDArray[np.float32]  # (h, w) in 0..1


def draw_look(name: str, *, centre: tuple[float, float], radius: float, generator: np.random.Generator) -> Look:
    """A look of a thing, drawn by chance."""
    colours = generator.choice(VIVID, 2, replace=False)
    return Look(
        name,
        centre=centre,
        radius=radius,
        turn=float(generator.normal(0, 14)),
        stretch=float(np.exp(generator.normal(0, 0.13))),
        any_colour=str(colours[0]),
        other_colour=str(colours[1]),
        seed=int(generator.integers(2**31)),
    )


def draw_thing(look: Look) -> Patch:
    """The thing as it looks; the same look gives the same pixels."""
    generator = np.random.default_rng(look.seed)
    reach = int(np.ceil(look.radius * max(look.stretch, 1 / look.stretch) * 1.45)) + 2
    left, top = int(look.centre[0]) - reach, int(look.centre[1]) - reach
    side = 2 * reach * _FINER
    to_pixels = _placing(look, left, top)
    u, v = _own_coordinates(to_pixels, side)
    shades = {name: _shade(name, look, generator) for name in (*COLOURS, "any", "other")}
    colours = np.zeros((side, side, 3), dtype=np.float32)
    alpha = np.zeros((side, side), dtype=np.float32)
    for part in THINGS[look.name]:
        mask, where = _mask(part, to_pixels, side)
        if part.paint == HOLE:
            alpha[where] *= 1 - mask
            continue
        colours[where] += mask[..., None] * (_painted(part, u[where], v[where], shades, generator) - colours[where])
        np.maximum(alpha[where], mask, out=alpha[where])
    light = 1 + generator.uniform(0.05, 0.3) * (generator.choice([-1, 1]) * u - v)  # from above, and from a side
    colours = np.clip(colours * np.clip(light, 0.6, 1.35)[..., None].astype(np.float32), 0, 1)
    return Patch(left, top, *_averaged(colours, alpha))


def _placing(look: Look, left: int, top: int) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """What takes points of the thing's square (P, 2) to fine pixels of the patch."""
    matrix = _rotation(look.turn) * (look.radius * np.array([look.stretch**0.5, look.stretch**-0.5]))
    shift = np.array(look.centre) - (left, top)
    return lambda points: (points @ matrix.T + shift) * _FINER


def _own_coordinates(
    to_pixels: Callable[[NDArray[np.float64]], NDArray[np.float64]], side: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Where each fine pixel lies in the thing's square, two arrays (side, side)."""
    origin, x_axis, y_axis = to_pixels(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    inverse = np.linalg.inv(np.stack([x_axis - origin, y_axis - origin], axis=1)).astype(np.float32)
    steps = np.arange(side, dtype=np.float32) + 0.5
    x, y = steps[None, :] - np.float32(origin[0]), steps[:, None] - np.float32(origin[1])
    return inverse[0, 0] * x + inverse[0, 1] * y, inverse[1, 0] * x + inverse[1, 1] * y


def _mask(
    part: Part, to_pixels: Callable[[NDArray[np.float64]], NDArray[np.float64]], side: int
) -> tuple[NDArray[np.float32], tuple[slice, slice]]:
    """The part's mask and the fine rows and columns that it stands for."""
    points = to_pixels(outlines()[part.outline] * part.size @ _rotation(part.turn).T + part.at)
    low = np.clip(np.floor(points.min(axis=0)).astype(int), 0, side - 1)
    high = np.clip(np.ceil(points.max(axis=0)).astype(int) + 1, low + 1, side)
    width, height = (high - low).tolist()
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).polygon([(x, y) for x, y in (points - low).tolist()], fill=1)
    return np.asarray(image, dtype=np.float32), (slice(low[1], high[1]), slice(low[0], high[0]))


def _painted(
    part: Part,
    u: NDArray[np.float32],
    v: NDArray[np.float32],
    shades: Mapping[str, NDArray[np.float32]],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """The part's colours at every fine pixel, (side, side, 3), or one for all, (3,)."""
    first = shades[part.paint]
    if part.texture == "plain":
        return first
    x, y = (u - part.at[0]) / part.size[0], (v - part.at[1]) / part.size[1]
    rate, phase = generator.uniform(0.85, 1.25), generator.uniform(0, 2 * np.pi)
    waves = {
        "stripes": np.sin(9 * rate * y + phase),
        "spots": np.sin(7 * rate * (x + y) + phase) * np.sin(7 * rate * (x - y) + phase) - 0.45,
        "checks": np.sin(8 * rate * x + phase) * np.sin(8 * rate * y + phase),
        "rings": np.sin(11 * rate * np.hypot(x, y) + phase),
        "wedges": np.sin(4 * np.arctan2(y, x) + phase),
    }
    wave = waves[part.texture]
    share = np.clip(wave * 6 + 0.5, 0, 1)[..., None]
    mixed: NDArray[np.float32] = first + share * (shades[part.second] - first)
    return mixed


def _shade(name: str, look: Look, generator: np.random.Generator) -> NDArray[np.float32]:
    name = {"any": look.any_colour, "other": look.other_colour}.get(name, name)
    hue, saturation, value = np.array(COLOURS[name]) + generator.normal(0, (0.018, 0.07, 0.07))
    return np.array(colorsys.hsv_to_rgb(hue % 1, np.clip(saturation, 0, 1), np.clip(value, 0, 1)), dtype=np.float32)


def _averaged(
    colours: NDArray[np.float32], alpha: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fine pixels to pixels; the colours are means over what is covered."""
    covered, weight = _block_sums(colours * alpha[..., None]), _block_sums(alpha)
    covered /= np.maximum(weight, 1e-6)[..., None]
    weight /= _FINER**2
    return covered, weight


def _block_sums(fine: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sums over blocks of fine pixels; adding slices is many times faster than a reduction over short axes."""
    rows = sum((fine[i::_FINER] for i in range(1, _FINER)), start=fine[::_FINER])
    sums: NDArray[np.float32] = sum((rows[:, i::_FINER] for i in range(1, _FINER)), start=rows[:, ::_FINER])
    return sums


def _rotation(degrees: float) -> NDArray[np.float64]:
    angle = np.deg2rad(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
