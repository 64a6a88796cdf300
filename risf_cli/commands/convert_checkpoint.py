"""`risf convert-checkpoint`: a detector's weights from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.option_values import print_written
from risf_cli.options import Json, Quiet
from risf_core.choices import CHECKPOINT_FORMS, CheckpointForm
from risf_core.errors import ConfigError


def convert_checkpoint(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="RUN|FILE",
            help="DeFRCN's .pth, MSRA's ImageNet .pkl, detectron2's COCO C4 models, timm's weights, safetensors, or a "
            "run folder.",
        ),
    ],
    *,
    to: Annotated[
        CheckpointForm | None,
        typer.Option(
            metavar="FORM",
            help="defrcn (.pth), detectron2 (.pkl), msra (.pkl: only backbone and res5), timm (.safetensors: "
            "likewise, of a network of timm), safetensors, or run (a folder). (default: by the suffix of --out, .pth "
            "or .safetensors)",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FILE|RUN", help="File to write, or folder for --to run.")],
    architecture: Annotated[
        str | None, typer.Option(metavar="timm/NAME", help="Network of a file that has timm's own names.")
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle", help="Allow a checkpoint to run code when it is opened; only for files you trust."
        ),
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert a checkpoint to another format with every number unchanged; what the format cannot hold is listed.

    Examples:

      risf convert-checkpoint model_final.pth --out model_final.safetensors

      risf convert-checkpoint R-101.pkl --to defrcn --out R-101.pth
    """
    from risf_cli.render import say

    suffixes: dict[str, CheckpointForm] = {".pth": "defrcn", ".safetensors": "safetensors"}
    form = to or suffixes.get(out.suffix)
    if form is None:
        words = " or ".join((", ".join(CHECKPOINT_FORMS[:-1]), CHECKPOINT_FORMS[-1]))
        raise ConfigError(f"--out {out} does not show the form; pass --to {words}")

    from risf_core.detector.conversion import convert_weights

    conversion = convert_weights(source, out, form=form, allow_pickle=allow_pickle, architecture=architecture)
    print_written(out, conversion.to_json(), json_=json_)
    for line in () if quiet else conversion.lines():
        say(line)
