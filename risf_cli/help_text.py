"""Help texts as a terminal of any width shows them: prose flows, and examples stay lines that a shell takes."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Iterator
from typing import Any

import typer
from typer.core import TyperCommand

from risf_cli import option_names

_MARGIN = 2  # columns around the text that typer leaves free
_DEEPER = 4  # how far the rest of a broken example is indented


class Command(TyperCommand):
    """A command whose help fits the terminal. Any: the context and its parameters are click's, which typer hides."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; flags and arguments show no type, which their names make clear."""
        return without_plain_types(super().get_params(ctx))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Click's own; what is wrong is said without the name of an exception."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = plain_fault(error.message)
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command; messages of the core name its options meanwhile."""
        option_names.begin(self)
        try:
            return super().invoke(ctx)
        finally:
            option_names.end()

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help, its text laid out for the terminal's width."""
        text = self.help
        self.help = laid_out(text or "", width=shutil.get_terminal_size().columns - _MARGIN)
        try:
            super().format_help(ctx, formatter)
        finally:
            self.help = text


def plain_fault(message: str) -> str:
    """What is wrong with an option's value, without what the library that read it puts before its own words."""
    return message.removeprefix("Value error, ")


def without_plain_types(parameters: list[Any]) -> list[Any]:
    """The parameters, changed so that `--help` shows no <bool> for a flag and no <str> for an argument."""
    for parameter in parameters:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        if parameter.param_type_name == "argument":
            vars(parameter)["display_type_rich"] = lambda ctx: None
    return parameters


def laid_out(text: str, *, width: int) -> str:
    """A docstring with the lines of each paragraph joined, and indented examples broken as a shell continues lines.

    >>> print(laid_out("One\\ntwo.\\n\\n  risf probe file --first 1 --second 2", width=30))
    One two.
    <BLANKLINE>
    <BLANKLINE>
      risf probe file --first 1 \\
          --second 2
    """
    paragraphs = inspect.cleandoc(text).split("\n\n")
    shown = [
        "\n".join(_broken(line, width) for line in paragraph.splitlines())
        if paragraph.startswith(" ")
        else " ".join(paragraph.split("\n"))
        for paragraph in paragraphs
    ]
    # the empty line more keeps the indentation: typer takes the least one of all lines but the first away
    return "\n\n\n".join([shown[0], "\n\n".join(shown[1:])]) if shown[1:] else shown[0]


def _broken(line: str, width: int) -> str:
    """An example in lines of at most `width` characters, as far as its parts allow."""
    if len(line) <= width:
        return line
    indent = " " * (len(line) - len(line.lstrip()))
    lines: list[str] = []
    deeper = indent + " " * _DEEPER
    current = ""
    for part in _parts(line):
        own = indent if not lines else deeper
        if current and len(f"{own}{current} {part} \\") > width:
            lines.append(f"{own}{current} \\")
            current = part
        else:
            current = f"{current} {part}".strip()
    return "\n".join([*lines, f"{deeper}{current}"])


def _parts(line: str) -> Iterator[str]:
    """What of a command line stays together: an option with its values, a pipe with its command."""
    part: list[str] = []
    for word in line.split():
        if part and (word.startswith("--") or word == "|"):
            yield " ".join(part)
            part = []
        part.append(word)
    yield " ".join(part)
