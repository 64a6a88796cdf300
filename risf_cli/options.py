"""The options that several commands share, each written once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_core.errors import ConfigError

Annotations = Annotated[
    Path | None,
    typer.Option("--annotations", metavar="FILE", help="COCO JSON of the ground truth: images, categories, boxes."),
]
Novel = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="The novel classes: coco20, voc1, voc2, voc3, names with commas, or a file with one name a line.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout instead of tables.")]


def required(value: Path | None, option: str, command: str) -> Path:
    """The value of an option that has no default of its own. Raises ConfigError naming the option and its key."""
    if value is None:
        raise ConfigError(
            f"risf {command} needs --{option}; pass it, or write `{option}: ...` into risf.yaml of the working folder"
        )
    return value
