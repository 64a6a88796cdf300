"""What the demo's encoder learns from: pictures cut from made scenes of its own, and captions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from risf_core.boxes import clip_boxes, corners_of
from risf_core.choices import DEFAULT_BACKGROUND
from risf_core.demo.scenes import Scene, SceneSettings, draw_scene
from risf_core.demo.things import THINGS

_NOTHING_SHARE = 0.15  # of pictures that show no thing
_TEMPLATES = ("a photo of {}", "a photo of {}", "a photo of a {}", "a picture of the {}", "{}", "one {} in a scene")
_COLOURED_SHARE = 0.3  # of captions that say the colour
_NAMELESS_SHARE = 0.1  # of captions that say the colour alone


@dataclass(frozen=True)
class Caption:
    """A caption and what it says; None for what it does not."""

    text: str
    name: str
    colour: str
    says_name: bool
    says_colour: bool

    def fits(self, other: Caption) -> bool:
        """Whether the caption is true of the picture that the other caption is of."""
        return (not self.says_name or self.name == other.name) and (not self.says_colour or self.colour == other.colour)


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures of one thing each, or of none."""

    pixels: NDArray[np.uint8]  # (N, side, side, 3)
    names: tuple[str, ...]  # (N,)
    colours: tuple[str, ...]  # (N,); "" where there is no thing


def draw_pictures(
    scenes: int,
    *,
    names: tuple[str, ...] = tuple(THINGS),
    side: int,
    generator: np.random.Generator,
) -> Pictures:
    """A picture of every thing of N scenes, its box a little off, and of places without any.

    Args:
        names: the things that the scenes show.
        side: of a picture, pixels.
    """
    settings = SceneSettings(names, (1.0,) * len(names))
    pixels: list[NDArray[np.uint8]] = []
    shown: list[str] = []
    colours: list[str] = []
    for _ in range(scenes):
        scene = draw_scene(settings, generator)
        for box, look in zip(scene.boxes_xywh, scene.looks, strict=True):
            off = generator.normal(0, 0.06, 4) * np.tile(box[2:], 2)
            pixels.append(_cut(scene.image, box + off, side))
            shown.append(look.name)
            colours.append(look.colour)
        for _ in range(int(generator.poisson(len(scene.looks) * _NOTHING_SHARE / (1 - _NOTHING_SHARE)))):
            empty = _empty_box(scene, generator)
            if empty is not None:
                pixels.append(_cut(scene.image, empty, side))
                shown.append(DEFAULT_BACKGROUND)
                colours.append("")
    return Pictures(np.stack(pixels), tuple(shown), tuple(colours))


def draw_caption(name: str, colour: str, generator: np.random.Generator) -> Caption:
    """A caption of a picture: mostly its name, at times its colour with it or alone."""
    says_colour = bool(colour) and generator.random() < _COLOURED_SHARE + _NAMELESS_SHARE
    says_name = not says_colour or generator.random() < _COLOURED_SHARE / (_COLOURED_SHARE + _NAMELESS_SHARE)
    said = " ".join(([colour] if says_colour else []) + ([name] if says_name else ["thing"]))
    template = _TEMPLATES[int(generator.integers(len(_TEMPLATES)))]
    return Caption(template.format(said), name, colour, says_name, says_colour)


def _cut(image: Image.Image, box: NDArray[np.float64], side: int) -> NDArray[np.uint8]:
    """The box (x, y, width, height) of the photo, squashed into a square."""
    left, top, right, bottom = clip_boxes(corners_of(box[None]), (image.height, image.width))[0].tolist()
    square = image.resize((side, side), Image.Resampling.BICUBIC, box=(left, top, right, bottom))
    return np.asarray(square)


def _empty_box(scene: Scene, generator: np.random.Generator) -> NDArray[np.float64] | None:
    """A box that next to nothing of any thing lies in; None where none was found."""
    for _ in range(10):
        side = np.exp(generator.uniform(np.log(20), np.log(90), 2))
        corner = generator.uniform(0, 1, 2) * (np.array(scene.image.size) - side)
        box = np.concatenate([np.maximum(corner, 0), side])
        boxes = scene.boxes_xywh
        overlap = np.minimum(box[:2] + side, boxes[:, :2] + boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
        if (np.clip(overlap, 0, None).prod(axis=1).sum() if len(boxes) else 0.0) < 0.1 * side.prod():
            return box
    return None
