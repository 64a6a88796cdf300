"""Tables and lines for people; the only user of rich, and with app.py the only place that prints."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import typer
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.table import Table
from rich.text import Text

from risf_cli.option_names import with_options
from risf_core.errors import printable

GAP = 3  # what a table puts between columns
LEAST_SECONDS = 1.0  # until a rate is shown: what a cache or the first batch gives at once is not one

_SCREENS_WITH_BAR: list[Console] = []  # where a bar is drawn now, which lines must not run into


@dataclass(frozen=True)
class Column:
    """A column of a printed table."""

    head: str
    text: bool = False  # left-aligned and cut where the terminal is narrow; figures are on the right and whole
    change: bool = False  # its figures are differences: coloured by their sign, where they have one
    most: int | None = None  # the widest a text may be


def print_table(
    columns: Sequence[Column], sections: Sequence[Sequence[Sequence[str]]], *, title: str | None = None
) -> None:
    """Print a table to stdout: sections of rows, an empty line between two.

    Columns that do not fit the terminal follow in a table below, again with the first column.
    """
    screen = console()
    if title is not None:
        screen.print(Text(printable(title), style="bold"))
    for chosen in _fitting(columns, [row for section in sections for row in section], screen.width):
        table = Table(box=box.SIMPLE_HEAD)
        for position in chosen:
            column = columns[position]
            table.add_column(
                Text(printable(column.head), overflow="fold", no_wrap=False),
                justify="left" if column.text else "right",
                no_wrap=not column.text,
                max_width=column.most,
            )
        for section in sections:
            for row in section:
                table.add_row(*(_cell(row[position], columns[position]) for position in chosen))
            table.add_section()
        screen.print(table)


def _fitting(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int) -> Iterator[list[int]]:
    """The positions of the columns of each table: the first, and as many of the others as fit next to it."""
    widths = [
        min(max(map(len, texts)), column.most or width) + GAP
        for column, *texts in zip(columns, [column.head for column in columns], *rows, strict=True)
    ]
    chosen = [0]
    for position in range(1, len(columns)):
        with_change = position + 1 < len(columns) and columns[position + 1].change  # a change stays with its figure
        more = sum(widths[position : position + 1 + with_change])
        if len(chosen) > 1 and not columns[position].change and sum(widths[i] for i in chosen) + more >= width:
            yield chosen
            chosen = [0]
        chosen.append(position)
    yield chosen


def print_finding(name: str, value: str, status: str, verdict: str) -> None:
    """One line of a diagnosis on stdout: the status in colour, the verdict wrapped under itself."""
    colours = {"ok": "green", "note": "yellow", "fault": "bold red"}
    line = Table.grid(padding=(0, 2))
    line.add_column(width=5)
    line.add_column()
    about = Text.assemble(
        (printable(f"{name} {value}"), "bold"), f"  {printable(with_options(verdict))}", overflow="fold"
    )
    line.add_row(Text(status, style=colours.get(status, "")), about)
    console().print(line)


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr as they are now."""
    return Console(stderr=stderr, highlight=False)


def print_line(line: str) -> None:
    """One line on stdout."""
    _print_line(console(), line)


def print_json(content: object) -> None:
    """JSON on stdout; in ASCII where a terminal would obey a letter in it."""
    text = json.dumps(content, indent=2, ensure_ascii=False)
    typer.echo(text if text == printable(text) else json.dumps(content, indent=2))


def say(line: str) -> None:
    """One line on stderr, above a progress bar; fields in backticks are named as options."""
    screen = _SCREENS_WITH_BAR[-1] if _SCREENS_WITH_BAR else console(stderr=True)
    with contextlib.suppress(OSError):  # a run continues without anybody reading
        _print_line(screen, with_options(line))


def _print_line(screen: Console, line: str) -> None:
    """A line that breaks between words on a terminal and stays whole elsewhere."""
    screen.print(printable(line), markup=False, emoji=False, soft_wrap=not screen.is_terminal)


@contextlib.contextmanager
def progress_of(what: str, unit: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A function (done, total) that shows progress on stderr: a bar on a terminal, a line each tenth elsewhere.

    Nothing is shown before the first call.
    """
    if quiet:
        yield lambda done, total: None
        return
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _TenthLines(what, unit)
        return
    with contextlib.closing(_Bar(what, unit, screen)) as bar:
        yield bar


@contextlib.contextmanager
def training_lines(*, quiet: bool = False) -> Iterator[Callable[[str, int, int], None]]:
    """A function (line, done, total) that shows the state of a run: over a bar on a terminal, else as a line."""
    with contextlib.ExitStack() as stack:
        terminal = not quiet and console(stderr=True).is_terminal
        bar = stack.enter_context(progress_of("training", "iterations")) if terminal else None

        def show(line: str, done: int, total: int) -> None:
            if not quiet:
                say(line)
            if bar is not None:
                bar(done, total)

        yield show


@contextlib.contextmanager
def phases_of(*, quiet: bool = False) -> Iterator[Callable[[str, str, int, int], None]]:
    """A function (what, unit, done, total) for work of several phases, each shown as `progress_of` shows it."""
    with contextlib.ExitStack() as stack:
        shown: dict[str, Callable[[int, int], None]] = {}

        def report(what: str, unit: str, done: int, total: int) -> None:
            if what not in shown:
                stack.close()
                shown[what] = stack.enter_context(progress_of(what, unit, quiet=quiet))
            shown[what](done, total)

        yield report


class _Bar:
    """Progress as a bar, which is drawn from its first figures on."""

    def __init__(self, what: str, unit: str, screen: Console) -> None:
        self._what, self._screen = what, screen
        width = min(40, max(8, screen.width - 66))  # the figures need up to that, and stay on one line
        bar = BarColumn(bar_width=width)
        self._progress = Progress(TextColumn("{task.description}"), bar, _RateColumn(unit), console=screen)
        self._task: TaskID | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._progress.add_task(self._what, total=total, completed=done, first=done)
            self._progress.start()
            _SCREENS_WITH_BAR.append(self._screen)
        self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        if self._task is not None:
            self._progress.stop()
            _SCREENS_WITH_BAR.remove(self._screen)


class _RateColumn(ProgressColumn):
    """Done of all, units a second and time left, by the average since the first figure: batches come in bursts."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        super().__init__()

    def render(self, task: Task) -> Text:
        text = f"{task.completed:.0f}/{task.total or 0:.0f} {self._unit}"
        more = task.completed - task.fields["first"]
        if more and task.elapsed and task.elapsed >= LEAST_SECONDS:
            rate = more / task.elapsed
            left = timedelta(seconds=round(((task.total or 0) - task.completed) / rate))
            text += f"  {_number(rate)} {self._unit}/s  {left} left"
        return Text(text)


class _TenthLines:
    """Progress as plain lines: one for every tenth, with rate and time left, and at most one in two seconds."""

    def __init__(self, what: str, unit: str) -> None:
        self._what, self._unit = what, unit
        self._first: tuple[float, int] | None = None  # when the first figure came, and what it was
        self._last = time.monotonic()
        self._tenth = 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if tenth == self._tenth or (now - self._last < 2 and done < total):
            return
        self._tenth, self._last = tenth, now
        began, before = self._first
        line = f"{self._what}: {done}/{total} {self._unit}"
        if done > before and now - began >= LEAST_SECONDS:
            rate = (done - before) / (now - began)
            line += f", {_number(rate)} {self._unit}/s, {(total - done) / rate:.0f} s left"
        say(line)


def _number(rate: float) -> str:
    return f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"


def print_warnings(*, quiet: bool = False) -> None:
    """From now on, what the core logs are lines on stderr: ``warning: ...``, and unless quiet ``note: ...``."""
    logger = logging.getLogger("risf_core")
    if not any(isinstance(handler, _LogLines) for handler in logger.handlers):
        logger.addHandler(_LogLines(logging.INFO))
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    if not logging.root.handlers:  # else the first library that calls logging.info adds one, which repeats ours
        others = logging.StreamHandler()
        others.setLevel(logging.WARNING)
        others.addFilter(lambda record: not record.name.startswith("risf_core"))
        logging.root.addHandler(others)


class _LogLines(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._notes: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if record.levelno >= logging.WARNING:
            say(f"warning: {message}")
        elif message not in self._notes:  # a folder that is read twice is noted once
            self._notes.add(message)
            say(f"note: {message}")


def _cell(text: str, column: Column) -> Text:
    style = ""
    sign, certain = text.lstrip("* ")[:1], "±" not in text or text.startswith("*")  # an interval around 0 has no colour
    if column.change and certain and sign in ("+", "-") and text.strip("+-0."):
        style = "green" if sign == "+" else "red"
    return Text(printable(text), style=style, no_wrap=True, overflow="ellipsis" if column.text else "fold")
