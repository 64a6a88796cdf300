"""The commands and how they are called: in groups, loaded lazily, errors as one line, exit codes 0, 1, 2 and 130."""

from __future__ import annotations

import contextlib
import errno
import functools
import importlib
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from risf_cli.help_text import Command, without_plain_types
from risf_cli.option_names import with_options
from risf_core.errors import RisfError, printable

# group in `risf --help` -> name -> (module, one line); the module holds a function of its own name
GROUPS: dict[str, dict[str, tuple[str, str]]] = {
    "Re-scoring": {
        "rescore": ("rescore", "Re-score saved detections with CLIP: new scores, the same boxes."),
        "tune": ("tune", "Fit re-scoring to labelled images and measure whether it helps."),
        "evaluate": ("evaluate", "Compute AP of detections against ground truth; compare several files."),
        "report": ("report", "Write an HTML page on what re-scoring did: metrics, curves, pictures."),
    },
    "Few-shot training": {
        "prepare-splits": ("prepare_splits", "Draw few-shot splits of COCO, VOC or your own data."),
        "check-split": ("check_split", "Check a few-shot split against its source and show what it holds."),
        "base-train": ("base_train", "Train a detector on the base classes."),
        "finetune": ("finetune", "Teach a detector new classes from a few boxes of each."),
        "predict": ("predict", "Detect objects in photos with a detector's weights."),
    },
    "Tools": {
        "convert": ("convert", "Convert detections from one tool's format to another's."),
        "convert-checkpoint": ("convert_checkpoint", "Convert a detector's weights from one format to another."),
        "encoders": ("encoders", "List the image-text encoders that --clip takes by name."),
        "cache": ("cache", "Show what the embedding cache holds, and clear it."),
        "config": ("config", "Show which settings are in force and where each comes from."),
        "doctor": ("doctor", "Check versions, devices, precision and encoder weights."),
        "demo": ("demo", "Run the whole pipeline on synthetic scenes, in minutes."),
    },
}
COMMANDS = {name: about for commands in GROUPS.values() for name, about in commands.items()}


class _LazyCommand(TyperCommand):
    """A command known by its name and one line of help; its module is imported when it is called."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        # Any: the context is click's, which typer carries privately
        assert self.name is not None
        return load_command(self.name).make_context(info_name, args, parent, **extra)


class _LazyGroup(TyperGroup):
    def __init__(self, **attributes: Any) -> None:  # Any: what typer gives a group
        super().__init__(**attributes)
        group_of = {name: group for group, commands in GROUPS.items() for name in commands}
        self.commands = {
            name: _LazyCommand(name, help=line, rich_help_panel=group_of.get(name))
            for name, (_, line) in COMMANDS.items()
        }

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] in COMMANDS and not ctx.resilient_parsing:  # completion wants no defaults
            ctx.default_map = {args[0]: _defaults(args[0], args[1:])}
        return super().resolve_command(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        return without_plain_types(super().get_params(ctx))

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            try:
                return super().main(*args, **extra)
            finally:  # a full disk is reported here, not by a traceback at the very end
                for stream in (sys.stdout, sys.stderr):
                    if stream is not None:
                        stream.flush()
        except OSError as error:
            _end_streams()
            if error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO):
                raise
            if error.errno != errno.EPIPE:
                _say(f"error: {error.filename or 'stdout'} cannot be written whole: {error.strerror}; free some space")
            sys.exit(1)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RisfError as error:
            _say(f"error: {with_options(str(error), _parameters(ctx.invoked_subcommand))}")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            _say("interrupted")
            raise typer.Exit(130) from None


@functools.cache
def load_command(name: str) -> TyperCommand:
    """The full command of that name, with its options."""
    module_name, _ = COMMANDS[name]
    module = importlib.import_module(f"risf_cli.commands.{module_name}")
    function: Callable[..., None] = getattr(module, module_name)
    single = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)
    single.command(name, cls=Command, no_args_is_help=False)(function)
    command = typer.main.get_command(single)
    assert isinstance(command, TyperCommand)
    return command


def _parameters(command: str | None) -> Sequence[Any]:
    return load_command(command).params if command in COMMANDS else ()


def _defaults(command: str, arguments: Sequence[str]) -> dict[str, Any]:
    """The defaults of a command's options here; help and a diagnosis are given even where risf.yaml is broken."""
    from risf_cli.defaults import defaults_of

    try:
        return defaults_of(load_command(command), arguments=arguments, commands=list(COMMANDS))
    except RisfError:
        if command != "doctor" and {"-h", "--help"}.isdisjoint(arguments):
            raise
        return {}


def _say(line: str) -> None:
    if sys.stderr is not None:  # print takes None for stdout
        with contextlib.suppress(OSError):
            text = printable(" ".join(line.split("\n")))
            if sys.stderr.isatty():  # a line breaks between words
                width = shutil.get_terminal_size().columns
                text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
            print(text, file=sys.stderr)  # noqa: T201 - the one place that prints errors


def _end_streams() -> None:
    """Nothing more goes to stdout, so that what is in its buffer is not a second error at the end."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"risf {version('risf')}")
        raise typer.Exit


app = typer.Typer(
    cls=_LazyGroup,
    name="risf",
    help="Few-shot object detection, and CLIP re-scoring of any detector's saved detections.\n\n"
    "`risf COMMAND --help` shows examples; `risf doctor` checks your installation and hardware.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Few-shot object detection, and CLIP re-scoring of any detector's saved detections."""


def main() -> None:
    """The entry point of the `risf` command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that the terminal lacks must not end a run
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(130)
