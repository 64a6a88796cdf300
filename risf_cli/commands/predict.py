"""`risf predict`: a detector's weights and photos in, COCO detections out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.options import Classes, Device, FirstId, Images, Json, Novel, Quiet
from risf_core.choices import Engine, GroupChoice, PrecisionChoice
from risf_core.errors import ConfigError, listing

if TYPE_CHECKING:
    from risf_core.detector.prediction import Prediction


def predict(
    *,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            help="A run folder, or a checkpoint: DeFRCN's .pth, detectron2's COCO C4 models, safetensors.",
        ),
    ] = None,
    images: Images = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO JSON, or Pascal VOC folder, that lists the images and names the classes; boxes in it are never "
            "read. none: every photo of --images.",
        ),
    ] = None,
    classes: Classes = None,
    first_id: FirstId = None,
    novel: Novel = None,
    group: Annotated[
        GroupChoice,
        typer.Option(
            metavar="GROUP", help="Which of the classes a bare checkpoint has: auto (as fits), all, base, novel."
        ),
    ] = "auto",
    out: Annotated[str, typer.Option(metavar="FILE", help="Where the detections go; - is stdout.")] = "detections.json",
    min_score: Annotated[
        float, typer.Option(metavar="S", min=0, max=1, help="Detections above this score are written.")
    ] = 0.05,
    max_dets: Annotated[int, typer.Option(metavar="N", min=1, help="The best so many of each image.")] = 100,
    short_side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=16,
            help="Photos are resized to this short side, the long one at most 5/3 of it. (default: as the weights say)",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(metavar="N", min=1, help="At most so many photos of one size in a forward pass.")
    ] = 1,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Threads that decode and resize.")] = 2,
    engine: Annotated[
        Engine,
        typer.Option(metavar="NAME", help="torchvision, or detectron2 where that is installed: the same boxes."),
    ] = "torchvision",
    device: Device = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            metavar="NAME",
            help="auto (fp32: the boxes of upstream's test), fp32, bf16 or fp16 (faster where the hardware has it; "
            "boxes and scores change a little).",
        ),
    ] = "auto",
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Count photos that are missing or cannot be read, and go on.")
    ] = False,
    allow_pickle: Annotated[
        bool, typer.Option("--allow-pickle", help="Let a checkpoint run code when it is opened. Only if you trust it.")
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find objects in photos with a DeFRCN detector; the result is ready for `risf rescore` and `risf evaluate`.

    Boxes are in each photo's own pixels, category ids are the dataset's. Without --annotations a photo's image_id is
    its file name without suffix (a number where it is one). Under torchrun the photos are shared out and the result
    merged: torchrun --nproc-per-node 4 -m risf_cli predict ...

    Examples:

      risf predict --weights runs/fsod --annotations instances_val.json --images val2017

      risf predict --weights model_final.pth --classes names.txt --images photos --annotations none --out -
    """
    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.detector.prediction_inputs import read_prediction_inputs
    from risf_core.detector.runs import RUN_FILE, WEIGHT_NAMES
    from risf_core.devices import choose_device
    from risf_core.files import STANDARD_STREAM, check_not_read, check_writable, is_stream
    from risf_core.formats.coco import DetectionsFile, write_detections
    from risf_core.processes import started_processes

    processes = started_processes()
    quiet = quiet or not processes.is_first
    print_warnings(quiet=quiet)
    if json_ and out == STANDARD_STREAM:
        raise ConfigError("--json prints a summary to stdout, where the detections go too; pass --out FILE")
    if weights is None:
        raise ConfigError(
            "risf predict needs --weights RUN|FILE; pass it, or write `predict: {weights: ...}` into risf.yaml "
            "(the runs of `risf finetune` and `risf base-train` in runs/ are found by themselves)"
        )
    if not is_stream(out):
        of_run = (weights / name for name in (RUN_FILE, *WEIGHT_NAMES))
        novel_file = novel if novel is not None and os.path.isfile(novel) else None  # else names or a published set
        check_not_read(out, [annotations, classes, novel_file, weights, *of_run])
        check_writable(Path(out))  # now, and not when the work is done
    given = read_prediction_inputs(
        annotations=None if str(annotations) in ("none", "None") else annotations,
        images=images or [],
        classes=classes,
        first_id=first_id,
        novel=novel,
        skip_unreadable=skip_unreadable,
    )
    # torch takes seconds to import: faults of the input above are told without it
    from risf_core.detector.checkpoint import read_checkpoint
    from risf_core.detector.classes import output_vocabulary
    from risf_core.detector.prediction import PredictionSettings, with_short_side
    from risf_core.detector.prediction import predict as predicted
    from risf_core.detector.roi_heads import TestSettings
    from risf_core.detector.weights import detector_of
    from risf_core.engines import on_engine, require_engine

    require_engine(engine)
    settings = PredictionSettings(
        device=choose_device(device),
        precision="fp32" if precision == "auto" else precision,  # half precision moves boxes by pixels: never unasked
        batch_size=batch_size,
        workers=workers,
        skip_unreadable=skip_unreadable,
    )
    checkpoint = read_checkpoint(weights, allow_pickle=allow_pickle)
    model, report = detector_of(checkpoint, test=TestSettings(score_threshold=min_score, most=max_dets))
    vocabulary = output_vocabulary(
        class_count=model.class_count,
        weights=checkpoint.source,
        own=checkpoint.vocabulary,
        given=given.vocabulary,
        group=group,
    )
    if not quiet:
        for line in (f"{checkpoint.source}: {checkpoint.architecture.name}, form {checkpoint.form}", *report.lines()):
            say(line)
        say(f"{len(vocabulary)} classes: {listing(vocabulary.names)}; {len(given.photos)} photos")
        say(f"{settings.precision} on {settings.device}, {processes.count} process(es)")
    start = time.perf_counter()
    with progress_of("predicting", "photos", quiet=quiet) as progress:
        result = predicted(
            on_engine(model, engine),
            given.photos,
            vocabulary=vocabulary,
            settings=settings,
            inputs=with_short_side(checkpoint.architecture.inputs, short_side),
            processes=processes,
            progress=progress,
        )
    if result is None:  # another process speaks
        return
    seconds = time.perf_counter() - start
    write_detections(out, DetectionsFile(result.detections, vocabulary))
    missing = len(given.without_photo)
    summary = {
        "detections": len(result.detections),
        "photos": len(given.photos) - len(result.unreadable),
        "unreadable": {str(image_id): why for image_id, why in result.unreadable.items()},
        "without_photo": list(given.without_photo),
        "seconds": round(seconds, 3),
        "out": out,
    }
    if out != STANDARD_STREAM:
        typer.echo(json.dumps(summary, indent=2, ensure_ascii=False) if json_ else out)
    if not quiet:
        for line in _after(result, photos=len(given.photos), missing=missing, seconds=seconds):
            say(line)


def _after(result: Prediction, *, photos: int, missing: int, seconds: float) -> Iterator[str]:
    read = photos - len(result.unreadable)
    yield f"{len(result.detections)} detections in {read} photos, {seconds:.1f} s ({read / seconds:.2f} photos/s)"
    if missing:
        yield f"{missing} images of the annotations have no photo and were left out"
    if result.unreadable:
        yield f"{len(result.unreadable)} photos could not be read and were left out:"
        yield from list(result.unreadable.values())[:5]
