"""`risf report`: one HTML page on what became of a file of detections."""

from __future__ import annotations

from typing import Annotated

import typer

from risf_cli.options import (
    Annotations,
    Boxes,
    CategoryIds,
    Format,
    ImageIds,
    Images,
    Json,
    Novel,
    OnUnmatched,
    Quiet,
    Rename,
    check_stdout_free,
    conventions_of,
    print_written,
    required,
)
from risf_core.choices import DEFAULT_BOOTSTRAP
from risf_core.errors import ConfigError


def report(
    before: Annotated[
        str | None,
        typer.Argument(metavar="BEFORE", help="Detections as they were, in any form (docs/formats.md); - is stdin."),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="The same detections re-scored, or others of the same images.")
    ] = None,
    *,
    annotations: Annotations = None,
    images: Images = None,
    novel: Novel = None,
    out: Annotated[str, typer.Option(metavar="FILE", help="Where the page goes; - is stdout.")] = "report.html",
    pictures: Annotated[
        int, typer.Option(metavar="N", min=0, max=100, help="Pictures of each kind: rises, falls, removed, lost ...")
    ] = 8,
    threshold: Annotated[
        float, typer.Option(metavar="S", help="The score from which on a detection counts as kept.")
    ] = 0.5,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="95 % intervals from N resamples of the images; 0 leaves them out.")
    ] = DEFAULT_BOOTSTRAP,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the resamples.")] = 0,
    format: Format = None,
    boxes: Boxes = None,
    category_ids: CategoryIds = None,
    image_ids: ImageIds = None,
    rename: Rename = None,
    on_unmatched: OnUnmatched = "error",
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """One HTML page on what re-scoring did: figures with intervals, classes, curves, calibration, pictures.

    The page holds all it shows and loads nothing: send it, or open it offline. Each crop is shown with the encoder's
    best names where AFTER keeps them (clip_names, which risf rescore writes).

    AFTER need not come from risf rescore: any two files of detections of the same images can be compared.

    Examples:

      risf report detections.json rescored.json --annotations instances_val.json --images val2017

      risf report before.json after.json --annotations instances_val.json --novel coco20 --out page.html

      risf report before.json after.json --annotations instances_val.json --threshold 0.3 --bootstrap 0 --json
    """
    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.report import ReportSettings, write_report
    from risf_core.report.cards import NO_NAMES

    print_warnings(quiet=quiet)
    if before is None or after is None:
        raise ConfigError("risf report needs two detections files: risf report before.json after.json")
    check_stdout_free(out, json_=json_, what="figures")
    with progress_of("bootstrap", "resamples", quiet=quiet) as progress:
        written = write_report(
            before,
            after,
            out,
            annotations=required(annotations, "annotations", "report"),
            images=images or [],
            novel=novel,
            settings=ReportSettings(pictures, threshold, bootstrap, seed),
            conventions=conventions_of(format, boxes, category_ids, image_ids, rename),
            on_unmatched=on_unmatched,
            progress=progress,
        )
    print_written(out, written.to_json(), json_=json_)
    if not quiet:
        for note in written.notes:
            say(f"warning: {note}")
        if pictures and not written.gallery.has_names:
            say(NO_NAMES)
