"""What a shell user reads where the core names its fields."""

from __future__ import annotations

import pytest

from risf_cli.app import load_command
from risf_cli.option_names import with_options


@pytest.mark.parametrize(
    ("command", "said", "read"),
    [
        ("rescore", "give `image_ids=stems`", "give --image-ids stems"),
        ("rescore", "`category_ids` is positions", "--category-ids is positions"),
        ("rescore", "run `risf rescore` on it", "run `risf rescore` on it"),
        ("rescore", "`detections` is empty", "DETECTIONS is empty"),
        ("evaluate", "set `solver.batch=8`", "set `solver.batch=8`"),
        ("evaluate", "the key `clip_names` and `weights=x`", "the key `clip_names` and `weights=x`"),
        ("base-train", "set `solver.batch=8`, or `json`", "set --set solver.batch=8, or --json"),
    ],
)
def test_a_field_in_backticks_is_the_option_of_the_command_at_work(command: str, said: str, read: str) -> None:
    assert with_options(said, load_command(command).params) == read


def test_a_message_outside_of_any_command_stays_as_it_is() -> None:
    assert with_options("give `image_ids=stems`") == "give `image_ids=stems`"
