"""YAML and typed values: whatever is wrong with them is one line that names the file and the place."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from risf_core.documents import parse_yaml, read_yaml, typed
from risf_core.errors import ConfigError, DataError

BOMB = "a0: &a0 {k: 1, l: 2}\n" + "".join(
    f"a{n}: &a{n} {{{', '.join(f'k{i}: *a{n - 1}' for i in range(9))}}}\n" for n in range(1, 12)
)


def refusal(text: str) -> str:
    with pytest.raises(DataError) as caught:
        parse_yaml(text, source="c.yaml")
    message = str(caught.value)
    assert message.startswith("c.yaml: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    "value",
    [
        "2024-99-99", "!!int x", '!!int ""', "!!float .", "!!bool x", "!!timestamp x", "!!binary é",
        "!!python/name:os.system",         "1" * 5000, "[", "{a", "'", "\x01", "&x *y", "!!set [a]", "!!omap {a: 1}",
        "? [a]\n: {b: ?}", "{[a]: 1}", "{{a: 1}: 1}",
    ],
)  # fmt: skip
def test_whatever_pyyaml_raises_is_one_line(value: str) -> None:
    assert "is not valid YAML" in refusal(f"novel: {value}")


def test_nesting_that_python_cannot_follow_is_told() -> None:
    assert "is nested too deeply" in refusal("[" * 3000)


def test_aliases_that_stand_for_millions_or_for_themselves_are_refused() -> None:
    assert "more than 1,000,000 values" in refusal(BOMB)
    assert "more than 1,000,000 values" in refusal("novel: &x\n  a: *x\n")
    assert parse_yaml("a: &a [1, 2]\nb: *a\n", source="c.yaml") == {"a": [1, 2], "b": [1, 2]}


def test_keys_that_stand_twice_are_named_with_their_lines() -> None:
    assert "key 'b' appears twice (lines 2 and 3); keep one" in refusal("a:\n- b: 1\n  b: 2\n")
    assert parse_yaml("a: &a {x: 1}\nb: {<<: *a}\nc: {<<: *a}\n", source="c.yaml")["c"] == {"x": 1}


def test_an_empty_file_is_none_and_a_missing_one_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing\n")
    assert read_yaml(tmp_path / "c.yaml", what="config") is None
    with pytest.raises(DataError, match="there is no such config"):
        read_yaml(tmp_path / "none.yaml", what="config")


@dataclass(frozen=True)
class Shot:
    image_id: int
    box: tuple[float, float]


@dataclass(frozen=True)
class Seed:
    name: str
    shots: tuple[Shot, ...] = field(default=())


def test_a_value_of_the_right_form_is_its_structure() -> None:
    content = {"name": "a", "shots": [{"image_id": 3, "box": [1, 2.5]}], "more": None}
    assert typed(content, Seed, source="s.json", way_out="draw it again") == Seed("a", (Shot(3, (1.0, 2.5)),))


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (
            {"name": "a", "shots": [{"image_id": 1, "box": [1, 2]}, {"image_id": "x", "box": [1, 2]}]},
            "$.shots[1].image_id",
        ),
        ({"name": "a", "shots": [{"image_id": 1, "box": [1]}]}, "$.shots[0].box"),
        ({"name": 5}, "$.name"),
        ({}, "name"),
        ([], "$"),
        (None, "$"),
        ({"name": "a", "shots": [{"image_id": 1, "box": [1, float("nan")]}]}, "not finite"),
        ({"name": "a", "shots": [{"image_id": 1, "box": [1, 10**400]}]}, "$.shots[0].box[1]"),
    ],
)
def test_a_fault_names_the_file_and_the_place(content: object, place: str) -> None:
    with pytest.raises(ConfigError) as caught:
        typed(content, Seed, source="s.json", way_out="draw it again", fault=ConfigError)
    message = str(caught.value)
    assert message.startswith("s.json: ")
    assert place in message
    assert message.endswith("; draw it again")
