"""`risf report`: one HTML page on what became of a file of detections."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risf_cli.options import (
    Annotations,
    Boxes,
    Cache,
    CategoryIds,
    ClipConfig,
    ClipWeights,
    Device,
    ImageIds,
    Images,
    Json,
    Novel,
    OnUnmatched,
    OtherClip,
    PrecisionChoice,
    Quiet,
    cache_folder,
    required,
)
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.report import Comparison, EncoderPlace, Gallery
    from risf_core.report.record import Record


def report(
    before: Annotated[
        str | None, typer.Argument(metavar="BEFORE", help="COCO detections as they were; - is stdin.")
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
    ] = 1000,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the resamples.")] = 0,
    boxes: Boxes = "xywh",
    category_ids: CategoryIds = "dataset",
    image_ids: ImageIds = "dataset",
    on_unmatched: OnUnmatched = "error",
    clip: OtherClip = None,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    cache: Cache = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """One HTML page on what re-scoring did: figures with intervals, classes, curves, calibration, pictures.

    The page holds all it shows and loads nothing: send it, or open it offline. Under the pictures stand the encoder's
    best names for each crop; which encoder that was, AFTER's record (AFTER.record.json, written by risf rescore) says.
    They come from the embedding cache, or from the encoder where its weights still lie where the record says (else
    --clip-weights). Without the photos or the encoder the page lacks these parts and says so.

    AFTER need not come from risf rescore: any two files of detections of the same images can be compared.

    Examples:

      risf report detections.json rescored.json --annotations instances_val.json --images val2017

      risf report before.json after.json --annotations instances_val.json --novel coco20 --out page.html

      risf report before.json after.json --annotations instances_val.json --threshold 0.3 --bootstrap 0 --json
    """
    import numpy as np

    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.evaluation import read_detections_for, read_ground_truth
    from risf_core.files import STANDARD_STREAM, check_not_read, check_writable, display_name, open_output
    from risf_core.report import compare_files, gallery_of, page_of, read_record
    from risf_core.report.record import fitted_to
    from risf_core.vocabulary import novel_names

    print_warnings(quiet=quiet)
    if before is None or after is None:
        raise ConfigError("risf report needs two detections files: risf report before.json after.json")
    if before == after == STANDARD_STREAM:
        raise ConfigError("- (stdin) can be read once only; write the other detections to a file")
    if json_ and out == STANDARD_STREAM:
        raise ConfigError("--json prints figures to stdout, where the page goes too; pass --out FILE")
    if out != STANDARD_STREAM:
        check_not_read(out, [before, after, annotations])
        check_writable(Path(out))  # now, and not when the work is done
    annotations = required(annotations, "annotations", "report")
    record = read_record(after)
    truth = read_ground_truth(annotations)
    if novel is not None:
        truth = truth.with_vocabulary(truth.vocabulary.with_novel(novel_names(novel, truth.vocabulary)))
    first, second = (
        read_detections_for(
            file, truth, boxes=boxes, category_ids=category_ids, image_ids=image_ids, on_unmatched=on_unmatched
        )
        for file in (before, after)
    )
    with progress_of("bootstrap", "resamples", quiet=quiet) as progress:
        comparison = compare_files(
            first,
            second,
            truth,
            names=(display_name(before), display_name(after)),
            threshold=threshold,
            resamples=bootstrap,
            generator=np.random.default_rng(seed),
            progress=progress,
        )
    place = _encoder_place(record, clip, clip_weights, clip_config, device, precision, cache)
    gallery = gallery_of(comparison, images=images or [], most=pictures, record=record, place=place)
    notes = [] if record is None else _notes(record, before, after, annotations)
    own_settings = {
        "before": display_name(before), "after": display_name(after), "annotations": annotations,
        "images": ", ".join(map(str, images or [])) or "none", "novel": novel or "none", "threshold": f"{threshold:g}",
        "bootstrap": bootstrap, "seed": seed, "pictures of each kind": pictures,
    }  # fmt: skip
    page = page_of(
        comparison,
        gallery,
        annotations=str(annotations),
        record=record,
        own_settings=own_settings,
        notes=notes,
        flattered=record is not None and fitted_to(record, annotations) is True,
    )
    with open_output(out) as handle:
        handle.write(page)
    if out != STANDARD_STREAM:
        typer.echo(json.dumps(_content(comparison, gallery, out), indent=2, ensure_ascii=False) if json_ else out)
    if not quiet:
        for note in notes:
            say(f"warning: {note}")
        if gallery.named.why_not is not None and pictures:
            say(f"the encoder's names are missing: {gallery.named.why_not}")


def _encoder_place(
    record: Record | None,
    clip: str | None,
    weights: Path | None,
    config: Path | None,
    device: str,
    precision: str,
    cache: str | None,
) -> EncoderPlace:
    """Where the encoder is looked for: as the record says, or, where there is none, the one that the options name."""
    from risf_core.report import EncoderPlace

    stated = record.get("options") if record is not None else None
    recorded_cache = stated.get("cache") if isinstance(stated, dict) else None
    folder = cache_folder(cache if cache is not None else recorded_cache)
    source = None
    if record is None and (clip is not None or config is not None):
        from risf_core.encoder.weights import DEFAULT_CLIP, find_encoder

        source = find_encoder(clip or DEFAULT_CLIP, weights=weights, config=config)
    return EncoderPlace(folder, weights, source, device, precision)


def _notes(record: Record, before: str, after: str, annotations: Path) -> list[str]:
    """What the record says that a reader of the figures must not miss."""
    from risf_core.files import display_name
    from risf_core.report.record import FITTED_TO_THESE, fitted_to, names_other_input

    notes = []
    if names_other_input(record, before):
        notes.append(
            f"The record beside {display_name(after)} says that it was made from another file than "
            f"{display_name(before)}."
        )
    same = fitted_to(record, annotations)
    if same:
        notes.append(f"{FITTED_TO_THESE[0].upper()}{FITTED_TO_THESE[1:]}.")
    elif same is None:
        notes.append("The fusion was fitted to labelled images; figures on those images would flatter it.")
    return notes


def _content(comparison: Comparison, gallery: Gallery, out: str) -> dict[str, Any]:  # Any: JSON
    names = comparison.truth.vocabulary.names
    moved = {
        kind: {"count": own.count, "shown": [_row(row.to_json(names), gallery.named.of(row)) for row in own.rows]}
        for kind, own in gallery.moved.items()
    }
    return {
        "page": out,
        **comparison.to_json(),
        "moved": moved,
        "encoder_names": gallery.named.source,
        "encoder_names_missing": gallery.named.why_not,
        "images_without_picture": {str(image_id): why for image_id, why in gallery.absent.items()},
    }


def _row(row: dict[str, Any], names: Sequence[tuple[str, float]]) -> dict[str, Any]:
    return {**row, "encoder_names": [{"name": name, "probability": share} for name, share in names]}
