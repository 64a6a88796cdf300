"""Made photos of many things, some before others, with a tight box around what is to be seen of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from risf_core.demo.backgrounds import Pixels, as_photographed, draw_background
from risf_core.demo.drawing import Look, Patch, draw_look, draw_thing

LEAST_SEEN = 0.5  # share of a thing that no other may cover
_RADII = (12.0, 52.0)  # pixels, from small to large
_TRIES = 8  # places tried for a thing before it is left out


@dataclass(frozen=True)
class SceneSettings:
    """What scenes are made of."""

    names: tuple[str, ...]
    weights: tuple[float, ...]  # how often each name is drawn, in proportion
    things: tuple[int, int] = (3, 7)  # a scene, least and most
    heights: tuple[int, int] = (160, 208)  # pixels
    widths: tuple[int, int] = (208, 272)


@dataclass(frozen=True, eq=False)
class Scene:
    """One made photo and what it shows, the nearer things later."""

    image: Image.Image
    looks: tuple[Look, ...]
    boxes_xywh: NDArray[np.float64]  # (M, 4) tight around the pixels to be seen
    areas: NDArray[np.float64]  # (M,) how many they are
    names: tuple[str, ...]  # (M,)


def draw_scene(settings: SceneSettings, generator: np.random.Generator) -> Scene:
    """A scene drawn by chance; the same settings and state of the generator give the same pixels."""
    size = tuple(
        int(generator.integers(low // 16, high // 16 + 1)) * 16 for low, high in (settings.heights, settings.widths)
    )
    height, width = size
    background, camera = (np.random.default_rng(int(generator.integers(2**31))) for _ in range(2))
    weights = np.array(settings.weights) / sum(settings.weights)
    looks: list[Look] = []
    patches: list[Patch] = []
    seen: list[NDArray[np.bool_]] = []  # each thing's pixels that no later one covers
    full: list[int] = []
    for _ in range(int(generator.integers(settings.things[0], settings.things[1] + 1))):
        name = settings.names[int(generator.choice(len(weights), p=weights))]
        radius = float(np.exp(generator.uniform(*np.log(_RADII))))
        drawn = draw_look(name, centre=(width / 2, height / 2), radius=radius, generator=generator)
        pixels = draw_thing(drawn)
        for _ in range(_TRIES):
            across = int(generator.integers(width)) - width // 2
            down = int(generator.integers(height)) - height // 2
            look = replace(drawn, centre=(drawn.centre[0] + across, drawn.centre[1] + down))
            patch = replace(pixels, left=pixels.left + across, top=pixels.top + down)  # whole pixels: drawn once
            mask, whole = _mask_in(patch, (height, width))
            left = [int((other & ~mask).sum()) for other in seen]
            if mask.sum() < 0.75 * whole or any(a < LEAST_SEEN * b for a, b in zip(left, full, strict=True)):
                continue  # too far outside, or before too much of another
            seen = [other & ~mask for other in seen] + [mask]
            full.append(int(mask.sum()))
            looks.append(look)
            patches.append(patch)
            break
    image = as_photographed(composed(draw_background((height, width), background), patches), camera)
    boxes = np.array([_box_of(mask) for mask in seen], dtype=np.float64).reshape(-1, 4)
    areas = np.array([mask.sum() for mask in seen], dtype=np.float64)
    return Scene(image, tuple(looks), boxes, areas, tuple(look.name for look in looks))


def composed(background: Pixels, patches: Sequence[Patch]) -> Pixels:
    """The patches over the background, later ones before earlier ones."""
    pixels: Pixels = background.copy()
    for patch in patches:
        inside, of_patch = _overlap(patch, pixels.shape[:2])
        alpha = patch.alpha[of_patch][..., None]
        pixels[inside] += alpha * (patch.colours[of_patch] - pixels[inside])
    return pixels


def _mask_in(patch: Patch, size: tuple[int, int]) -> tuple[NDArray[np.bool_], int]:
    """The pixels that the patch covers by half at least, (H, W), and how many it would without the photo's edges."""
    covered = patch.alpha >= 0.5
    mask = np.zeros(size, dtype=bool)
    inside, of_patch = _overlap(patch, size)
    mask[inside] = covered[of_patch]
    return mask, int(covered.sum())


def _overlap(patch: Patch, size: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where the patch lies in the photo, and which of its pixels do."""
    (height, width), (rows, columns) = size[:2], patch.alpha.shape
    top, bottom = max(patch.top, 0), max(min(patch.top + rows, height), 0)
    left, right = max(patch.left, 0), max(min(patch.left + columns, width), 0)
    inside = (slice(top, bottom), slice(left, right))
    return inside, (slice(top - patch.top, bottom - patch.top), slice(left - patch.left, right - patch.left))


def _box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
