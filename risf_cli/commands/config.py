"""`risf config`: which settings are in force, and where each comes from."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from risf_cli.options import Json


def config(
    file: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE",
            help="A config file, or the name of a published one: coco/base, coco/fsod, coco/gfsod, voc/base, ... "
            "(default: show the options' defaults in this folder)",
        ),
    ] = None,
    *,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Override a value, as for training; repeatable."),
    ] = None,
    shots: Annotated[
        int | None, typer.Option(metavar="K", min=1, help="Fill in the published schedule for K shots.")
    ] = None,
    json_: Json = False,
) -> None:
    """Show which settings are in force and where each comes from.

    With a config: its values, over those of the file it extends, over the defaults; all errors are shown at once.
    Without one: the options that risf.yaml or the published layout sets for each command in this folder.

    Examples:

      risf config configs/coco/fsod.yaml --shots 10

      risf config voc/base --set solver.batch=4

      risf config
    """
    from risf_cli.render import print_json, print_line, say
    from risf_core.files import SETTINGS_FILE

    note = None
    if file is None:
        rows = _rows_of_folder()
        if not os.path.isfile(SETTINGS_FILE):
            layout = ", and what is shown of the published layout" if rows else ""
            note = f"there is no {SETTINGS_FILE} here: the options' own defaults apply{layout}"
    else:
        from risf_core.config import find_config, read_config
        from risf_core.training.schedule import with_published_schedule

        options = {} if shots is None else {"data.shots": ("--shots", shots)}
        found, note = with_published_schedule(read_config(find_config(file), overrides=set_ or [], options=options))
        rows = [(key, value, found.origins[key]) for key, value in found.values.flat().items()]
    if json_:
        content = {key: {"value": value, "from": origin} for key, value, origin in rows}
        print_json(content)
    else:
        for line in _lines(rows):
            print_line(line)
    if note is not None:
        say(f"note: {note}")


Row = tuple[str, Any, str]  # key, value, where it comes from. Any: JSON


def _rows_of_folder() -> list[Row]:
    """Each command's options that have a value here."""
    from risf_cli.app import COMMANDS, load_command
    from risf_cli.defaults import defaults_of
    from risf_core.files import SETTINGS_FILE
    from risf_core.project import load_project

    settings = load_project().settings
    rows: list[Row] = []
    for command in COMMANDS:
        section = settings.get(command.replace("-", "_"))
        stated = {*settings, *(section if isinstance(section, dict) else ())}
        found = defaults_of(load_command(command), arguments=(), commands=list(COMMANDS))
        for name, value in found.items():
            written = {name.rstrip("_")} | ({"split"} if (command, name) == ("prepare-splits", "out") else set())
            origin = SETTINGS_FILE if written & stated else "layout"
            rows.append((f"{command} --{name.replace('_', '-')}", _as_number(value), origin))
    return rows


def _as_number(value: Any) -> Any:
    """The number that a word of the command line is, where it is written as YAML and JSON write it."""
    for kind in (int, float):
        with contextlib.suppress(TypeError, ValueError):
            number = kind(value)
            if isinstance(value, str) and str(number) == value and math.isfinite(number):
                return number
    return value


def _lines(rows: list[Row]) -> Iterator[str]:
    """YAML, a section or command at a time, with the origin of each value as a comment."""
    last = None
    pairs = [(*key.replace(" --", ".", 1).partition("."), value, origin) for key, value, origin in rows]
    texts = [f"  {key}: {json.dumps(value, ensure_ascii=False, default=str)}" for _, _, key, value, _ in pairs]
    width = min(max(map(len, texts), default=0), 60)
    for (section, _, _, _, origin), text in zip(pairs, texts, strict=True):
        if section != last:
            yield f"{section}:"
            last = section
        yield f"{text:{width}}  # {origin}"
