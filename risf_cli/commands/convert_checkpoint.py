"""`risf convert-checkpoint`: weights from any form into any other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from risf_cli.options import Json, Quiet
from risf_core.choices import CheckpointForm
from risf_core.errors import ConfigError, listing


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

    form = to or {".pth": "defrcn", ".safetensors": "safetensors"}.get(out.suffix)
    if form is None:
        raise ConfigError(f"--out {out} does not show the form; pass --to defrcn, detectron2, msra, safetensors or run")

    from risf_core.detector.checkpoint import read_checkpoint
    from risf_core.detector.checkpoint_writing import RUN_WEIGHTS, write_checkpoint
    from risf_core.detector.runs import RUN_FILE
    from risf_core.outputs import check_not_read, check_writable

    targets = [out / RUN_WEIGHTS, out / RUN_FILE] if form == "run" else [out]
    for target in targets:
        check_writable(target)
    checkpoint = read_checkpoint(source, allow_pickle=allow_pickle)
    for target in targets:
        check_not_read(target, [checkpoint.source, checkpoint.source.parent / RUN_FILE])
    written = write_checkpoint(checkpoint, out, form=form)  # type: ignore[arg-type]  # one of the forms, checked above
    summary = {
        "source": {"path": str(checkpoint.source), "form": checkpoint.form},
        "out": {"path": str(out), "form": form},
        "architecture": checkpoint.architecture.name,
        "classes": checkpoint.class_count,
        "parameters": written.parameters,
        "implied": list(checkpoint.implied),
        "not_of_the_network": list(checkpoint.left_out),
        "without_a_place": list(written.left_out),
        "folded_norms": list(written.folded),
    }
    typer.echo(json.dumps(summary, indent=2, ensure_ascii=False) if json_ else str(out))
    if quiet:
        return
    say(f"{checkpoint.source} ({checkpoint.form}) -> {out} ({form}): {written.parameters} parameters")
    for names, what in (
        (checkpoint.implied, "not in the file, but meant by its form"),
        (checkpoint.left_out, "in the file, but no parameter of the network"),
        (written.left_out, f"without a place in the form {form}"),
        (written.folded, "norms worked into scale and shift, equal but for rounding"),
    ):
        if names:
            say(f"{what}: {len(names)}: {listing(names)}")
