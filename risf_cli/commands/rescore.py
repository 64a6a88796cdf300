"""`risf rescore`: CM-CLIP over a file of saved detections."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from risf_cli.encoder_run import fusion_file, make_support, read_support, settings_of
from risf_cli.options import (
    Alias,
    Alpha,
    Background,
    BatchSize,
    Boxes,
    Cache,
    CategoryIds,
    Classes,
    Clip,
    ClipConfig,
    ClipWeights,
    Compat,
    Crop,
    Device,
    EvidenceChoice,
    FirstId,
    Fusion,
    ImageIds,
    Images,
    Json,
    MaxScore,
    MinScore,
    Novel,
    PrecisionChoice,
    Quiet,
    RescoreClasses,
    SoftmaxOver,
    Support,
    SupportSeed,
    SupportShots,
    Temperature,
    Template,
    Workers,
    cache_folder,
    typed_options,
)
from risf_cli.rescore_output import lines_after, lines_before
from risf_core.choices import (
    DEFAULT_ALPHA,
    DEFAULT_BACKGROUND,
    DEFAULT_CLIP,
    DEFAULT_MAX_SCORE,
    DEFAULT_MIN_SCORE,
    DEFAULT_TEMPERATURE,
)
from risf_core.errors import ConfigError

_STDOUT_BY_NAME = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


def rescore(
    context: typer.Context,
    detections: Annotated[
        str,
        typer.Argument(
            metavar="DETECTIONS", help="COCO detections: a results list, or a dataset dict with scores; - is stdin."
        ),
    ],
    *,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO JSON, or Pascal VOC folder, that names images and classes; boxes in it are never read.",
        ),
    ] = None,
    classes: Classes = None,
    first_id: FirstId = None,
    images: Images = None,
    support: Support = None,
    shots: SupportShots = None,
    support_seed: SupportSeed = 0,
    novel: Novel = None,
    boxes: Boxes = None,
    category_ids: CategoryIds = None,
    image_ids: ImageIds = None,
    on_unmatched: Annotated[
        Literal["error", "skip"],
        typer.Option(
            metavar="WAY", help="Rows of unknown images, categories or photos: error, or skip (left as they are)."
        ),
    ] = "error",
    out: Annotated[
        str, typer.Option(metavar="FILE", help="Where the result goes, with a record beside it; - is stdout.")
    ] = "-",
    plain: Annotated[
        bool, typer.Option("--plain", help="Leave out score_detector, score_clip and clip_names of re-scored rows.")
    ] = False,
    clip: Clip = DEFAULT_CLIP,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    crop: Crop = "squash",
    compat: Compat = None,
    alpha: Alpha = DEFAULT_ALPHA,
    fusion: Fusion = "linear",
    evidence: EvidenceChoice = None,
    temperature: Temperature = DEFAULT_TEMPERATURE,
    template: Template = None,
    background: Background = DEFAULT_BACKGROUND,
    alias: Alias = None,
    rescore_classes: RescoreClasses = "all",
    softmax_over: SoftmaxOver = "rescored",
    min_score: MinScore = DEFAULT_MIN_SCORE,
    max_score: MaxScore = DEFAULT_MAX_SCORE,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    cache: Cache = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Re-score saved detections with CLIP (CM-CLIP of RISF): better scores, the same boxes and classes.

    s' = alpha * s + (1 - alpha) * q, where q is the probability that CLIP gives the row's class for the box's crop.
    Whether that helps your detector is for `risf evaluate before.json after.json` to say; `risf tune` fits the formula
    to labelled images, and --fusion applies what it wrote.

    Examples:

      risf rescore detections.json --annotations instances_val.json --images val2017 --out rescored.json

      risf rescore detections.json --classes names.txt --images photos --clip-weights ViT-L-14-336px.pt --out -

      risf rescore detections.json --annotations val.json --images val2017 --fusion fusion.json

      risf rescore detections.json --support risfsplit/own --shots 5 --evidence support

      risf rescore detections.json --annotations val.json --images val2017 | risf evaluate - --annotations val.json
    """
    start = time.perf_counter()
    options = {
        name: value for name, value in locals().items() if name not in ("start", "context")
    }  # every option as it is in force, for the record
    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.choices import FUSION_RULES
    from risf_core.encoder.choice import EncoderChoice, with_cache
    from risf_core.files import STANDARD_STREAM, check_not_read, check_writable, display_name, is_stream, write_json
    from risf_core.formats.coco import write_detections
    from risf_core.processes import gather_to_first, started_processes
    from risf_core.rescore.fusion_file import check_fusion, conditions_of, read_fusion
    from risf_core.rescore.inputs import read_inputs, refuse_rescored
    from risf_core.rescore.pipeline import rescore as rescored
    from risf_core.rescore.record import make_record
    from risf_core.rescore.settings import prompts_of
    from risf_core.rescore.shards import merge_shares, rows_of_share

    print_warnings(quiet=quiet)
    out = STANDARD_STREAM if out in _STDOUT_BY_NAME else out
    if json_ and out == STANDARD_STREAM:
        raise ConfigError("--json prints the record to stdout, where the detections go too; pass --out FILE")
    processes = started_processes()
    if processes.count > 1 and detections == STANDARD_STREAM:
        raise ConfigError("several processes cannot read stdin; write the detections to a file and name it")
    quiet = quiet or not processes.is_first
    if not is_stream(out):
        check_not_read(out, [detections, annotations, classes, fusion, support, clip_config, clip_weights])
        check_writable(Path(out))  # now, and not when the work is done
    settings = settings_of(options, keep_parts=not plain)
    file = fusion_file(fusion, FUSION_RULES)
    if file is not None and "alpha" in typed_options(context):
        raise ConfigError(
            f"--alpha is of the paper's formula, and {file} has weights of its own; leave one of them out"
        )
    saved = read_fusion(file) if file is not None else None
    inputs = read_inputs(
        detections,
        annotations=annotations,
        classes=classes,
        first_id=first_id,
        images=images or [],
        novel=novel,
        boxes=boxes or "xywh",
        category_ids=category_ids or "dataset",
        image_ids=image_ids or "dataset",
        on_unmatched=on_unmatched,
    )
    prompts_of(inputs.vocabulary, settings)
    refuse_rescored(inputs, name=display_name(detections))

    shots_of = read_support(options, inputs.vocabulary)

    # torch and open_clip take seconds to import: faults of the input above are told without them
    encoder = EncoderChoice(
        clip, clip_weights, clip_config, crop, compat, device, precision, batch_size, workers
    ).open()
    remembering = with_cache(encoder, cache_folder(cache), span_machines=processes.span_machines)
    if not quiet:
        for line in lines_before(inputs, encoder, settings):
            say(line)
    with progress_of("shots", "crops", quiet=quiet) as progress:
        prototypes = make_support(shots_of, options, remembering or encoder, progress)
    known_before = remembering.hits if remembering is not None else 0  # among the shots
    if saved is not None:
        check_fusion(
            saved,
            conditions_of(
                encoder_key=encoder.key, vocabulary=inputs.vocabulary, settings=settings, prototypes=prototypes
            ),
        )
    share = rows_of_share(inputs.file.detections, processes)
    with progress_of("re-scoring", "crops", quiet=quiet) as progress:
        part = rescored(
            inputs.file.detections[share],
            vocabulary=inputs.vocabulary,
            encoder=remembering or encoder,
            photos=inputs.photos,
            settings=settings,
            prototypes=prototypes,
            fitted=saved.fusion if saved is not None else None,
            progress=progress,
        )
    hits = remembering.hits - known_before if remembering is not None else 0
    shares = gather_to_first((share, part, hits), processes)
    if shares is None:
        return  # the first process writes for all
    result = merge_shares(inputs.file.detections, [(rows, done) for rows, done, _ in shares])
    seconds = time.perf_counter() - start
    record = make_record(
        result,
        settings=settings,
        options=options,
        vocabulary=inputs.vocabulary,
        encoder=encoder,
        inputs={
            "detections": Path(detections),
            "annotations": annotations,
            "classes": classes,
            "clip_config": clip_config,
            "fusion": file,
            "support": support if support is not None and support.is_file() else None,
        },
        prototypes=prototypes,
        fitted=saved.fusion if saved is not None else None,
        matching=inputs.matching(),
        cache_hits=sum(hits for _, _, hits in shares),
        processes=processes.count,
        seconds=seconds,
    )
    write_detections(out, inputs.file.with_detections(result.detections))
    if not is_stream(out):
        write_json(Path(f"{out}.record.json"), record)
    if out != STANDARD_STREAM:
        typer.echo(json.dumps(record, indent=2, ensure_ascii=False) if json_ else out)
    if not quiet:
        for line in lines_after(result, record):
            say(line)
