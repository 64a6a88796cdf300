"""Help that a person can work from: examples that parse, texts that fit the terminal, words that complete."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys

import pytest

from risf_cli.app import COMMANDS, load_command
from risf_cli.help_text import laid_out
from tests.conftest import Run


def examples_of(command: str) -> list[str]:
    """The indented lines of a command's help."""
    text = inspect.cleandoc(load_command(command).help or "").partition("Examples:\n")[2]
    return [line.strip() for line in text.splitlines() if line.startswith("  ")]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_its_options_take(command):
    examples = examples_of(command)
    assert examples, f"risf {command} --help shows no example; write one under 'Examples:'"
    for example in examples:
        for part in example.split(" | "):
            words = shlex.split(part)
            assert words[0] == "risf", example
            assert "..." not in words, f"{example}: a person cannot type this; write it whole"
            context = load_command(words[1]).make_context(words[1], words[2:])  # wrong ones raise
            assert context.params


def shown(risf: Run, command: str, width: int) -> list[str]:
    words = [command, "--help"] if command else ["--help"]
    done = risf(*words, columns=width)
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_help_fits_the_terminal_with_every_option_and_example_whole(risf, command, width):
    lines = shown(risf, command, width)
    assert max(map(len, lines)) <= width
    text = "\n".join(line.strip() for line in lines)
    for parameter in load_command(command).params:
        for name in parameter.opts:
            assert name.startswith("-") is False or re.search(rf"{re.escape(name)}\b", text), name
    joined = re.sub(r" \\\n", " ", text)  # as the shell joins a continued line
    for example in examples_of(command):
        assert example in joined
    assert "<bool>" not in text
    assert "<str>" not in text


def test_the_root_points_to_the_examples(risf):
    text = "\n".join(shown(risf, "", 80))
    assert "risf COMMAND --help" in text
    assert "--install-completion" in text
    assert "<bool>" not in text


def test_prose_flows_and_examples_are_broken_between_options():
    text = """First
    line.

    Some prose
    goes on.

    Examples:

      risf probe --first one two --second three | risf probe -
    """
    assert laid_out(text, width=40).splitlines() == [
        "First line.",
        "",
        "",
        "Some prose goes on.",
        "",
        "Examples:",
        "",
        "  risf probe --first one two \\",
        "      --second three | risf probe -",
    ]
    assert laid_out(text, width=200).splitlines()[-1] == "  risf probe --first one two --second three | risf probe -"
    assert laid_out("Alone.", width=40) == "Alone."
    assert laid_out("", width=40) == ""


def completed(words: str) -> list[str]:
    """What bash is offered for the last word."""
    given = {"_RISF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.argv = ['risf']; from risf_cli.app import main; main()"],
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("risf rep", ["report"]),
        ("risf report --annot", ["--annotations"]),
        ("risf rescore a.json --precision ", ["auto", "fp32", "bf16", "fp16"]),
        ("risf rescore --novel voc", ["voc1", "voc2", "voc3"]),
        ("risf rescore --rescore-classes n", ["novel"]),
        ("risf doctor --device c", ["cpu", "cuda"]),
        ("risf evaluate --protocol ", ["coco", "voc"]),
        # nothing to offer: the shell completes file names (complete -o default)
        ("risf report be", []),
        ("risf rescore --annotations inst", []),
        ("risf rescore --novel mine.t", []),
    ],
)
def test_completion_offers_what_can_be_given(words, expected):
    assert completed(words) == expected


@pytest.mark.parametrize(
    ("shell", "sign"), [("bash", "complete -o default"), ("zsh", "compdef"), ("fish", "complete ")]
)
def test_completion_can_be_shown_for_every_shell(risf, shell, sign, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    done = risf("--show-completion", shell)
    assert done.exit_code == 0, done.output
    assert sign in done.stdout
    assert "_RISF_COMPLETE" in done.stdout
