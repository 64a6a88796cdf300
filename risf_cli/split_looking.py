"""Looking at a split: its check against the source, and the contact sheet of its shots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from risf_core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from risf_core.splits.split import SeedShots


def check_and_show(
    folder: Path,
    *,
    source: dict[str, Any],  # Any: the arguments of find_source
    held_out: Path | None,
    novel: str | None,
    seeds: Sequence[int] | None,
    preview: int | None,
    images: Sequence[Path],
    json_: bool,
    quiet: bool,
) -> None:
    """Print what was checked of a split. Raises DataError where it is not sound."""
    from risf_cli.render import console, print_table, progress_of, say
    from risf_cli.split_output import check_json, shots_tables
    from risf_core.datasets import read_held_out
    from risf_core.splits.check import check_split
    from risf_core.splits.data_files import find_source
    from risf_core.splits.reading import read_dataset, read_split

    named = bool(source["coco"] or source["voc"] or source["yolo"])
    files = find_source(source.pop("data_root"), **source) if named else None
    voc_root = source["voc"]
    with progress_of("checking", "seeds", quiet=quiet) as report:
        checked = check_split(
            folder,
            dataset=read_dataset(files.kind, files.paths) if files is not None else None,
            held_out=read_held_out(held_out) if held_out is not None else None,
            novel=novel,
            voc_root=voc_root,
            seeds=seeds,
            on_progress=report,
        )
    sheet = None
    if preview is not None:
        shots = read_split(folder, seed=checked.seeds[0], novel=novel, voc_root=voc_root)
        sheet = write_sheet(
            folder, shots, count=preview, folders=[*images, *_folders_of(folder, voc_root)], quiet=quiet
        )
    if json_:
        typer.echo(json.dumps(check_json(checked, sheet), indent=2, ensure_ascii=False))
    else:
        for title, columns, rows in shots_tables(checked, width=console().width):
            print_table(columns, [rows], title=title)
    if not quiet:
        for note in checked.notes:
            say(f"note: {note}")
    if checked.faults:
        for fault in checked.faults[:20]:
            say(f"fault: {fault}")
        more = len(checked.faults)
        raise DataError(f"{folder}: the split is not sound, {more} {'fault' if more == 1 else 'faults'} (named above)")
    if not quiet:
        say(f"{folder}: sound")


def _folders_of(folder: Path, voc_root: Path | None) -> Sequence[Path]:
    from risf_core.splits.folder import MANIFEST_NAME, read_manifest
    from risf_core.splits.reading import image_folders_of

    if voc_root is not None:
        return (voc_root,)
    return image_folders_of(read_manifest(folder)) if (folder / MANIFEST_NAME).is_file() else ()


def find_tiles(seeds: Mapping[int, SeedShots], *, count: int, folders: Sequence[Path]) -> None:
    """Raises what keeps the first seed's contact sheet from being drawn, before the split is written."""
    from risf_core.splits.preview import find_previewed

    _require_folders(folders)
    find_previewed(next(iter(seeds.values())), count=count, image_folders=folders)


def _require_folders(folders: Sequence[Path]) -> None:
    if not folders:
        raise ConfigError("--preview needs the photos: name their folder with --images")


def write_sheet(folder: Path, shots: SeedShots, *, count: int, folders: Sequence[Path], quiet: bool) -> Path:
    """Draw the first shots of each class into the split's folder."""
    from risf_cli.render import progress_of, say
    from risf_core.splits.folder import PREVIEW_PREFIX
    from risf_core.splits.preview import write_contact_sheet

    _require_folders(folders)
    path = folder / f"{PREVIEW_PREFIX}-{count}-shots-seed-{shots.seed}.png"
    with progress_of("drawing the contact sheet", "boxes", quiet=quiet) as report:
        write_contact_sheet(path, shots, count=count, image_folders=folders, on_progress=report)
    if not quiet:
        say(f"contact sheet: {path}")
    return path
