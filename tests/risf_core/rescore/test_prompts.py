"""What is said to the text encoder."""

from __future__ import annotations

import pytest

from risf_core.errors import ConfigError
from risf_core.rescore.prompts import make_prompts, readable_name
from risf_core.vocabulary import VOC_CLASSES
from tests.messages import assert_names


def test_prompts_hold_every_template_of_every_name_and_the_background_last():
    prompts, columns = make_prompts(
        ["cat", "dog"], aliases={}, templates=["a photo of {}", "a {} photo"], background="background"
    )
    assert prompts.groups == (
        ("a photo of cat", "a cat photo"),
        ("a photo of dog", "a dog photo"),
        ("a photo of background", "a background photo"),
    )
    assert columns == [0, 1]


def test_background_can_be_left_out():
    assert make_prompts(["cat"], aliases={}, templates=["{}"], background=None)[0].groups == (("cat",),)


def test_poor_names_of_voc_read_as_captions_do():
    said = {name: readable_name(name, {}) for name in VOC_CLASSES}
    assert {name: text for name, text in said.items() if name != text} == {
        "aeroplane": "airplane",
        "diningtable": "dining table",
        "pottedplant": "potted plant",
        "tvmonitor": "tv",
    }


def test_an_alias_beats_the_built_in_name():
    assert readable_name("tvmonitor", {"tvmonitor": "screen"}) == "screen"


def test_names_that_read_the_same_share_a_column():
    prompts, columns = make_prompts(
        ["potted plant", "cat", "potted_plant"], aliases={}, templates=["{}"], background=None
    )
    assert prompts.names == ("potted plant", "cat")
    assert columns == [0, 1, 0]


def test_a_class_called_background_keeps_a_column_of_its_own():
    prompts, columns = make_prompts(["background", "cat"], aliases={}, templates=["{}"], background="background")
    assert prompts.groups == (("background",), ("cat",), ("background",))
    assert columns == [0, 1]


def test_a_name_with_braces_is_not_a_template():
    assert make_prompts(["{0}"], aliases={}, templates=["a {}"], background=None)[0].groups == (("a {0}",),)


def test_a_template_without_a_place_for_the_name_is_refused():
    with pytest.raises(ConfigError) as caught:
        make_prompts(["cat"], aliases={}, templates=["a photo"], background=None)
    assert_names(str(caught.value), "`template`", "'a photo'", "'a photo of {}'")
