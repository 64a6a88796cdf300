"""The options that several commands share, each written once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from risf_core import choices

if TYPE_CHECKING:
    pass


def _suggesting(*words: str) -> Callable[[str], list[str]]:
    """A completion that offers some words; where none fits, the shell offers files."""
    return lambda incomplete: [word for word in words if word.startswith(incomplete)]


Annotations = Annotated[
    Path | None,
    typer.Option(
        "--annotations",
        metavar="FILE",
        help="Ground truth: COCO JSON, Pascal VOC folder, YOLO data.yaml, or the folder of a Roboflow export.",
    ),
]
Novel = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="Novel classes: coco20, voc1, voc2, voc3, names with commas, or a file with one name per line.",
        autocompletion=_suggesting("coco20", "voc1", "voc2", "voc3"),
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Format of the detections: coco, ultralytics-txt, supervision-json, ... (default: recognised; "
        "docs/formats.md has all names)",
    ),
]
Boxes = Annotated[
    choices.BoxConvention | None,
    typer.Option(
        metavar="FORM",
        help="How boxes are written: xywh, xyxy, xywh-relative or xyxy-relative. (default: as their format does)",
    ),
]
CategoryIds = Annotated[
    choices.CategoryConvention | None,
    typer.Option(
        metavar="FORM",
        help="What category ids are: dataset (those of the annotations), positions or positions-from-1. "
        "(default: matched by name, then by id)",
    ),
]
ImageIds = Annotated[
    choices.ImageIdConvention | None,
    typer.Option(
        metavar="FORM",
        help="What image ids are: dataset (those of the annotations), text, file-names, stems, positions or "
        "positions-from-1. (default: matched by file name, then by id)",
    ),
]
Rename = Annotated[
    list[str] | None,
    typer.Option(metavar="OLD=NEW", help="Class OLD of the detections is NEW in the annotations; repeatable."),
]
OnUnmatched = Annotated[
    Literal["error", "drop"],
    typer.Option(metavar="WAY", help="Rows of unknown images or classes: error or drop."),
]
OnUnreadable = Annotated[
    choices.OnUnreadable,
    typer.Option(
        metavar="WAY", help="Photos that are missing or cannot be read: error, or keep (continue without them)."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON to stdout.")]


Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and errors on stderr.")]


def _option(name: str | None = None, /, *, help: str, metavar: str | None, panel: str, **more: Any) -> Any:
    """An option in a panel of `--help`. Any: what typer.Option takes and gives."""
    return typer.Option(*([name] if name else []), help=help, metavar=metavar, rich_help_panel=panel, **more)


# Options of the commands that run an image-text encoder.
_DATA, _ENCODER, _FORMULA, _RUN = "Photos and classes", "Encoder", "Formula", "Speed"

Classes = Annotated[
    Path | None,
    _option(help="Class names, one per line or YAML `names:`; instead of --annotations.", metavar="FILE", panel=_DATA),
]
FirstId = Annotated[
    int | None,
    _option(help="Category id of the first name in --classes. (default: 1)", metavar="0|1", panel=_DATA, min=0, max=1),
]
Images = Annotated[
    list[Path] | None,
    _option(help="Folder of photos, searched with its subfolders; repeatable.", metavar="DIR", panel=_DATA),
]
AllowOutside = Annotated[
    bool,
    typer.Option(
        "--allow-outside",
        help="Follow file names that lead out of the folders of --images (absolute, or with ..).",
        rich_help_panel=_DATA,
    ),
]
Clip = Annotated[
    str,
    _option(help="An open_clip model, hf-hub:ORG/REPO or local-dir:FOLDER.", metavar="NAME[:TAG]", panel=_ENCODER),
]
ClipWeights = Annotated[
    Path | None, _option(help="Local weights for the model (safetensors or pt).", metavar="FILE", panel=_ENCODER)
]
ClipConfig = Annotated[
    Path | None, _option(help="Config of a custom model, as open_clip writes it.", metavar="JSON", panel=_ENCODER)
]
Crop = Annotated[
    choices.CropRule,
    _option(
        help="squash: resize the box to a square; pad: pad it to a square; context: 10 % more per side, then squash.",
        metavar="RULE",
        panel=_ENCODER,
    ),
]
Compat = Annotated[
    Literal["released"] | None,
    _option(
        help="Make crops as the authors' code does: BGR in 0..1 by RoIAlign, one image per batch, fp16 on a GPU.",
        metavar="released",
        panel=_ENCODER,
    ),
]
Alpha = Annotated[float, _option(help="Weight of the detector's score, 0..1.", metavar="A", panel=_FORMULA)]
Fusion = Annotated[
    str,
    _option(
        help="linear: a*s + (1-a)*q; geometric: s^a * q^(1-a); log-odds: mean of logits; or a file of risf tune.",
        metavar="RULE|FILE",
        panel=_FORMULA,
    ),
]
ApplyThresholds = Annotated[
    bool,
    typer.Option(
        "--apply-thresholds",
        help="Drop rows below their class's threshold, which risf tune wrote into the file of --fusion.",
        rich_help_panel=_FORMULA,
    ),
]
EvidenceChoice = Annotated[
    choices.EvidenceKind | None,
    _option(
        help="Compare crops with the class name (text), example boxes (support), or both; the whole photo and its "
        "quarters with the name (photo), or crops and photo (text+photo); none: calibrate the score alone, without "
        "photos and encoder. (default: text; both with --support)",
        metavar="KIND",
        panel=_FORMULA,
    ),
]
Relabel = Annotated[
    int,
    _option(
        help="Also add rows for the K best other classes of each box, by the encoder.",
        metavar="K",
        min=0,
        panel=_FORMULA,
    ),
]
ClassAgnostic = Annotated[
    bool,
    _option(
        "--class-agnostic",
        help="The detections have no classes (all are of category 1): give each box those that --relabel finds.",
        metavar=None,
        panel=_FORMULA,
    ),
]
Budget = Annotated[
    int | None,
    _option(
        help="At most N passes of the encoder per photo: the photo first (--evidence text+photo), then the crops whose "
        "score is most in doubt. (default: all)",
        metavar="N",
        min=1,
        panel=_FORMULA,
    ),
]
Support = Annotated[
    Path | None,
    _option(
        help="A few example boxes per class to compare crops with: a split of prepare-splits, one seed's file, a "
        "folder in TFA's layout, or a COCO JSON.",
        metavar="SPLIT|FILE",
        panel=_DATA,
    ),
]
SupportEncoder = Annotated[
    str | None,
    _option(
        help="Another encoder for the example boxes: timm:MODEL (DINOv2, DINOv3 ...) or torchvision:resnet101 (PCB's). "
        "(default: the encoder of the names)",
        metavar="NAME",
        panel=_ENCODER,
        autocompletion=_suggesting("timm:", "torchvision:resnet101"),
    ),
]
SupportWeights = Annotated[
    Path | None, _option(help="Local weights of --support-encoder (safetensors, pth).", metavar="FILE", panel=_ENCODER)
]
SupportScore = Annotated[
    choices.SupportScore,
    _option(
        help="How a crop is compared with example boxes: softmax over the classes, or cosine (PCB's).",
        metavar="KIND",
        panel=_FORMULA,
    ),
]
Preset = Annotated[
    choices.Preset,
    _option(
        help="A published way: cm-clip (RISF), or pcb (DeFRCN; needs --support): --alpha 0.5 --evidence support "
        "--support-encoder torchvision:resnet101 --support-score cosine, and --rescore-classes novel with --novel. "
        "Options typed beside it win.",
        metavar="NAME",
        panel=_FORMULA,
    ),
]
SupportShots = Annotated[
    int | None,
    _option(
        "--shots", help="Boxes per class of the split. (default: its largest number)", metavar="K", panel=_DATA, min=1
    ),
]
SplitSeed = Annotated[
    int, _option("--split-seed", help="Which draw of the shots, for a split.", metavar="S", panel=_DATA, min=0)
]
Temperature = Annotated[
    str,
    _option(
        help="Factor of the cosine similarity in the softmax; auto: the encoder's own (CLIP: 100).",
        metavar="T|auto",
        panel=_FORMULA,
    ),
]
Template = Annotated[
    list[str] | None,
    _option(
        help="Prompt with {} for the name; repeatable, prompts are averaged. (default: a photo of {})",
        metavar="TEXT",
        panel=_FORMULA,
    ),
]
Background = Annotated[
    str, _option(help="Name of the background in the softmax; none leaves it out.", metavar="NAME", panel=_FORMULA)
]
Alias = Annotated[
    list[str] | None,
    _option(help="What prompts call a class; repeatable.", metavar="NAME=TEXT", panel=_FORMULA),
]
RescoreClasses = Annotated[
    str,
    _option(
        help="Classes to re-score: all, novel, or names with commas.",
        metavar="SET",
        panel=_FORMULA,
        autocompletion=_suggesting("all", "novel"),
    ),
]
SoftmaxOver = Annotated[
    choices.SoftmaxOver,
    _option(help="Classes in the softmax: the re-scored ones, or all.", metavar="SET", panel=_FORMULA),
]
MinScore = Annotated[float, _option(help="Re-score only rows above this score ...", metavar="S", panel=_FORMULA)]
MaxScore = Annotated[float, _option(help="... and up to this one.", metavar="S", panel=_FORMULA)]
BatchSize = Annotated[
    int | None,
    _option(help="Crops per forward pass. (default: 256 on a GPU, 32 on a CPU)", metavar="N", panel=_RUN, min=1),
]
Cache = Annotated[
    str | None,
    _option(
        help="Embedding cache folder; none disables it. (default: the user's cache folder)",
        metavar="DIR|none",
        panel=_RUN,
    ),
]
Workers = Annotated[
    int | None,
    _option(help="Threads that decode and crop. (default: one per core, up to 8)", metavar="N", panel=_RUN, min=0),
]
Device = Annotated[
    str,
    _option(
        help="auto, cpu, cuda, cuda:N or mps.",
        metavar="NAME",
        panel=_RUN,
        autocompletion=_suggesting("auto", "cpu", "cuda", "mps"),
    ),
]
Backend = Annotated[
    choices.BackendChoice,
    _option(
        help="On a CPU: torch; openvino (int8, or --precision fp32; needs the extra openvino); auto: what is clearly "
        "faster, measured in long runs.",
        metavar="NAME",
        panel=_RUN,
    ),
]
PrecisionChoice = Annotated[
    choices.PrecisionChoice,
    _option(help="auto (the hardware's best), fp32, bf16 or fp16.", metavar="NAME", panel=_RUN),
]
