"""The catalogue of things that made scenes show: name, parts, colours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Texture = Literal["plain", "stripes", "spots", "checks", "rings", "wedges"]
HOLE = "hole"  # a paint that cuts through


@dataclass(frozen=True)
class Part:
    """An outline with its paint, placed in the square -1..1 of its thing, y downwards."""

    outline: str  # of `outlines`
    paint: str  # of COLOURS, "any", "other", or HOLE
    at: tuple[float, float] = (0.0, 0.0)  # centre
    size: tuple[float, float] = (1.0, 1.0)  # half width and half height
    turn: float = 0.0  # degrees
    texture: Texture = "plain"
    second: str = "white"  # the texture's other paint


# Hue, saturation, value in 0..1
COLOURS: Mapping[str, tuple[float, float, float]] = {
    "red": (0.0, 0.8, 0.8),
    "orange": (0.075, 0.85, 0.92),
    "yellow": (0.14, 0.8, 0.92),
    "green": (0.33, 0.65, 0.6),
    "blue": (0.6, 0.7, 0.75),
    "purple": (0.78, 0.5, 0.65),
    "pink": (0.93, 0.45, 0.9),
    "brown": (0.07, 0.6, 0.42),
    "white": (0.1, 0.05, 0.93),
    "grey": (0.6, 0.08, 0.55),
    "black": (0.6, 0.15, 0.15),
}
VIVID = ("red", "orange", "yellow", "green", "blue", "purple", "pink")  # what "any" and "other" may be


def _spokes(paint: str, size: float) -> tuple[Part, ...]:
    places = ((-0.5, -0.5), (0.5, -0.5), (0.0, 0.0), (-0.5, 0.5), (0.5, 0.5))
    return tuple(Part("disc", paint, place, (size, size)) for place in places)


_WHEELS = (Part("disc", "black", (-0.5, 0.65), (0.25, 0.25)), Part("disc", "black", (0.5, 0.65), (0.25, 0.25)))
_CLOCK_HANDS = (
    Part("square", "black", (0.0, -0.3), (0.07, 0.35)),
    Part("square", "black", (0.2, 0.0), (0.25, 0.07)),
)
_NEEDLE = (
    Part("triangle", "red", (0.0, -0.32), (0.16, 0.34)),
    Part("triangle", "blue", (0.0, 0.32), (0.16, 0.34), turn=180),
)

# Look-alikes are side by side: they share outline or colours and differ in a part or a texture.
THINGS: Mapping[str, tuple[Part, ...]] = {
    "apple": (
        Part("square", "brown", (0.0, -0.8), (0.07, 0.2)),
        Part("lens", "green", (0.35, -0.78), (0.32, 0.14), turn=-25),
        Part("disc", "red", (0.0, 0.15), (0.85, 0.82)),
    ),
    "tomato": (
        Part("disc", "red", (0.0, 0.1), (0.92, 0.8)),
        Part("calyx", "green", (0.0, -0.62), (0.5, 0.32)),
    ),
    "clock": (
        Part("disc", "grey"), Part("disc", "white", size=(0.8, 0.8)), *_CLOCK_HANDS,
    ),
    "compass": (
        Part("disc", "grey"), Part("disc", "white", size=(0.8, 0.8)), *_NEEDLE,
    ),
    "star": (Part("star", "yellow"),),
    "starfish": (Part("fat star", "orange", texture="spots", second="pink"),),
    "doughnut": (
        Part("disc", "brown"), Part("flower", "pink", size=(0.85, 0.85), texture="spots", second="white"),
        Part("disc", HOLE, size=(0.32, 0.32)),
    ),
    "tyre": (
        Part("disc", "black"), Part("disc", "grey", size=(0.62, 0.62)), Part("disc", HOLE, size=(0.36, 0.36)),
    ),
    "mushroom": (
        Part("square", "white", (0.0, 0.5), (0.25, 0.5)),
        Part("half disc", "red", (0.0, -0.4), (1.0, 0.6), texture="spots", second="white"),
    ),
    "umbrella": (
        Part("square", "brown", (0.0, 0.35), (0.06, 0.65)),
        Part("half disc", "any", (0.0, -0.4), (1.0, 0.6), texture="wedges", second="other"),
    ),
    "bottle": (
        Part("bottle", "green", size=(0.75, 1.0)), Part("square", "white", (0.0, 0.45), (0.41, 0.28)),
    ),
    "vase": (Part("vase", "blue", texture="stripes", second="white"),),
    "balloon": (
        Part("square", "grey", (0.0, 0.75), (0.03, 0.25)), Part("triangle", "any", (0.0, 0.5), (0.14, 0.12)),
        Part("disc", "any", (0.0, -0.25), (0.62, 0.75)),
    ),
    "lollipop": (
        Part("square", "white", (0.0, 0.55), (0.07, 0.45)),
        Part("disc", "any", (0.0, -0.35), (0.65, 0.65), texture="rings", second="white"),
    ),
    "button": (
        Part("disc", "any"), *(Part("disc", HOLE, (x, y), (0.14, 0.14)) for x in (-0.28, 0.28) for y in (-0.28, 0.28)),
    ),
    "beach ball": (Part("disc", "any", texture="wedges", second="white"),),
    "mug": (
        Part("disc", "any", (0.6, 0.1), (0.4, 0.5)), Part("disc", HOLE, (0.6, 0.1), (0.2, 0.3)),
        Part("rounded", "any", (-0.2, 0.1), (0.7, 0.9)), Part("disc", "black", (-0.2, -0.72), (0.55, 0.13)),
    ),
    "bucket": (
        Part("disc", "grey", (0.0, -0.4), (0.75, 0.6)), Part("disc", HOLE, (0.0, -0.4), (0.65, 0.5)),
        Part("trapezoid", "any", (0.0, 0.3), (0.9, 0.7)), Part("disc", "black", (0.0, -0.38), (0.8, 0.12)),
    ),
    "fish": (
        Part("triangle", "any", (0.72, 0.0), (0.5, 0.28), turn=-90),
        Part("lens", "any", (-0.2, 0.0), (0.8, 0.55), texture="stripes", second="other"),
        Part("disc", "white", (-0.6, -0.1), (0.12, 0.12)), Part("disc", "black", (-0.62, -0.1), (0.06, 0.06)),
    ),
    "leaf": (
        Part("square", "brown", (0.8, 0.0), (0.25, 0.05)), Part("lens", "green", (-0.1, 0.0), (0.85, 0.5)),
        Part("square", "white", (-0.1, 0.0), (0.75, 0.035)),
    ),
    "ladybird": (
        Part("disc", "black", (0.0, -0.68), (0.45, 0.32)),
        Part("disc", "red", (0.0, 0.1), (0.8, 0.85), texture="spots", second="black"),
        Part("square", "black", (0.0, 0.1), (0.04, 0.85)),
    ),
    "moon": (Part("crescent", "white"),),
    "banana": (
        Part("crescent", "yellow", size=(0.75, 1.0)), Part("disc", "brown", (0.48, -0.8), (0.13, 0.13)),
        Part("disc", "brown", (0.48, 0.8), (0.13, 0.13)),
    ),
    "die": (Part("rounded", "white", size=(0.9, 0.9)), *_spokes("black", 0.17)),
    "gift": (
        Part("disc", "other", (-0.28, -0.8), (0.28, 0.18), turn=20),
        Part("disc", "other", (0.28, -0.8), (0.28, 0.18), turn=-20),
        Part("square", "any", (0.0, 0.2), (0.85, 0.8)),
        Part("square", "other", (0.0, 0.2), (0.15, 0.8)), Part("square", "other", (0.0, 0.2), (0.85, 0.13)),
    ),
    "house": (
        Part("square", "any", (0.0, 0.45), (0.75, 0.55)), Part("triangle", "brown", (0.0, -0.5), (1.0, 0.5)),
        Part("square", "black", (0.0, 0.65), (0.2, 0.35)),
    ),
    "tent": (
        Part("triangle", "any", (0.0, 0.0), (1.0, 0.9), texture="stripes", second="other"),
        Part("triangle", "black", (0.0, 0.4), (0.3, 0.5)),
    ),
    "flower": (
        Part("flower", "any"), Part("disc", "yellow", size=(0.35, 0.35)),
    ),
    "gear": (Part("gear", "grey"), Part("disc", HOLE, size=(0.35, 0.35))),
    # The rest is known to the encoder alone; no scene of the demo shows it.
    "pine tree": (
        Part("square", "brown", (0.0, 0.85), (0.14, 0.15)),
        *(Part("triangle", "green", (0.0, y), (0.4 + 0.2 * i, 0.35)) for i, y in enumerate((-0.6, -0.1, 0.4))),
    ),
    "kite": (
        Part("square", "grey", (0.0, 0.8), (0.03, 0.25)), Part("diamond", "any", (0.0, -0.2), (0.7, 0.8)),
        Part("triangle", "other", (0.0, -0.6), (0.7, 0.4)),
    ),
    "heart": (Part("heart", "red"),),
    "car": (Part("car", "any", (0.0, 0.0), (1.0, 0.6)), *_WHEELS, Part("square", "white", (0.02, -0.3), (0.3, 0.2))),
    "boat": (
        Part("square", "brown", (0.0, -0.2), (0.05, 0.8)), Part("triangle", "white", (0.4, -0.3), (0.38, 0.6)),
        Part("hull", "any", (0.0, 0.7), (1.0, 0.3)),
    ),
    "rocket": (Part("rocket", "white"), Part("disc", "blue", (0.0, -0.2), (0.2, 0.2))),
    "bell": (Part("disc", "brown", (0.0, 0.85), (0.2, 0.15)), Part("bell", "yellow", size=(0.85, 0.9))),
    "ice cream": (
        Part("triangle", "orange", (0.0, 0.4), (0.5, 0.6), turn=180, texture="checks", second="brown"),
        Part("disc", "pink", (0.0, -0.4), (0.6, 0.55)),
    ),
    "carrot": (
        Part("calyx", "green", (0.0, -0.75), (0.4, 0.25)), Part("triangle", "orange", (0.0, 0.2), (0.4, 0.8), turn=180),
    ),
    "traffic cone": (
        Part("triangle", "orange", (0.0, -0.1), (0.6, 0.9), texture="stripes", second="white"),
        Part("square", "orange", (0.0, 0.88), (0.9, 0.12)),
    ),
    "target": (Part("disc", "red", texture="rings", second="white"),),
    "chessboard": (Part("square", "white", size=(0.9, 0.9), texture="checks", second="black"),),
    "snowman": (
        Part("disc", "white", (0.0, 0.45), (0.6, 0.55)), Part("disc", "white", (0.0, -0.45), (0.4, 0.4)),
        Part("triangle", "orange", (0.0, -0.4), (0.08, 0.15)),
    ),
    "cloud": (Part("cloud", "white", size=(1.0, 0.6)),),
    "drop of water": (Part("drop", "blue"),),
    "lightning": (Part("bolt", "yellow"),),
    "arrow": (Part("arrow", "any"),),
    "hexagon tile": (Part("hexagon", "any", texture="checks", second="other"),),
}  # fmt: skip

BASE: tuple[str, ...] = (
    "apple", "clock", "star", "doughnut", "mushroom", "bottle", "balloon", "button", "mug", "bucket", "fish", "leaf",
    "ladybird", "moon", "die", "gift", "house", "tent", "flower", "gear",
)  # fmt: skip
NOVEL: tuple[str, ...] = (  # each with a look-alike among BASE, and some of them alike among themselves
    "tomato", "compass", "starfish", "tyre", "umbrella", "vase", "lollipop", "beach ball",
)  # fmt: skip
