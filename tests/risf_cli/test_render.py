"""What a terminal shows of progress, and the lines beside it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time

import pytest


def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 80 columns is sent, from now on."""
    from rich.console import Console

    from risf_cli import render

    screen = io.StringIO()
    monkeypatch.setattr(
        render, "console", lambda **options: Console(file=screen, force_terminal=True, width=80, color_system=None)
    )
    return screen


def test_a_bar_without_figures_is_never_drawn(monkeypatch):
    from risf_cli.render import phases_of, progress_of, training_lines

    screen = terminal(monkeypatch)
    with progress_of("shots", "crops"), training_lines(), phases_of():
        time.sleep(0.2)  # rich draws ten times a second
    assert screen.getvalue() == ""


def test_lines_that_are_said_before_and_beside_a_bar_stand_alone(monkeypatch):
    from risf_cli import render
    from risf_cli.render import say, training_lines

    screen = terminal(monkeypatch)
    monkeypatch.setattr(render, "LEAST_SECONDS", 0.1)
    with training_lines() as show:
        say("15 boxes in 15 records of 3 classes")
        show("5/20  loss 0.527", 5, 20)
        say("iteration 5, held-out images: AP 12.3")
        show("10/20  loss 0.355", 10, 20)
        time.sleep(0.2)
    lines = [re.sub(r"\x1b\[[0-9?]*[a-zA-Z]|\r", "", line) for line in screen.getvalue().splitlines()][:-1]
    assert lines[:2] == ["15 boxes in 15 records of 3 classes", "5/20  loss 0.527"]
    assert "iteration 5, held-out images: AP 12.3" in lines
    assert re.fullmatch(r"training ━+╸?━* +10/20 iterations  \d+\.?\d* iterations/s  0:00:0\d left *", lines[-1])
    assert all(len(line) <= 80 for line in lines)


def test_rates_count_from_the_first_figure_and_are_whole_above_100(capsys, monkeypatch):
    from risf_cli.render import progress_of

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress_of("training", "iterations") as progress:
        for seconds, done in ((0, 400), (2, 500), (4, 1000)):  # a run that goes on at 400
            now[0] = seconds
            progress(done, 1000)
    with progress_of("drawing", "seeds") as progress:
        progress(1, 1)
    assert capsys.readouterr().err.splitlines() == [
        "training: 500/1000 iterations, 50.0 iterations/s, 10 s left",
        "training: 1000/1000 iterations, 150 iterations/s, 0 s left",
        "drawing: 1/1 seeds",
    ]


def test_no_rate_is_shown_before_a_second_has_passed(capsys, monkeypatch):
    from risf_cli.render import progress_of

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress_of("encoding", "crops") as progress:
        for seconds, done in ((0, 0), (0.01, 136), (5, 500), (5.9, 1000)):
            now[0] = seconds
            progress(done, 1000)
    with progress_of("encoding", "crops") as progress:
        for done in (0, 9):
            progress(done, 9)
    assert capsys.readouterr().err.splitlines() == [
        "encoding: 500/1000 crops, 100 crops/s, 5 s left",
        "encoding: 1000/1000 crops, 169 crops/s, 0 s left",
        "encoding: 9/9 crops",
    ]


def test_lines_break_between_words_on_a_terminal_and_stay_whole_elsewhere(capsys, monkeypatch):
    from risf_cli.render import print_line, say

    line = " ".join(["word", ":cat:"] * 20)
    say(line)
    print_line(line)
    assert capsys.readouterr() == (line + "\n", line + "\n")
    screen = terminal(monkeypatch)
    for show in (say, print_line):
        show(line)
        lines = screen.getvalue().splitlines()
        assert " ".join(part.strip() for part in lines) == line
        assert max(map(len, lines)) <= 80
        screen.truncate(screen.seek(0))


def test_an_error_breaks_between_words_on_a_terminal(capsys, monkeypatch):
    from risf_cli import app

    monkeypatch.setenv("COLUMNS", "40")
    line = "error: x.json: " + " ".join(["lower-case"] * 9)
    app._say(line)
    assert capsys.readouterr().err == line + "\n"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    app._say(line)
    lines = capsys.readouterr().err.splitlines()
    assert " ".join(lines) == line
    assert max(map(len, lines)) <= 40


@pytest.mark.parametrize("width", [36, 44, 60, 80, 100])
def test_no_figure_breaks_and_columns_without_room_follow_below(capsys, monkeypatch, width):
    from risf_cli.render import Column, print_table

    monkeypatch.setenv("COLUMNS", str(width))
    columns = [Column("", text=True)]
    for figure in ("AP", "AP50", "nAP"):
        columns += [Column(figure), Column("diff", change=True)]
    print_table(columns, [[[name, *["68.37", "*+11.3±4.8"] * 3] for name in ("detector", "best single alpha")]])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert max(map(len, lines)) <= width
    words = [line.split() for line in lines]
    beside = max(1, min(3, (width - 1 - 20) // 21))  # a name takes 17 + 3, a figure with its difference 8 + 13
    assert next(line for line in words if line[0] == "detector") == ["detector", *["68.37", "*+11.3±4.8"] * beside]
    assert [head for line in words for head in line if head in ("AP", "AP50", "nAP")] == ["AP", "AP50", "nAP"]
    assert sum(line.count("*+11.3±4.8") for line in words) == 6


def test_what_a_terminal_would_obey_is_shown_as_an_escape(capsys):
    from risf_cli.render import Column, print_table, say

    print_table([Column("n\x1bame", text=True), Column("AP")], [[["\x1b]0;title\x07", "\x9b31m"]]], title="a\u202eb")
    say("note \x1b[2J")
    printed = capsys.readouterr()
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & {*printed.out, *printed.err}
    assert "\\x1b]0;title\\x07" in printed.out
    assert printed.err == "note \\x1b[2J\n"


def test_a_line_of_the_core_is_printed_once_though_a_library_sets_up_logging():
    program = (
        "import logging\n"
        "from risf_cli.render import print_warnings\n"
        "print_warnings()\n"
        "logging.info('a library sets up the root logger')\n"
        "logging.getLogger('risf_core.photos').warning('one is missing')\n"
        "logging.getLogger('library').warning('careful')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "warning: one is missing\ncareful\n"
