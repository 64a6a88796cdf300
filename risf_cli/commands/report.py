"""`risf report`: one HTML page that compares two detections files."""

from __future__ import annotations

from typing import Annotated

import typer

from risf_cli.option_values import check_stdout_free, conventions_of, photo_folders, print_written, required
from risf_cli.options import (
    AllowOutside,
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
)
from risf_core.choices import DEFAULT_BOOTSTRAP
from risf_core.errors import ConfigError


def report(
    before: Annotated[
        str | None,
        typer.Argument(
            metavar="BEFORE", help="Detections before re-scoring, in any format (docs/formats.md); - is stdin."
        ),
    ] = None,
    after: Annotated[
        str | None, typer.Argument(metavar="AFTER", help="The same detections re-scored, or others of the same images.")
    ] = None,
    *,
    annotations: Annotations = None,
    images: Images = None,
    allow_outside: AllowOutside = False,
    novel: Novel = None,
    out: Annotated[str, typer.Option(metavar="FILE", help="Output file; - is stdout.")] = "report.html",
    pictures: Annotated[
        int, typer.Option(metavar="N", min=0, max=100, help="Pictures of each kind: raised, lowered, removed, lost ...")
    ] = 8,
    threshold: Annotated[float, typer.Option(metavar="S", help="Detections from this score on count as kept.")] = 0.5,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="95 % intervals from N resamples of the images; 0: none.")
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
    """Write an HTML page on what re-scoring did: metrics with intervals, classes, curves, calibration, pictures.

    The page is a single file that works offline. Each crop is shown with the encoder's top names if AFTER has them
    (clip_names, written by risf rescore). AFTER need not come from risf rescore: any two detections files of the same
    images can be compared.

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
            images=photo_folders(images, allow_outside),
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
