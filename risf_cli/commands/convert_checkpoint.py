"""`risf convert-checkpoint`: weights from any form into any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from risf_cli.options import Json, Quiet
from risf_core.choices import CheckpointForm
from risf_core.errors import ConfigError


def convert_checkpoint(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="DeFRCN's .pth, MSRA's ImageNet .pkl, detectron2's COCO C4 models, safetensors, or a run folder.",
        ),
    ],
    *,
    to: Annotated[
        CheckpointForm | None,
        typer.Option(
            metavar="FORM",
            help="defrcn (.pth), detectron2 (.pkl), msra (.pkl: backbone and res5 alone), safetensors, or run (a "
            "folder). (default: by the suffix .pth or .safetensors of --out)",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE|RUN", help="The file, or for --to run the folder, to write.")],
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Let a checkpoint run code when it is opened. Only if you trust it.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn a checkpoint into another form, every number as it is; what has no place there is listed.

    Examples:

      risf convert-checkpoint model_final.pth --out model_final.safetensors

      risf convert-checkpoint R-101.pkl --to defrcn --out R-101.pth
    """
    from risf_cli.render import say

    suffixes: dict[str, CheckpointForm] = {".pth": "defrcn", ".safetensors": "safetensors"}
    form = to or suffixes.get(out.suffix)
    if form is None:
        raise ConfigError(f"--out {out} does not show the form; pass --to defrcn, detectron2, msra, safetensors or run")

    from risf_core.detector.conversion import convert_weights

    conversion = convert_weights(source, out, form=form, allow_pickle=allow_pickle)
    typer.echo(json.dumps(conversion.to_json(), indent=2, ensure_ascii=False) if json_ else out)
    for line in () if quiet else conversion.lines():
        say(line)
