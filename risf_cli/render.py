"""Tables and lines for people; with app.py the only user of rich."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text


@dataclass(frozen=True)
class Column:
    """A column of a printed table."""

    head: str
    text: bool = False  # left-aligned and cut where the terminal is narrow; figures stand right and whole
    change: bool = False  # its figures are differences: coloured by their sign
    most: int | None = None  # the widest a text may be


def print_table(
    columns: Sequence[Column], sections: Sequence[Sequence[Sequence[str]]], *, title: str | None = None
) -> None:
    """Print a table to stdout: sections of rows, an empty line between two."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(
            Text(column.head, overflow="fold"),
            justify="left" if column.text else "right",
            no_wrap=column.text,
            overflow="ellipsis" if column.text else "fold",
            max_width=column.most,
        )
    for section in sections:
        for row in section:
            table.add_row(*(_cell(text, column) for text, column in zip(row, columns, strict=True)))
        table.add_section()
    screen = console()
    if title is not None:
        screen.print(Text(title, style="bold"))
    screen.print(table)


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr as they are now."""
    return Console(stderr=stderr, highlight=False)


def print_warnings() -> None:
    """From now on, warnings of the core are lines on stderr: ``warning: ...``."""
    logger = logging.getLogger("risf_core")
    if not any(isinstance(handler, _WarningLines) for handler in logger.handlers):
        logger.addHandler(_WarningLines(logging.WARNING))


class _WarningLines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        console(stderr=True).print(f"warning: {record.getMessage()}", markup=False, soft_wrap=True)


def _cell(text: str, column: Column) -> Text:
    style = ""
    if column.change and text[:1] in ("+", "-") and text.strip("+-0."):
        style = "green" if text.startswith("+") else "red"
    return Text(text, style=style)
