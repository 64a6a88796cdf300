"""`risf prepare-splits`: few-shot splits, drawn, checked and shown."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from risf_cli.options import Json, Quiet, number_list, typed_options
from risf_cli.split_looking import check_and_show, find_tiles, write_sheet
from risf_core.choices import LayoutChoice
from risf_core.errors import ConfigError, listing

_DATA, _DRAW, _LOOK = "Data", "Drawing", "Looking"

_DRAWS = ("published", "shots", "only", "at_least", "drop_images_with_novel", "layout", "out", "force")


def prepare_splits(
    context: typer.Context,
    *,
    coco: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", rich_help_panel=_DATA, help="COCO instances JSON; given again, the files are joined."
        ),
    ] = None,
    voc: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            rich_help_panel=_DATA,
            help="The folder with VOC2007 and VOC2012, or one with Annotations and JPEGImages.",
        ),
    ] = None,
    yolo: Annotated[
        Path | None, typer.Option(metavar="YAML", rich_help_panel=_DATA, help="data.yaml of a YOLO data set.")
    ] = None,
    data_root: Annotated[
        Path,
        typer.Option(
            metavar="DIR", rich_help_panel=_DATA, help="Where the literature's folders lie, if no data is named."
        ),
    ] = Path("datasets"),
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            rich_help_panel=_DATA,
            help="Test images that must not be drawn or trained on: a COCO JSON, or ids or file names.",
        ),
    ] = None,
    published: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_DATA,
            help="TFA's cocosplit or vocsplit, for the published seed 0; none draws it. (default: below --data-root)",
        ),
    ] = None,
    novel: Annotated[
        str | None,
        typer.Option(
            metavar="SET",
            rich_help_panel=_DRAW,
            help="The novel classes: coco20, voc1, voc2, voc3, all, names with commas, or a file of names.",
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="K[,K..]",
            rich_help_panel=_DRAW,
            help="Boxes a class, any list. (default: 1,2,3,5,10,30; of VOC to 10; as far as every class has boxes)",
        ),
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option(metavar="S[,S-S..]", rich_help_panel=_DRAW, help="Seeds, as a list with ranges. (default: 0-9)"),
    ] = None,
    only: Annotated[
        str,
        typer.Option(
            metavar="SET",
            rich_help_panel=_DRAW,
            help="Whose shots are written: all, novel, base, or names; the draw is the same.",
        ),
    ] = "all",
    at_least: Annotated[
        bool, typer.Option("--at-least", rich_help_panel=_DRAW, help="K or more boxes where exactly K cannot be.")
    ] = False,
    drop_images_with_novel: Annotated[
        bool,
        typer.Option(
            "--drop-images-with-novel",
            rich_help_panel=_DRAW,
            help="No image with a novel object in the base set. (published: there, unlabelled)",
        ),
    ] = False,
    layout: Annotated[
        LayoutChoice,
        typer.Option(metavar="NAME", rich_help_panel=_DRAW, help="risf, tfa (cocosplit, vocsplit), or both."),
    ] = "risf",
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", rich_help_panel=_DRAW, help="The split's folder. (default: risfsplit/SET below --data-root)"
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", rich_help_panel=_DRAW, help="Replace another split in that folder, whole.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            rich_help_panel=_LOOK,
            help="Draw nothing: verify a split of either layout against its source, and print what it holds.",
        ),
    ] = None,
    preview: Annotated[
        int | None,
        typer.Option(
            metavar="K", min=1, rich_help_panel=_LOOK, help="A contact sheet of the K shots of the first seed, as PNG."
        ),
    ] = None,
    images: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", rich_help_panel=_LOOK, help="A folder of photos for --preview; repeatable."),
    ] = None,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Few-shot splits: K labelled boxes of every class, the very ones that the field's own scripts draw.

    They are frozen in the split: every run and every process trains on the
    same boxes. In a folder laid out as the literature lays it out
    (datasets/cocosplit, datasets/VOC2007, VOC2012) no option is needed.
    Without --novel the novel classes are coco20 for COCO's 80 classes, voc1
    for VOC's 20, and all classes of other data.

    Examples:

      risf prepare-splits

      risf prepare-splits --coco train.json --novel cat,dog --shots 5 --out pets

      risf prepare-splits --voc datasets --novel voc2 --layout both

      risf prepare-splits --check pets --preview 5 --images photos
    """
    from risf_cli.render import print_warnings

    print_warnings(quiet=quiet)
    chosen = None if seeds is None else number_list(seeds, option="seeds", least=0)
    if check is not None:
        typed = typed_options(context)
        for option in _DRAWS:
            if option in typed:
                raise ConfigError(
                    f"--{option.replace('_', '-')} is for drawing, and --check draws nothing; leave it out"
                )
        # what risf.yaml says of drawing is not what this split must be
        data = {"coco": coco, "voc": voc, "yolo": yolo}
        source = {name: value if name in typed else None for name, value in data.items()}
        check_and_show(
            check,
            source={**source, "coco": source["coco"] or (), "data_root": data_root},
            held_out=held_out if "held_out" in typed else None,
            novel=novel if "novel" in typed else None,
            seeds=chosen if "seeds" in typed else None,
            preview=preview if "preview" in typed else None,
            images=images or [],
            json_=json_,
            quiet=quiet,
        )
        return

    from risf_cli.render import phases_of, say
    from risf_cli.split_output import prepared_json, summary_lines
    from risf_core.choices import LAYOUTS
    from risf_core.splits.classes import novel_vocabulary
    from risf_core.splits.data_files import default_split_folder, find_source
    from risf_core.splits.prepare import SplitSettings
    from risf_core.splits.prepare import prepare_splits as prepare
    from risf_core.splits.reading import read_dataset

    counts = None if shots is None else number_list(shots, option="shots", least=1)
    files = find_source(data_root, coco=coco or (), voc=voc, yolo=yolo, novel=novel)
    with phases_of(quiet=quiet) as report:
        if not quiet:
            say(f"reading {listing([str(path) for path in files.paths])}")
        on_file = partial(report, "reading", "files")
        dataset = read_dataset(files.kind, files.paths, on_progress=on_file)
        if out is None:
            _, novel_set = novel_vocabulary(dataset.vocabulary, novel, alphabetical=files.kind == "voc")
            out = default_split_folder(data_root, novel_set)
        settings = SplitSettings(
            novel=novel,
            shots=counts,
            seeds=tuple(range(10)) if chosen is None else chosen,
            layouts=LAYOUTS if layout == "both" else (layout,),
            only=only,
            at_least=at_least,
            drop_images_with_novel=drop_images_with_novel,
            held_out=held_out or files.held_out,
            published=None if str(published) == "none" else published or files.published,
        )
        folders = [*(images or []), *files.image_folders]
        before_writing = None if preview is None else partial(find_tiles, count=preview, folders=folders)
        prepared = prepare(
            dataset, out, settings=settings, force=force, on_progress=report, before_writing=before_writing
        )
    sheet = None
    if preview is not None:
        sheet = write_sheet(out, prepared.seeds[settings.seeds[0]], count=preview, folders=folders, quiet=quiet)
    if not quiet:
        for line in summary_lines(prepared):
            say(line)
    if json_:
        typer.echo(json.dumps(prepared_json(prepared, sheet), indent=2, ensure_ascii=False))
    else:
        typer.echo(out)
