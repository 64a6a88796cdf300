"""`risf tune`: a fusion fitted to labelled images, and whether re-scoring helps at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from risf_cli.encoder_run import make_support, read_support, settings_of
from risf_cli.options import (
    Alias,
    Background,
    BatchSize,
    Boxes,
    Cache,
    CategoryIds,
    Clip,
    ClipConfig,
    ClipWeights,
    Compat,
    Crop,
    Device,
    EvidenceChoice,
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
    required,
)
from risf_core.choices import (
    DEFAULT_BACKGROUND,
    DEFAULT_CLIP,
    DEFAULT_MAX_SCORE,
    DEFAULT_MIN_SCORE,
    DEFAULT_TEMPERATURE,
)
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.tuning import Tuned
    from risf_core.tuning.fitting import Admission


def tune(
    detections: Annotated[
        str,
        typer.Argument(
            metavar="DETECTIONS", help="COCO detections; those of images without labels are passed over. - is stdin."
        ),
    ],
    *,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="FILE|SPLIT",
            help="The labels: a COCO JSON, a folder in Pascal VOC's form, or a few-shot split (see --sparse).",
        ),
    ] = None,
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--exhaustive",
            help="Whether only some objects of the images are labelled: then only detections on labelled boxes are "
            "judged, and the fit is pulled harder to the detector's order. (default: sparse where the labels are a "
            "split)",
        ),
    ] = None,
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
        typer.Option(metavar="WAY", help="Rows of unknown categories, or without a photo: error, or skip them."),
    ] = "error",
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where the fusion goes.")] = Path("fusion.json"),
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Deals the images to folds, and draws the resamples.")
    ] = 0,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="Resamples of the images for the intervals; 0: none.")
    ] = 1000,
    clip: Clip = DEFAULT_CLIP,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    crop: Crop = "squash",
    compat: Compat = None,
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
    """Fit re-scoring to labelled images, so that it helps where it can and else leaves the detector in peace.

    A logistic regression of "is this detection right" on the detector's score and the encoder's evidence, pulled
    towards the detector's own order: little data means little change. The table comes from cross-validation over the
    images, never from those that were fitted to. `risf rescore --fusion FILE` applies what is written.

    Examples:

      risf tune detections.json --annotations labelled.json --images photos

      risf tune detections.json --annotations labelled.json --images photos --support risfsplit/own --shots 5

      risf rescore detections.json --annotations all.json --images photos --fusion fusion.json --out rescored.json
    """
    options = dict(locals())  # every option as it is in force
    from risf_cli.render import phases_of, print_warnings, say
    from risf_core.datasets import DatasetIndex
    from risf_core.encoder.choice import EncoderChoice, with_cache
    from risf_core.files import STANDARD_STREAM, check_not_read, check_writable, display_name, write_json
    from risf_core.rescore.inputs import read_inputs, refuse_rescored
    from risf_core.rescore.settings import prompts_of
    from risf_core.tuning import fusion_content, read_labels, tune

    print_warnings(quiet=quiet)
    if str(out) == STANDARD_STREAM:
        raise ConfigError("--out - is not a file, and risf rescore --fusion reads one; name a file")
    check_not_read(out, [detections, annotations, support, clip_config, clip_weights])
    check_writable(out)  # now, and not when the work is done
    settings = settings_of(options, keep_parts=False)
    annotations = required(annotations, "annotations", "tune")
    labels = read_labels(annotations, shots=shots, seed=support_seed, novel=novel, sparse=sparse)
    inputs = read_inputs(
        detections,
        annotations=DatasetIndex(labels.ground_truth.vocabulary, labels.ground_truth.images_by_id),
        images=[*(images or ()), *labels.folders],
        novel=novel,
        boxes=boxes or "xywh",
        category_ids=category_ids or "dataset",
        image_ids=image_ids or "dataset",
        on_unmatched=on_unmatched,
        drop_other_images=True,
        command="tune",
    )
    refuse_rescored(inputs, name=display_name(detections))
    truth = labels.ground_truth.with_vocabulary(inputs.vocabulary)
    prompts_of(inputs.vocabulary, settings)
    shots_of = read_support(options, inputs.vocabulary)

    # torch and open_clip take seconds to import: faults of the input above are told without them
    encoder = EncoderChoice(
        clip, clip_weights, clip_config, crop, compat, device, precision, batch_size, workers
    ).open()
    remembering = with_cache(encoder, cache_folder(cache)) or encoder
    if not quiet:
        say(
            f"read {len(inputs.file.detections)} detections, {truth.boxes_per_class().sum()} boxes of "
            f"{len(truth.images)} labelled images"
        )
        if labels.sparse:
            say(
                "sparse labels: only detections on labelled boxes are judged (wrong: on one of another class), and the "
                "fit is pulled harder to the detector's order; --exhaustive if the images are labelled throughout"
            )
    with phases_of(quiet=quiet) as progress:
        prototypes = make_support(
            shots_of, options, remembering, lambda done, total: progress("shots", "crops", done, total)
        )
        tuned = tune(
            inputs.file.detections,
            truth,
            encoder=remembering,
            photos=inputs.photos,
            settings=settings,
            prototypes=prototypes,
            sparse=labels.sparse,
            seed=seed,
            resamples=bootstrap,
            progress=progress,
        )
    content = fusion_content(
        tuned,
        encoder=encoder,
        vocabulary=inputs.vocabulary,
        settings=settings,
        prototypes=prototypes,
        options=options,
        inputs={"detections": Path(detections), "annotations": annotations, "support": support},
    )
    write_json(out, content)
    if json_:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    _print_table(tuned)
    for line in _weights(tuned):
        typer.echo(line)
    typer.echo(f"verdict: {tuned.verdict}")
    if tuned.fusion.terms and not quiet:
        say(
            f"apply it: risf rescore DETECTIONS ... --fusion {out}; evaluate it on other images: on those it was "
            "fitted to, only the table above is fair"
        )
    typer.echo(str(out))


# The terms of a fusion (risf_core.rescore.fitted) as a person reads them
_TERM_NAMES = {
    "text": "log of the name's probability",
    "certainty": "its certainty (-log of the rest)",
    "background": "log of the background's probability",
    "rank": "rank of the name",
    "support": "log of the shots' probability",
    "similarity": "similarity to the shots",
    "size": "size of the box",
    "novel": "being a novel class",
}


def _print_table(tuned: Tuned) -> None:
    from risf_cli.render import Column, print_table
    from risf_core.tuning.tune import points

    validation = tuned.cross_validation
    figures = list(validation.methods[0].figures)
    columns = [Column("", text=True)]
    for figure in figures:
        columns += [Column(figure), Column("diff", change=True)]
    rows = []
    for method in validation.methods:
        row = [method.name]
        for figure in figures:
            change, reach = method.differences[figure], method.intervals.get(figure)
            text = "" if method is validation.methods[0] else points(change)
            if reach is not None:
                star = "*" if reach[0] > 0 or reach[1] < 0 else ""
                text = f"{star}{text}±{100 * max(reach[1] - change, change - reach[0]):.1f}"
            row += [f"{100 * method.figures[figure]:.2f}", text]
        rows.append(row)
    title = f"cross-validation over {tuned.labels['images']} images, {validation.folds} folds, differences ± 95 %"
    print_table(columns, [rows], title=title)
    if any(method.intervals for method in validation.methods):
        typer.echo("* the interval of the difference is without 0")


def _weights(tuned: Tuned) -> Iterator[str]:
    """What the fit found, in a few lines."""
    if tuned.fusion.terms:
        weights = ", ".join(f"{_TERM_NAMES[term.name]} x {term.weight:.2f}" for term in tuned.fusion.terms)
        yield f"fitted: log-odds of the score x {tuned.fusion.fused.slope:.2f}, {weights}"
    left_out = [_left_out(admission) for admission in tuned.admissions if not admission.admitted]
    if left_out:
        yield f"not let in, for want of certain gain on held-out images (nats an image ± 95 %): {', '.join(left_out)}"


def _left_out(admission: Admission) -> str:
    names = " and ".join(_TERM_NAMES[term] for term in admission.terms)
    return f"{names} ({admission.gain:+.3f} ± {2 * admission.error:.3f})"
