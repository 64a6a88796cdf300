"""The values of risf.yaml as a command's options read them: as if they were typed on the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from risf_cli.help_text import plain_fault
from risf_core.errors import ConfigError
from risf_core.project import load_project


def defaults_of(command: TyperCommand, *, arguments: Sequence[str], commands: Sequence[str]) -> dict[str, Any]:
    """The defaults of a command's parameters from risf.yaml and the published layout. Any: of any option's type.

    `arguments` are what the person typed after the command's name; what they state there needs no default.
    """
    assert command.name is not None
    parameters = {_key(parameter): parameter for parameter in command.params}
    context = typer.Context(command)
    typed = {argument[2:].partition("=")[0].replace("-", "_") for argument in arguments if argument.startswith("--")}
    found = load_project().defaults(
        command.name,
        {key: _reader(parameter, context) for key, parameter in parameters.items()},
        commands=commands,
        given=typed,
    )
    return {str(parameters[key].name): value for key, value in found.items()}


def _key(parameter: Any) -> str:
    """What risf.yaml calls a parameter: its name without the underscore that keeps it off Python's words (json_)."""
    return str(parameter.name).rstrip("_")


def _reader(parameter: Any, context: typer.Context) -> Callable[[Any], Any]:
    """What takes a YAML value and gives what the parameter would get from the command line, checked by its type."""
    repeated = getattr(parameter, "multiple", False) or parameter.nargs != 1

    def read(value: Any) -> Any:
        if getattr(parameter, "is_flag", False):
            if not isinstance(value, bool):
                raise ConfigError(f"{value!r} is not true or false")
            return value
        parts = value if isinstance(value, list) else [value]
        if not all(type(part) in (str, int, float) for part in parts):
            raise ConfigError(f"{value!r} is not a value of an option")
        words = [os.path.expanduser(str(part)) for part in parts]
        typed = words if repeated else ",".join(words)  # a list of names, where the option takes commas
        try:
            parameter.process_value(context, typed)
        except typer.BadParameter as error:
            raise ConfigError(f"{value!r} does not fit: {plain_fault(error.message).rstrip('.')}") from None
        return typed

    return read
