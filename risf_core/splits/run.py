"""The whole jobs of `risf prepare-splits` and `risf check-split`: from files to what is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from risf_core.datasets.held_out import read_held_out
from risf_core.errors import listing
from risf_core.progress import PhaseProgress
from risf_core.splits.check import CheckReport, check_split
from risf_core.splits.classes import novel_vocabulary
from risf_core.splits.data_files import DataChoice, default_split_folder, find_source, read_dataset
from risf_core.splits.folder import open_split
from risf_core.splits.prepare import PreparedSplits, SplitSettings, prepare_splits
from risf_core.splits.preview import Preview, write_contact_sheet


def prepare_split_folder(
    data: DataChoice,
    settings: SplitSettings,
    *,
    out: Path | None = None,
    force: bool = False,
    preview: Preview | None = None,
    talk: Callable[[str], None] | None = None,
    progress: PhaseProgress | None = None,
) -> PreparedSplits:
    """Read training data, draw the shots of every seed and write the folder of the split.

    Args:
        data: what is read; the held-out list and the published seed 0 that are beside it in the published layout are
            used unless `settings` name others. ``Path("none")`` for `settings.published` draws seed 0.
        out: the folder; default `default_split_folder`.
        preview: with its own folders of photos and those that the data's form states.
        talk: is called with a line before the data is read.

    Raises what `find_source` and `prepare_splits` raise.
    """
    novel = settings.novel
    files = find_source(data, novel=novel if isinstance(novel, str) else None)
    if talk is not None:
        talk(f"reading {listing(files.paths)}")
    on_file = None if progress is None else partial(progress, "reading", "files")
    dataset = read_dataset(files.kind, files.paths, progress=on_file)
    if out is None:
        _, novel_set = novel_vocabulary(dataset.vocabulary, novel, alphabetical=files.kind == "voc")
        out = default_split_folder(data.data_root, novel_set)
    if preview is not None:
        preview = replace(preview, image_folders=(*preview.image_folders, *files.image_folders))
    settings = replace(
        settings,
        held_out=settings.held_out or files.held_out,
        published=None if str(settings.published) == "none" else settings.published or files.published,
    )
    return prepare_splits(dataset, out, settings=settings, force=force, preview=preview, progress=progress)


def check_split_folder(
    folder: Path,
    data: DataChoice,
    *,
    held_out: Path | None = None,
    novel: str | None = None,
    seeds: Sequence[int] | None = None,
    preview: Preview | None = None,
    progress: PhaseProgress | None = None,
) -> CheckReport:
    """Check a split of either layout against its source, and draw the contact sheet of its first seed if asked for.

    Args:
        data: the source, where it is not to be read from where the split says; VOC's folder also gives the boxes of
            TFA's lists.
        held_out: the list of test images, likewise.

    Raises what `open_split`, `check_split` and `write_contact_sheet` raise; faults of the split are in the report.
    """
    split = open_split(folder)
    files = find_source(data) if data.is_named else None
    report = check_split(
        split,
        dataset=read_dataset(files.kind, files.paths) if files is not None else None,
        held_out=read_held_out(held_out) if held_out is not None else None,
        novel=novel,
        voc_root=data.voc,
        seeds=seeds,
        progress=progress,
    )
    if preview is None:
        return report
    folders = split.image_folders if data.voc is None else (data.voc,)
    preview = replace(preview, image_folders=(*preview.image_folders, *folders))
    shots = split.read(report.seeds[0], novel=novel, voc_root=data.voc)
    return replace(report, preview=write_contact_sheet(folder, shots, preview, progress=progress))
