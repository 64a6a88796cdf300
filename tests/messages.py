"""What a message must name, whatever its words; exact wording is in one table of each module."""

from __future__ import annotations

import re

from typer.testing import Result


def assert_names(message: str, *parts: object) -> None:
    """A message names all parts as whole words: the file or thing, the value, the option."""
    assert "\n" not in message.strip()
    missing = [part for part in parts if not re.search(rf"(?<!\w){re.escape(str(part).strip())}(?!\w)", message)]
    assert not missing, f"{missing} not in: {message}"


def error_of(result: Result) -> str:
    """The last line of a command that failed, which is its one error; nothing is on stdout."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    *before, last = result.stderr.strip().splitlines()
    assert last.startswith("error: "), result.stderr
    assert not [line for line in before if line.startswith(("error: ", "Traceback"))]
    return last.removeprefix("error: ")
