"""Messages of the core as a shell user reads them: the field `image_ids` is the option --image-ids."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_FIELD = re.compile(r"`([a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)?)(?:=([^`]*))?`")

_running: list[Any] = []  # the commands at work, the innermost last. Any: click's, which typer hides


def begin(command: Any) -> None:
    """From now on messages name the options of this command."""
    _running.append(command)


def end() -> None:
    """Messages name the options of the command before again."""
    _running.pop()


def with_options(text: str, parameters: Sequence[Any] | None = None) -> str:
    """The text with the fields in backticks as options of the command at work (or of these parameters).

    A config key (`solver.batch=8`) is a value of --set; what the command has no option for stays as it is.
    """
    if parameters is None:
        parameters = _running[-1].params if _running else ()
    if "`" not in text or not parameters:
        return text
    shown = {str(parameter.name).rstrip("_"): _shown(parameter) for parameter in parameters}
    off: dict[str, str] = {
        parameter.name: parameter.secondary_opts[0] for parameter in parameters if parameter.secondary_opts
    }

    def replaced(match: re.Match[str]) -> str:
        name, value = match.groups()
        if "." in name:
            return match[0] if "set" not in shown else f"--set {name}" + ("" if value is None else f"={value}")
        if name in off and value == "false":
            return off[name]
        return match[0] if name not in shown else shown[name] + ("" if value is None else f" {value}")

    return _FIELD.sub(replaced, text)


def _shown(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper())
    return str(max(parameter.opts, key=len))
