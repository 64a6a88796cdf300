"""`risf predict`: a detector's weights and photos in, COCO detections out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import check_stdout_free, photo_folders, print_written
from risf_cli.options import (
    AllowOutside,
    Classes,
    Device,
    FirstId,
    Images,
    Json,
    Novel,
    OnUnreadable,
    Quiet,
)
from risf_core.choices import Engine, GroupChoice, PrecisionChoice
from risf_core.errors import ConfigError, counted

if TYPE_CHECKING:
    from risf_core.detector.run import PredictionSummary


def predict(
    *,
    weights: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN|FILE",
            help="Run folder or checkpoint: DeFRCN's .pth, detectron2's COCO C4 models, or safetensors.",
        ),
    ] = None,
    images: Images = None,
    allow_outside: AllowOutside = False,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO JSON, VOC folder or data.yaml that lists images and classes; its boxes are not read. none: all "
            "photos of --images.",
        ),
    ] = None,
    classes: Classes = None,
    first_id: FirstId = None,
    novel: Novel = None,
    group: Annotated[
        GroupChoice,
        typer.Option(metavar="GROUP", help="Classes of a bare checkpoint: auto (by their number), all, base or novel."),
    ] = "auto",
    out: Annotated[str, typer.Option(metavar="FILE", help="Output file; - is stdout.")] = "detections.json",
    min_score: Annotated[
        float, typer.Option(metavar="S", min=0, max=1, help="Write detections above this score.")
    ] = 0.05,
    max_dets: Annotated[int, typer.Option(metavar="N", min=1, help="Keep at most N detections per image.")] = 100,
    short_side: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS",
            min=16,
            help="Resize photos to this short side (long side at most 5/3 of it). (default: as the weights state)",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(metavar="N", min=1, help="Images per forward pass (same size only).")] = 1,
    workers: Annotated[int, typer.Option(metavar="N", min=0, help="Threads that decode and resize.")] = 2,
    engine: Annotated[
        Engine,
        typer.Option(metavar="NAME", help="torchvision, or detectron2 if installed; both give the same boxes."),
    ] = "torchvision",
    device: Device = "auto",
    precision: Annotated[
        PrecisionChoice,
        typer.Option(
            metavar="NAME",
            help="fp32 (tested to match upstream), auto (the hardware's best), bf16 or fp16; half precision changes "
            "boxes and scores slightly.",
        ),
    ] = "fp32",
    on_unreadable: OnUnreadable = "error",
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle", help="Allow a checkpoint to run code when it is opened; only for files you trust."
        ),
    ] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Detect objects in photos with a DeFRCN detector; `risf rescore` and `risf evaluate` read the result.

    Boxes are in pixels of each photo, category ids are the dataset's. Without --annotations a photo's image_id is its
    file name without suffix (as a number, if it is one). On several GPUs photos are shared among the processes and the
    results merged: torchrun --nproc-per-node 4 -m risf_cli predict ...

    Examples:

      risf predict --weights runs/fsod --annotations instances_val.json --images val2017

      risf predict --weights model_final.pth --classes names.txt --images photos --annotations none --out -
    """
    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.detector.prediction_inputs import PhotoChoice
    from risf_core.detector.run import DetectorChoice, predict_to_file
    from risf_core.processes import started_processes

    processes = started_processes()
    quiet = quiet or not processes.is_first
    print_warnings(quiet=quiet)
    check_stdout_free(out, json_=json_, what="summary")
    if weights is None:
        raise ConfigError(
            "risf predict needs --weights RUN|FILE; pass it, or write `predict: {weights: ...}` into risf.yaml "
            "(the runs of `risf finetune` and `risf base-train` in runs/ are found by themselves)"
        )
    listed = None if str(annotations) in ("none", "None") else annotations
    with progress_of("predicting", "photos", quiet=quiet) as progress:
        summary = predict_to_file(
            out,
            DetectorChoice(
                weights, group, min_score, max_dets, short_side, batch_size, workers, engine, device, precision,
                allow_pickle,
            ),
            PhotoChoice(photo_folders(images, allow_outside), listed, classes, first_id, novel, on_unreadable),
            processes=processes,
            talk=None if quiet else say,
            progress=progress,
        )  # fmt: skip
    if summary is None:  # another process speaks
        return
    print_written(out, summary.to_json(), json_=json_)
    for line in () if quiet else _after(summary):
        say(line)


def _after(summary: PredictionSummary) -> Iterator[str]:
    rate = summary.photos / summary.seconds
    found = f"{counted(summary.detections, 'detection')} in {counted(summary.photos, 'photo')}"
    yield f"{found}, {summary.seconds:.1f} s ({rate:.2f} photos/s)"
    if summary.without_photo:
        yield f"{counted(len(summary.without_photo), 'image')} of the annotations left out: no photo"
    if summary.unreadable:
        yield f"{counted(len(summary.unreadable), 'photo')} could not be read and were left out:"
        yield from list(summary.unreadable.values())[:5]
