"""`risf tune`: a fusion fitted to labelled images, and whether re-scoring helps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from risf_cli.option_values import (
    aliases,
    alternatives,
    cache_folder,
    class_choice,
    conventions_of,
    evidence_choice,
    photo_folders,
    required,
    temperature_choice,
)
from risf_cli.options import (
    Alias,
    AllowOutside,
    Backend,
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
    Format,
    ImageIds,
    Images,
    Json,
    MaxScore,
    MinScore,
    Novel,
    OnUnreadable,
    PrecisionChoice,
    Quiet,
    Relabel,
    Rename,
    RescoreClasses,
    SoftmaxOver,
    SplitSeed,
    Support,
    SupportEncoder,
    SupportShots,
    SupportWeights,
    Temperature,
    Template,
    Workers,
)
from risf_core.choices import (
    DEFAULT_ALPHA,
    DEFAULT_BACKGROUND,
    DEFAULT_CLIP,
    DEFAULT_MAX_SCORE,
    DEFAULT_MIN_SCORE,
    Best,
)


def tune(
    detections: Annotated[
        str,
        typer.Argument(metavar="DETECTIONS", help="Detections in any form (docs/formats.md); - is stdin."),
    ],
    *,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations",
            metavar="FILE|SPLIT",
            help="Labels: COCO JSON, Pascal VOC folder, data.yaml, or a few-shot split (see --sparse).",
        ),
    ] = None,
    sparse: Annotated[
        bool | None,
        typer.Option(
            "--sparse/--exhaustive",
            help="Sparse: only some objects of each image are labelled, so only detections on labelled boxes are "
            "judged, and the fit is regularised more strongly. (default: sparse if the labels are a split)",
        ),
    ] = None,
    images: Images = None,
    allow_outside: AllowOutside = False,
    support: Support = None,
    shots: SupportShots = None,
    split_seed: SplitSeed = 0,
    novel: Novel = None,
    format: Format = None,
    boxes: Boxes = None,
    category_ids: CategoryIds = None,
    image_ids: ImageIds = None,
    rename: Rename = None,
    on_unmatched: Annotated[
        Literal["error", "drop"],
        typer.Option(metavar="WAY", help="Rows of unlabelled images or unknown classes, or without a photo."),
    ] = "drop",
    on_unreadable: OnUnreadable = "error",
    out: Annotated[Path, typer.Option(metavar="FILE", help="Output file for the fusion.")] = Path("fusion.json"),
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed of the folds and the resamples.")] = 0,
    bootstrap: Annotated[
        int, typer.Option(metavar="N", min=0, help="Resamples of the images for the intervals; 0: none.")
    ] = 1000,
    precision_at: Annotated[
        float | None,
        typer.Option(
            metavar="P", help="Also choose a threshold per class, from which precision is at least P (0.9, say)."
        ),
    ] = None,
    best: Annotated[
        Best | None, typer.Option(metavar="f1|lrp", help="Also choose the threshold per class of the best F1 or LRP.")
    ] = None,
    clip: Clip = DEFAULT_CLIP,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    crop: Crop = "squash",
    compat: Compat = None,
    support_encoder: SupportEncoder = None,
    support_weights: SupportWeights = None,
    evidence: EvidenceChoice = None,
    relabel: Relabel = 0,
    temperature: Temperature = "auto",
    template: Template = None,
    templates: Annotated[
        Literal["given", "auto"],
        typer.Option(
            metavar="WAY",
            help="auto: also try common templates, and each --alias (repeatable for one class) beside the class's own "
            "name; keep what cross-validation prefers. It costs no pass over the crops.",
            rich_help_panel="Formula",
        ),
    ] = "given",
    background: Background = DEFAULT_BACKGROUND,
    alias: Alias = None,
    rescore_classes: RescoreClasses = "all",
    softmax_over: SoftmaxOver = "rescored",
    min_score: MinScore = DEFAULT_MIN_SCORE,
    max_score: MaxScore = DEFAULT_MAX_SCORE,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    backend: Backend = "auto",
    batch_size: BatchSize = None,
    workers: Workers = None,
    cache: Cache = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fit the fusion to labelled images; keep the detector's scores where CLIP does not help.

    A logistic regression predicts whether a detection is right from the detector's score and CLIP's evidence,
    regularised towards the detector's own ranking: with little data it changes little. The table comes from
    cross-validation over the images, never from images that were fitted to. `risf rescore --fusion FILE` applies it.

    Examples:

      risf tune detections.json --annotations labelled.json --images photos

      risf tune detections.json --annotations labelled.json --images photos --support risfsplit/own --shots 5

      risf rescore detections.json --annotations all.json --images photos --fusion fusion.json --out rescored.json

      risf tune detections.json --annotations labelled.json --evidence none
    """
    from risf_cli.render import phases_of, print_json, print_line, print_warnings, say
    from risf_core.encoder import EncoderChoice
    from risf_core.rescore import RescoreSettings, SupportChoice
    from risf_core.tuning import TextChoices, TuneSettings, tune_file
    from risf_core.tuning.texts import TEMPLATES

    print_warnings(quiet=quiet)
    texts = TextChoices((*(template or ()), *TEMPLATES), alternatives(alias)) if templates == "auto" else None
    settings = RescoreSettings(
        DEFAULT_ALPHA, "linear", temperature_choice(temperature), tuple(template or RescoreSettings.templates),
        None if background == "none" else background, {} if texts else aliases(alias), class_choice(rescore_classes),
        softmax_over, min_score, max_score, False, on_unreadable, evidence_choice(evidence, support),
        relabel=relabel,
    )  # fmt: skip
    encoder = EncoderChoice(
        clip, clip_weights, clip_config, crop, compat, device, precision, batch_size, workers, backend
    )
    tuning = TuneSettings(sparse, seed, bootstrap, texts, precision_at, best)
    with phases_of(quiet=quiet) as progress:
        written = tune_file(
            detections,
            out,
            annotations=required(annotations, "annotations", "tune"),
            images=photo_folders(images, allow_outside),
            novel=novel,
            conventions=conventions_of(format, boxes, category_ids, image_ids, rename),
            on_unmatched=on_unmatched,
            support=SupportChoice(support, shots, split_seed, support_encoder, support_weights),
            encoder=encoder,
            settings=settings,
            tuning=tuning,
            cache=cache_folder(cache),
            talk=None if quiet else say,
            progress=progress,
        )
    if json_:
        print_json(written.content)
        return
    from risf_cli.tune_tables import print_tuned  # with NumPy and what fits: not before the input is sound

    print_tuned(written.tuned, tuning.wish, out, quiet=quiet)
    print_line(str(out))
