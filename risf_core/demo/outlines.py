"""The outlines that made things are put together from, as polygons in the square -1..1, y downwards."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

Polygon = NDArray[np.float64]  # (P, 2)


@cache
def outlines() -> Mapping[str, Polygon]:
    """Every outline by its name."""
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    disc = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return {
        "disc": disc,
        "half disc": np.concatenate([disc[24:] * [1, 1], [[1, 0]]]) * [1, 2] + [0, 1],
        "square": _points((-1, -1), (1, -1), (1, 1), (-1, 1)),
        "rounded": np.sign(disc) * np.abs(disc) ** 0.45,
        "triangle": _points((0, -1), (1, 1), (-1, 1)),
        "diamond": _points((0, -1), (1, 0), (0, 1), (-1, 0)),
        "trapezoid": _points((-1, -1), (1, -1), (0.65, 1), (-0.65, 1)),
        "hull": _points((-1, -1), (1, -1), (0.55, 1), (-0.55, 1)),
        "hexagon": _star(6, inner=np.cos(np.pi / 6)),
        "star": _star(5, inner=0.42),
        "fat star": _rounded(_star(5, inner=0.55)),
        "calyx": _star(6, inner=0.3),
        "gear": _gear(9),
        "flower": disc * (0.75 + 0.25 * np.cos(6 * turn))[:, None],
        "cloud": disc * (0.85 + 0.15 * np.cos(7 * turn))[:, None],
        "lens": _lens(),
        "drop": _drop(turn),
        "crescent": _crescent(),
        "heart": _heart(turn),
        "bottle": _mirrored((0.2, -1), (0.2, -0.45), (0.55, -0.1), (0.55, 1)),
        "vase": _mirrored((0.5, -1), (0.25, -0.6), (0.75, 0.15), (0.7, 0.5), (0.35, 1)),
        "bell": _mirrored((0.15, -1), (0.5, -0.7), (0.6, 0.2), (1, 0.75), (1, 1)),
        "rocket": _mirrored((0.0, -1), (0.4, -0.5), (0.4, 0.5), (0.85, 1), (0.3, 0.75)),
        "car": _points((-1, 0.1), (-0.6, 0), (-0.35, -1), (0.4, -1), (0.7, 0), (1, 0.15), (1, 1), (-1, 1)),
        "bolt": _points((0.2, -1), (-0.7, 0.15), (-0.05, 0.15), (-0.3, 1), (0.7, -0.2), (0.05, -0.2)),
        "arrow": _points((-1, -0.35), (0.1, -0.35), (0.1, -1), (1, 0), (0.1, 1), (0.1, 0.35), (-1, 0.35)),
    }


def _points(*points: tuple[float, float]) -> Polygon:
    return np.array(points, dtype=np.float64)


def _mirrored(*right: tuple[float, float]) -> Polygon:
    """The right half from top to bottom, and its mirror image."""
    half = _points(*right)
    return np.concatenate([half, (half * [-1, 1])[::-1]])


def _star(count: int, *, inner: float) -> Polygon:
    turn = np.pi * np.arange(2 * count) / count - np.pi / 2
    radius = np.where(np.arange(2 * count) % 2 == 0, 1.0, inner)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _rounded(polygon: Polygon) -> Polygon:
    """Corners cut twice (Chaikin)."""
    for _ in range(2):
        following = np.roll(polygon, -1, axis=0)
        polygon = np.stack([0.75 * polygon + 0.25 * following, 0.25 * polygon + 0.75 * following], axis=1)
        polygon = polygon.reshape(-1, 2)
    return polygon


def _gear(teeth: int) -> Polygon:
    turn = 2 * np.pi * np.arange(4 * teeth) / (4 * teeth)
    radius = np.tile([1.0, 1.0, 0.74, 0.74], teeth)
    return np.stack([radius * np.cos(turn), radius * np.sin(turn)], axis=1)


def _lens() -> Polygon:
    x = np.linspace(-1, 1, 20)
    half = 1 - x**2
    return np.concatenate([np.stack([x, -half], axis=1), np.stack([x, half], axis=1)[::-1]])


def _drop(turn: NDArray[np.float64]) -> Polygon:
    return np.stack([np.sin(turn) * np.sin(turn / 2) ** 1.5 * 0.95, -np.cos(turn)], axis=1)


def _crescent() -> Polygon:
    outer, inner = np.linspace(0.3 * np.pi, 1.7 * np.pi, 30), np.linspace(1.6 * np.pi, 0.4 * np.pi, 24)
    far = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    near = np.stack([0.42 + 0.72 * np.cos(inner), 0.78 * np.sin(inner)], axis=1)
    outline: Polygon = np.concatenate([far, near]) + np.array([0.2, 0.0])
    return outline


def _heart(turn: NDArray[np.float64]) -> Polygon:
    x = np.sin(turn) ** 3
    y = -(13 * np.cos(turn) - 5 * np.cos(2 * turn) - 2 * np.cos(3 * turn) - np.cos(4 * turn)) / 17
    return np.stack([x, y], axis=1)
