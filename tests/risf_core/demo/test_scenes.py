"""Made scenes: the same from the same seed, and boxes that fit what is to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from risf_core.demo.drawing import draw_look, draw_thing
from risf_core.demo.outlines import outlines
from risf_core.demo.scenes import LEAST_SEEN, Scene, SceneSettings, composed, draw_scene
from risf_core.demo.things import BASE, COLOURS, HOLE, NOVEL, THINGS

ALL = SceneSettings((*BASE, *NOVEL), (1.0,) * (len(BASE) + len(NOVEL)))


def scenes(count: int, seed: int = 5) -> list[Scene]:
    generator = np.random.default_rng(seed)
    return [draw_scene(ALL, generator) for _ in range(count)]


def test_the_same_seed_draws_the_same_pixels_and_boxes_and_another_does_not() -> None:
    for one, two in zip(scenes(4), scenes(4), strict=True):
        np.testing.assert_array_equal(np.asarray(one.image), np.asarray(two.image))
        np.testing.assert_array_equal(one.boxes_xywh, two.boxes_xywh)
    assert scenes(1)[0].looks != scenes(1, seed=6)[0].looks


def test_boxes_are_tight_around_the_pixels_that_go_when_a_thing_is_taken_away() -> None:
    for scene in scenes(12):
        width, height = scene.image.size
        black = np.zeros((height, width, 3), dtype=np.float32)
        patches = [draw_thing(look) for look in scene.looks]
        for place, (box, area) in enumerate(zip(scene.boxes_xywh, scene.areas, strict=True)):
            # every thing in a flat colour of its own: what is seen of one is where its colour stands
            flat = [type(patch)(patch.left, patch.top, np.full_like(patch.colours, n == place), patch.alpha)
                    for n, patch in enumerate(patches)]  # fmt: skip
            seen = composed(black, flat)[..., 0] >= 0.5
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            # pixels that two smooth edges share belong to either
            np.testing.assert_allclose([*box[:2], *(box[:2] + box[2:])], found, atol=2)
            assert area == pytest.approx(seen.sum(), rel=0.08, abs=4)


def test_no_thing_is_covered_by_more_than_half() -> None:
    covered = 0
    for scene in scenes(40):
        for look, area in zip(scene.looks, scene.areas, strict=True):
            share = area / (draw_thing(look).alpha >= 0.5).sum()
            assert share >= LEAST_SEEN * 0.75 - 0.01  # of the part inside the photo, which is 3/4 at least
            covered += share < 0.9
    assert covered >= 10  # occlusion is there


def test_scenes_hold_things_from_small_to_large_in_cluttered_photos() -> None:
    drawn = scenes(60)
    sides = np.sqrt(np.concatenate([scene.boxes_xywh[:, 2] * scene.boxes_xywh[:, 3] for scene in drawn]))
    assert sides.min() < 24
    assert sides.max() > 90
    assert np.mean([len(scene.looks) for scene in drawn]) > 3.5
    assert {name for scene in drawn for name in scene.names} == set(ALL.names)
    assert min(np.asarray(scene.image.convert("L")).std() for scene in drawn) > 8


def test_look_alikes_share_their_outline_and_there_are_more_things_than_the_demo_shows() -> None:
    assert len(BASE) + len(NOVEL) >= 24
    assert set(BASE).isdisjoint(NOVEL)
    assert {*BASE, *NOVEL} < set(THINGS)
    assert len(THINGS) >= 40
    for one, two in (("apple", "tomato"), ("clock", "compass"), ("doughnut", "tyre"), ("mushroom", "umbrella"),
                     ("lollipop", "balloon"), ("beach ball", "button")):  # fmt: skip
        assert {one, two} & set(NOVEL)
        assert {part.outline for part in THINGS[one]} & {part.outline for part in THINGS[two]} - {"square"}


def test_every_thing_has_parts_with_known_outlines_and_paints_and_shows_some_pixels() -> None:
    generator = np.random.default_rng(0)
    for name, parts in THINGS.items():
        for part in parts:
            assert part.outline in outlines()
            assert {part.paint, part.second} <= {*COLOURS, "any", "other", HOLE}
        patch = draw_thing(draw_look(name, centre=(40.0, 40.0), radius=25.0, generator=generator))
        assert 300 < (patch.alpha > 0.5).sum() < 50 * 50
        assert patch.colours.min() >= 0
        assert patch.colours.max() <= 1
