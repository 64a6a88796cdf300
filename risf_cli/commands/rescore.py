"""`risf rescore`: CM-CLIP over a file of saved detections."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import (
    aliases,
    cache_folder,
    check_stdout_free,
    class_choice,
    conventions_of,
    evidence_choice,
    fusion_choice,
    photo_folders,
    print_written,
    temperature_choice,
    typed_options,
)
from risf_cli.options import (
    Alias,
    AllowOutside,
    Alpha,
    ApplyThresholds,
    Backend,
    Background,
    BatchSize,
    Boxes,
    Budget,
    Cache,
    CategoryIds,
    ClassAgnostic,
    Classes,
    Clip,
    ClipConfig,
    ClipWeights,
    Compat,
    Crop,
    Device,
    EvidenceChoice,
    FirstId,
    Format,
    Fusion,
    ImageIds,
    Images,
    Json,
    MaxScore,
    MinScore,
    Novel,
    OnUnreadable,
    PrecisionChoice,
    Preset,
    Quiet,
    Relabel,
    Rename,
    RescoreClasses,
    SoftmaxOver,
    SplitSeed,
    Support,
    SupportEncoder,
    SupportScore,
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
    OnUnmatched,
)
from risf_core.errors import counted

if TYPE_CHECKING:
    from risf_core.rescore.pipeline import RescoreCounts
    from risf_core.rescore.record import Record
    from risf_core.rescore.run import RescoredFile


def rescore(
    context: typer.Context,
    detections: Annotated[
        str,
        typer.Argument(metavar="DETECTIONS", help="Detections in any form (docs/formats.md); - is stdin."),
    ],
    *,
    annotations: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO JSON, Pascal VOC folder or data.yaml that names images and classes; its boxes are not used.",
        ),
    ] = None,
    classes: Classes = None,
    first_id: FirstId = None,
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
        OnUnmatched,
        typer.Option(
            metavar="WAY",
            help="Rows of unknown images, categories or photos: error, keep (leave them as they are) or drop.",
        ),
    ] = "error",
    on_unreadable: OnUnreadable = "error",
    out: Annotated[str, typer.Option(metavar="FILE", help="Output file, with a record beside it; - is stdout.")] = "-",
    to: Annotated[
        str | None, typer.Option(metavar="NAME", help="The form to write (docs/formats.md). (default: as it came in)")
    ] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Do not write score_detector, score_clip and clip_names.")
    ] = False,
    clip: Clip = DEFAULT_CLIP,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    crop: Crop = "squash",
    compat: Compat = None,
    support_encoder: SupportEncoder = None,
    support_weights: SupportWeights = None,
    preset: Preset = "cm-clip",
    alpha: Alpha = DEFAULT_ALPHA,
    fusion: Fusion = "linear",
    apply_thresholds: ApplyThresholds = False,
    evidence: EvidenceChoice = None,
    relabel: Relabel = 0,
    budget: Budget = None,
    class_agnostic: ClassAgnostic = False,
    support_score: SupportScore = "softmax",
    temperature: Temperature = "auto",
    template: Template = None,
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
    """Re-score saved detections with CLIP (RISF's CM-CLIP): new scores, the same boxes and classes.

    The new score is alpha * s + (1 - alpha) * q, where q is CLIP's probability of the row's class for the box's crop.
    `risf evaluate before.json after.json` measures whether it helps. `risf tune` fits the formula to labelled images;
    --fusion applies the result.

    Examples:

      risf rescore detections.json --annotations instances_val.json --images val2017 --out rescored.json

      risf rescore detections.json --classes names.txt --images photos --clip-weights ViT-L-14-336px.pt --out -

      risf rescore detections.json --annotations val.json --images val2017 --fusion fusion.json

      risf rescore detections.json --support risfsplit/own --shots 5 --evidence support

      risf rescore detections.json --support risfsplit/own --preset pcb --out rescored.json

      risf rescore detections.json --annotations val.json --images val2017 | risf evaluate - --annotations val.json
    """
    from risf_cli.render import phases_of, print_warnings, say
    from risf_core.encoder import EncoderChoice
    from risf_core.processes import started_processes
    from risf_core.rescore import RescoreSettings, SupportChoice, rescore_file, with_preset

    processes = started_processes()
    quiet = quiet or not processes.is_first
    print_warnings(quiet=quiet)
    check_stdout_free(out, json_=json_, what="record")
    rule, file = fusion_choice(fusion, alpha_is_typed="alpha" in typed_options(context))
    settings = RescoreSettings(
        alpha, rule, temperature_choice(temperature), tuple(template or RescoreSettings.templates),
        None if background == "none" else background, aliases(alias), class_choice(rescore_classes), softmax_over,
        min_score, max_score, not plain, on_unreadable, evidence_choice(evidence, support), support_score, relabel,
        class_agnostic, budget,
    )  # fmt: skip
    examples = SupportChoice(support, shots, split_seed, support_encoder, support_weights)
    settings, examples = with_preset(preset, settings, examples, stated=typed_options(context), novel=novel is not None)
    with phases_of(quiet=quiet) as progress:
        written = rescore_file(
            detections,
            out,
            to=to,
            annotations=annotations,
            classes=classes,
            first_id=first_id,
            images=photo_folders(images, allow_outside),
            novel=novel,
            conventions=conventions_of(format, boxes, category_ids, image_ids, rename),
            on_unmatched=on_unmatched,
            support=examples,
            encoder=EncoderChoice(
                clip, clip_weights, clip_config, crop, compat, device, precision, batch_size, workers, backend
            ),
            settings=settings,
            fusion=file,
            apply_thresholds=apply_thresholds,
            cache=cache_folder(cache),
            processes=processes,
            talk=None if quiet else say,
            progress=progress,
        )
    _print_rescored(written, json_=json_, quiet=quiet)


def _print_rescored(written: RescoredFile | None, *, json_: bool, quiet: bool) -> None:
    from risf_cli.render import say

    if written is None:
        return  # another process speaks
    print_written(written.out, written.record, json_=json_)
    for line in () if quiet else _after(written):
        say(line)


def _after(written: RescoredFile) -> Iterator[str]:
    """What became of the rows."""
    counts, record = written.result.counts, written.record
    moved = [f"{before} -> {counts.above_after[t]} over {t}" for t, before in counts.above_before.items()]
    over_thresholds = f"rows over common thresholds: {', '.join(moved)}"
    yield from _what_was_asked(counts, record)
    if record["counts"]["below_threshold"] is not None:
        yield f"dropped {record['counts']['below_threshold']} rows below the threshold of their class"
    yield over_thresholds


def _what_was_asked(counts: RescoreCounts, record: Record) -> Iterator[str]:
    from risf_core.rescore.budget import TILES

    settings = record["settings"]
    if record["encoder"] is None:
        yield f"calibrated {counts.by_score_alone} of {counted(counts.read, 'row')}"
        return
    quarters = "" if (settings["budget"] or TILES) < TILES else " and quarters"
    tiles = f"{counts.tiles} photos{quarters}" if counts.tiles else ""
    crops = f"{counts.unique_crops} distinct crops" if counts.unique_crops or not tiles else ""
    asked = f"{' and '.join(filter(None, (crops, tiles)))} ({record['counts']['from_cache']} from the cache)"
    if settings["class_agnostic"]:
        yield (
            f"found {counted(counts.added, 'row')} of the classes in {counts.read} boxes by {asked} in "
            f"{record['seconds']:.1f} s; boxes without one are dropped"
        )
        return
    yield f"re-scored {counts.rescored} of {counted(counts.read, 'row')} by {asked} in {record['seconds']:.1f} s"
    if counts.added:
        yield f"added {counts.added} rows of other classes by the encoder (--relabel)"
    if counts.by_score_alone:
        yield f"calibrated by their score alone: {counts.by_score_alone} rows that the encoder was not asked about"
    left = {
        "outside the score range (--min-score, --max-score)": counts.outside_score_range,
        "of other classes": counts.outside_classes,
        "without a photo": counts.without_photo,
        "without area in the photo": counts.degenerate,
        "of photos that cannot be read": counts.unreadable,
        "of classes without shots": counts.without_support,
        "beyond --budget": counts.over_budget,
    }
    untouched = [f"{count} {why}" for why, count in left.items() if count]
    if untouched:
        yield f"{'not re-scored' if counts.by_score_alone else 'left as they are'}: {', '.join(untouched)}"
