"""The site's reference of the commands, written from the commands themselves while mkdocs builds."""

from __future__ import annotations

import html
import re
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from risf_cli.app import COMMANDS, load_command


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The navigation with one page per command."""
    (reference,) = (section["Reference"] for section in config.nav or () if "Reference" in section)
    reference.insert(0, {"Commands": [{name: _path(name)} for name in COMMANDS]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """The pages of the site with those of the commands."""
    for name in COMMANDS:
        files.append(File.generated(config, _path(name), content=command_page(name)))
    return files


def command_page(name: str) -> str:
    """The Markdown page of one command."""
    command = load_command(name)
    arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    usage = " ".join(["risf", name, "[OPTIONS]", *(_metavar(argument) for argument in arguments)])
    prose, _, examples = (command.help or "").partition("Examples:")
    parts = [f"# risf {name}", f"```text\n{usage}\n```", _prose(prose)]
    if examples.strip():
        parts += ["## Examples", f"```text\n{_examples(examples)}\n```"]
    if arguments:
        parts += ["## Arguments", _table(arguments)]
    panels: dict[str, list[Any]] = {}  # Any: typer's parameters
    for parameter in command.params:
        if parameter.param_type_name == "option" and not parameter.hidden:
            panels.setdefault(getattr(parameter, "rich_help_panel", None) or "Options", []).append(parameter)
    for panel in sorted(panels, key="Options".__eq__):
        parts += [f"## {panel}", _table(panels[panel])]
    return "\n\n".join(parts) + "\n"


def _path(name: str) -> str:
    return f"reference/commands/{name}.md"


def _prose(text: str) -> str:
    paragraphs = re.split(r"\n\s*\n", text.replace("\b", "").strip())
    return "\n\n".join(_escape(" ".join(paragraph.split())) for paragraph in paragraphs)


def _examples(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\b", "").splitlines() if line.strip())


def _table(parameters: list[Any]) -> str:
    rows = [f"| {_names(parameter)} | {_help(parameter)} |" for parameter in parameters]
    return "\n".join(["| name | meaning |", "|---|---|", *rows])


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{_metavar(parameter)}`"
    names = " ".join(f"`{word}`" for word in (*parameter.opts, *parameter.secondary_opts))
    takes_value = not parameter.is_flag and not getattr(parameter, "count", False)
    return f"{names} `{_metavar(parameter)}`" if takes_value else names


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _help(parameter: Any) -> str:
    text = _escape(" ".join((parameter.help or "").split()))
    default = parameter.default
    if isinstance(parameter.show_default, str):
        return f"{text} (default: {_escape(parameter.show_default)})"
    if parameter.show_default and not parameter.required and default not in (None, False, "", [], ()):
        return f"{text} (default: `{default}`)"
    return f"{text} (required)" if parameter.required else text


def _escape(text: str) -> str:
    """The text with nothing that Markdown would read, except in code."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(
        part if part.startswith("`") else re.sub(r"([*\[_|])", r"\\\1", html.escape(part, quote=False))
        for part in parts
    )
