"""`risf convert`: detections from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.option_values import conventions_of, print_written
from risf_cli.options import (
    Boxes,
    CategoryIds,
    Classes,
    Format,
    ImageIds,
    Json,
    OnUnmatched,
    Quiet,
    Rename,
)
from risf_core.errors import ConfigError, counted


def convert(
    detections: Annotated[
        str | None, typer.Argument(metavar="IN", help="Detections in any format (docs/formats.md); - is stdin.")
    ] = None,
    out: Annotated[
        str | None, typer.Argument(metavar="OUT", help="A file (replaced if it exists), a new folder, or - for stdout.")
    ] = None,
    *,
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="Format to write: coco, ultralytics-txt, voc-txt, ...")
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO JSON, Pascal VOC folder or data.yaml that names images and classes. (default: those in IN)",
        ),
    ] = None,
    classes: Classes = None,
    format: Format = None,
    boxes: Boxes = None,
    category_ids: CategoryIds = None,
    image_ids: ImageIds = None,
    rename: Rename = None,
    on_unmatched: OnUnmatched = "error",
    check: Annotated[bool, typer.Option("--check", help="Read OUT again and report what differs.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Convert detections from one tool's format to another's, and report what is lost.

    docs/formats.md lists the formats, which tools write them and what each keeps.

    Examples:

      risf convert runs/val/predictions.json detections.json --to coco --annotations data/val.json

      risf convert detections.json labels --to ultralytics-txt --annotations instances_val.json --check

      risf convert runs/predict/labels - --to coco --annotations val.json | risf evaluate - --annotations val.json
    """
    from risf_cli.render import print_warnings, say
    from risf_core.files import STANDARD_STREAM
    from risf_core.formats.convert import convert_file

    print_warnings(quiet=quiet)
    if detections is None or out is None or to is None:
        raise ConfigError("risf convert needs IN, OUT and --to: risf convert predictions.json out.json --to coco")
    if json_ and out == STANDARD_STREAM:
        raise ConfigError("--json prints counts to stdout, where the detections go too; name a file")
    done = convert_file(
        detections,
        out,
        to=to,
        annotations=annotations,
        classes=classes,
        conventions=conventions_of(format, boxes, category_ids, image_ids, rename),
        on_unmatched=on_unmatched,
        check=check,
    )
    if out != STANDARD_STREAM:
        print_written(out, done.to_json(), json_=json_)
    if not quiet:
        say(
            f"wrote {counted(len(done.read.detections), 'detection')} as {done.form.title}; it loses: {done.form.loses}"
        )
        if done.round_trip is not None:
            say(f"read back: {done.round_trip.describe()}")
