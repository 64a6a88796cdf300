"""`risf encoders`: which encoders can be used, and which are on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from risf_cli.options import Json
from risf_core.errors import ConfigError, did_you_mean


def encoders(
    name: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="Only encoders with this text in their name.")
    ] = None,
    *,
    local: Annotated[bool, typer.Option("--local", help="Only those whose weights are on this machine.")] = False,
    json_: Json = False,
) -> None:
    """List the encoders that --clip takes by name, and image-only ones for --support-encoder: input, needs, licence.

    Nothing is downloaded. Licences are shown where the model's card is on this machine. Other encoders: a repository
    or folder in open_clip's form (hf-hub:ORG/REPO, local-dir:FOLDER), or --clip-config with --clip-weights; for
    example boxes any model of timm (timm:NAME).

    Examples:

      risf encoders

      risf encoders SigLIP2

      risf encoders --local --json
    """
    from risf_cli.render import Column, print_json, print_table, say
    from risf_core.encoder.catalogue import (
        RECOMMENDED,
        RECOMMENDED_FOR_SHOTS,
        known_encoders,
        known_image_encoders,
    )

    every = [*known_encoders(), *known_image_encoders()]
    found = [each for each in every if (name or "").lower() in each.name.lower() and (each.weights or not local)]
    if name is not None and not found:
        known = sorted({each.name.partition(":")[0] for each in every})
        here = " on this machine" if local else ""
        raise ConfigError(f"no encoder{here} has {name!r} in its name{did_you_mean(name, known)}")
    if json_:
        print_json([each.to_json() for each in found])
        return
    columns = [Column("encoder", text=True), Column("pixels"), Column("tokens"), Column("width")]
    columns += [Column(head, text=True) for head in ("needs", "here", "licence")]
    rows = [
        [
            each.name,
            *("" if value is None else str(value) for value in (each.side, each.context, each.width)),
            *(", ".join(each.needs), "yes" if each.weights else "", each.licence or ""),
        ]
        for each in found
    ]
    of_clip = sum(each.option == "clip" for each in found)
    print_table(columns, [rows[:of_clip], rows[of_clip:]])
    for recommended, why in {**RECOMMENDED, **RECOMMENDED_FOR_SHOTS}.items():
        say(f"{recommended}: {why}")
