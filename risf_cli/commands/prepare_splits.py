"""`risf prepare-splits`: few-shot splits, drawn and written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from risf_cli.option_values import number_list, print_written
from risf_cli.options import Json, Quiet
from risf_cli.split_options import Coco, PreviewImages, PreviewShots, Voc, Yolo
from risf_core.choices import LayoutChoice

_DATA, _DRAW = "Data", "Drawing"


def prepare_splits(
    *,
    coco: Coco = None,
    voc: Voc = None,
    yolo: Yolo = None,
    data_root: Annotated[
        Path,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_DATA,
            help="Folder with the published layout (coco, cocosplit, VOC2007 ...), if no data is named.",
        ),
    ] = Path("datasets"),
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_DATA,
            help="Test images that must never be drawn or trained on: a COCO JSON, or a list of ids or file names.",
        ),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_DATA,
            help="TFA's cocosplit or vocsplit, for the published seed 0; none: draw it. (default: below --data-root)",
        ),
    ] = None,
    novel: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            rich_help_panel=_DRAW,
            help="Novel classes: coco20, voc1, voc2, voc3, all, names with commas, or a file with one name per line.",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="K[,K..]",
            rich_help_panel=_DRAW,
            help="Boxes per class, any list. (default: 1,2,3,5,10,30; VOC up to 10; as far as every class has boxes)",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="S[,S-S..]", rich_help_panel=_DRAW, help="Seeds, a list with ranges. (default: 0-9)"),
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            metavar="SET",
            rich_help_panel=_DRAW,
            help="Classes whose shots are written: all, novel, base, or names; the draw stays the same.",
        ),
    ] = "all",
    at_least: Annotated[
        bool,
        typer.Option("--at-least", rich_help_panel=_DRAW, help="Allow more than K boxes if exactly K is impossible."),
    ] = False,
    drop_images_with_novel: Annotated[
        bool,
        typer.Option(
            "--drop-images-with-novel",
            rich_help_panel=_DRAW,
            help="Keep images with a novel object out of the base set. (published: kept, without these labels)",
        ),
    ] = False,
    layout: Annotated[
        LayoutChoice,
        typer.Option(metavar="NAME", rich_help_panel=_DRAW, help="risf, tfa (cocosplit, vocsplit), or both."),
    ] = "risf",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_DRAW,
            help="Folder for the split. (default: risfsplit/SET below --data-root)",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=_DRAW, help="Replace the split that is in the folder.")
    ] = False,
    preview: PreviewShots = None,
    images: PreviewImages = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Draw few-shot splits: K labelled boxes per class, exactly those that the published scripts draw.

    The split stores them, so every run and every process trains on the same boxes. With the published layout
    (datasets/cocosplit, datasets/VOC2007, VOC2012) no option is needed. Without --novel the novel classes are coco20
    for COCO's 80 classes, voc1 for VOC's 20, and all classes of other data.

    Examples:

      risf prepare-splits

      risf prepare-splits --coco train.json --novel cat,dog --shots 5 --out pets

      risf prepare-splits --voc datasets --novel voc2 --layout both

      risf prepare-splits --yolo data.yaml --shots 5 --out pets --preview 5
    """
    from risf_cli.render import phases_of, print_warnings, say
    from risf_core.choices import LAYOUTS
    from risf_core.splits.data_files import DataChoice
    from risf_core.splits.prepare import SplitSettings
    from risf_core.splits.preview import Preview
    from risf_core.splits.run import prepare_split_folder

    print_warnings(quiet=quiet)
    settings = SplitSettings(
        novel=novel,
        shots=None if shots is None else number_list(shots, option="shots", least=1),
        seeds=tuple(range(10)) if seeds is None else number_list(seeds, option="seeds", least=0),
        layouts=LAYOUTS if layout == "both" else (layout,),
        only=only,
        at_least=at_least,
        drop_images_with_novel=drop_images_with_novel,
        held_out=held_out,
        published=published,
    )
    with phases_of(quiet=quiet) as progress:
        prepared = prepare_split_folder(
            DataChoice(tuple(coco or ()), voc, yolo, data_root),
            settings,
            out=out,
            force=force,
            preview=None if preview is None else Preview(preview, tuple(images or ())),
            talk=None if quiet else say,
            progress=progress,
        )
    for line in () if quiet else prepared.lines():
        say(line)
    print_written(prepared.folder, prepared.to_json(), json_=json_)
