"""The options that `risf prepare-splits` and `risf check-split` share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_DATA, _LOOK = "Data", "Looking"

Coco = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", rich_help_panel=_DATA, help="COCO instances JSON; repeatable, files are joined."),
]
Voc = Annotated[
    Path | None,
    typer.Option(
        metavar="ROOT",
        rich_help_panel=_DATA,
        help="Folder that holds VOC2007 and VOC2012, or Annotations and JPEGImages.",
    ),
]
Yolo = Annotated[Path | None, typer.Option(metavar="YAML", rich_help_panel=_DATA, help="data.yaml of a YOLO dataset.")]
PreviewShots = Annotated[
    int | None,
    typer.Option(
        metavar="K", min=1, rich_help_panel=_LOOK, help="Also write a contact sheet (PNG) of the first seed's K shots."
    ),
]
PreviewImages = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", rich_help_panel=_LOOK, help="Folder of photos for --preview; repeatable."),
]
