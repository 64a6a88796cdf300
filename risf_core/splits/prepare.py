"""Preparing splits: from a data set and what is asked for to a folder of splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.choices import Layout
from risf_core.datasets.annotated import AnnotatedDataset, require_classes
from risf_core.datasets.held_out import HeldOut, read_held_out
from risf_core.errors import ConfigError, DataError, counted, listing
from risf_core.files import write_text
from risf_core.outputs import check_not_read
from risf_core.progress import PhaseProgress
from risf_core.splits.classes import NovelChoice, benchmark_of, with_novel_classes
from risf_core.splits.drawing import LADDERS, Rule, draw_seed, seed_shots
from risf_core.splits.manifest import (
    MANIFEST_NAME,
    HeldOutFile,
    Manifest,
    new_folder,
    refuse_other_split,
    write_manifest,
)
from risf_core.splits.pools import class_pools
from risf_core.splits.preview import Preview, write_contact_sheet
from risf_core.splits.seed_files import GROUPS, write_own_layout
from risf_core.splits.split import ClassShots, SeedShots, marks_in_words, number_ranges
from risf_core.splits.split_readme import README_NAME, split_readme
from risf_core.splits.tfa_reading import PUBLISHED_SEED, read_published_seed
from risf_core.splits.tfa_writing import write_tfa_datasets, write_tfa_split
from risf_core.splits.training_sets import base_dataset
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class SplitSettings:
    """What is asked for."""

    novel: NovelChoice = None  # None: by the classes (`novel_vocabulary`)
    shots: tuple[int, ...] | None = None  # None: those of the literature that every class has boxes for
    seeds: tuple[int, ...] = tuple(range(10))
    layouts: tuple[Layout, ...] = ("risf",)
    only: str = "all"  # whose shots are written: all, novel, base, or names with commas
    at_least: bool = False
    drop_images_with_novel: bool = False
    held_out: Path | None = None
    published: Path | None = None  # a folder in TFA's layout, which holds the published seed 0


@dataclass(frozen=True, eq=False)
class PreparedSplits:
    """What was written."""

    folder: Path
    manifest: Manifest
    seeds: Mapping[int, SeedShots]
    base: AnnotatedDataset | None  # None where all classes are novel
    preview: Path | None = None  # the contact sheet

    def lines(self) -> Iterator[str]:
        """What was drawn and what there is to know about it, one line per fact."""
        manifest, base = self.manifest, self.base
        if self.preview is not None:
            yield f"contact sheet: {self.preview}"
        yield (
            f"{counted(len(manifest.vocabulary), 'class')}, {len(manifest.vocabulary.novel)} novel "
            f"({manifest.novel_set}); "
            f"shots {','.join(map(str, manifest.shots))}; seeds {number_ranges(manifest.seeds)}"
        )
        if base is None:
            yield "no base set: all classes are novel"
        else:
            yield f"base set: {len(base):,} boxes in {len(base.images):,} images"
        yield from (f"note: {note}" for note in (*manifest.notes, *marks_in_words(self.seeds.values())))

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf prepare-splits --json` says."""
        manifest, base = self.manifest, self.base
        return {
            "folder": str(self.folder),
            "benchmark": manifest.benchmark,
            "novel_set": manifest.novel_set,
            "classes": len(manifest.vocabulary),
            "novel": [name for name in manifest.vocabulary.names if name in manifest.vocabulary.novel],
            "shots": list(manifest.shots),
            "seeds": list(manifest.seeds),
            "layouts": list(manifest.layouts),
            "base": None if base is None else {"boxes": len(base), "images": len(base.images)},
            "notes": list(manifest.notes),
            "marks": [
                {"seed": seed, "shots": mark.shots, "kind": mark.kind, "classes": list(mark.classes), "text": mark.text}
                for seed, shots in self.seeds.items()
                for mark in shots.marks
            ],
            "preview": None if self.preview is None else str(self.preview),
        }


def prepare_splits(
    dataset: AnnotatedDataset,
    folder: Path,
    *,
    settings: SplitSettings,
    force: bool = False,
    progress: PhaseProgress | None = None,
    preview: Preview | None = None,
) -> PreparedSplits:
    """Draws the shots of every seed and writes them to `folder`, which then holds this split and nothing else.

    The same data and settings write the same bytes. `force` replaces another split whole. With `preview` a contact
    sheet of the first seed is written beside it; where that cannot be drawn nothing is written.

    Raises ConfigError where the settings are at fault, DataError where the data cannot give what is asked for (all
    classes that lack boxes in one line), OutputError where the folder holds something else.
    """
    if not settings.seeds:
        raise ConfigError("`seeds` names no seed; write a list with ranges, such as 0-9")
    held_out = read_held_out(settings.held_out) if settings.held_out is not None else None
    dataset, left_out = _without_held_out(dataset, held_out)
    dataset, novel_set = with_novel_classes(_with_note_of_no_area(dataset), settings.novel)
    labels = _labels(settings.only, dataset.vocabulary)
    asked = _shot_counts(settings.shots, _rule(dataset))
    published = _published(dataset, novel_set, settings)
    drawn = _draw(dataset, asked, novel_set=novel_set, published=published, settings=settings, progress=progress)
    shots, notes = _drawable(asked, drawn, dataset, labels=labels, settings=settings)
    base = None
    if len(dataset.vocabulary.labels("base")):
        base = base_dataset(dataset, drop_images_with_novel=settings.drop_images_with_novel)
    manifest = Manifest(
        benchmark=benchmark_of(dataset, novel_set),
        novel_set=novel_set,
        vocabulary=dataset.vocabulary,
        kind=dataset.source.kind,
        source_paths=dataset.source.paths,
        source_sha256=dataset.source.sha256,
        held_out=HeldOutFile(held_out.path, held_out.sha256, left_out, held_out.is_coco) if held_out else None,
        published=bool(published),
        shots=shots,
        seeds=settings.seeds,
        layouts=settings.layouts,
        drawn_classes=tuple(dataset.vocabulary.names[label] for label in labels),
        at_least=settings.at_least,
        drop_images_with_novel=settings.drop_images_with_novel,
        notes=(*dataset.notes, *notes),
    )
    refuse_other_split(folder, manifest, force=force)
    check_not_read(folder, [*dataset.source.paths, settings.held_out, settings.published])
    chosen = {seed: {label: by_label[label] for label in labels} for seed, by_label in drawn.items()}
    seeds = {
        seed: seed_shots(dataset, by_label, seed=seed, shots=shots, novel_set=novel_set)
        for seed, by_label in chosen.items()
    }
    sheet = None
    with new_folder(folder) as place:
        if preview is not None:
            sheet = write_contact_sheet(place, seeds[settings.seeds[0]], preview, progress=progress)
        if "risf" in settings.layouts:
            write_own_layout(place, seeds, base, vocabulary=dataset.vocabulary, settings=manifest.settings)
        if "tfa" in settings.layouts:
            on_file = None if progress is None else partial(progress, "writing TFA's layout", "files")
            write_tfa_split(place, dataset, chosen, shots=shots, labels=labels, on_file=on_file)
            if dataset.source.kind != "voc" and (len(dataset.source.paths) > 1 or left_out):
                write_tfa_datasets(place, dataset, held_out=held_out.path if held_out and held_out.is_coco else None)
        files = sorted(
            path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file() and path != sheet
        )
        manifest = replace(manifest, files=(*files, README_NAME, MANIFEST_NAME))
        write_text(place / README_NAME, split_readme(manifest, seeds, base))
        write_manifest(folder, manifest, at=place)
    return PreparedSplits(folder, manifest, seeds, base, sheet and folder / sheet.name)


def _rule(dataset: AnnotatedDataset) -> Rule:
    return "voc" if dataset.source.kind == "voc" else "coco"


def _published(dataset: AnnotatedDataset, novel_set: str, settings: SplitSettings) -> dict[int, ClassShots] | None:
    """The published shots of seed 0 as far as they are there; None where nothing was published for these classes."""
    if benchmark_of(dataset, novel_set) == "own" or PUBLISHED_SEED not in settings.seeds:
        return None
    return read_published_seed(settings.published, dataset, rule=_rule(dataset))


def _draw(
    dataset: AnnotatedDataset,
    shots: Sequence[int],
    *,
    novel_set: str,
    published: Mapping[int, ClassShots] | None,
    settings: SplitSettings,
    progress: PhaseProgress | None,
) -> dict[int, dict[int, ClassShots]]:
    """Seed -> label -> shots."""
    pools = class_pools(dataset)
    drawn = {}
    for place, seed in enumerate(settings.seeds):
        drawn[seed] = draw_seed(
            dataset,
            pools,
            rule=_rule(dataset),
            seed=seed,
            shots=shots,
            at_least=settings.at_least,
            distinct=benchmark_of(dataset, novel_set) == "own",
            published=published if seed == PUBLISHED_SEED else None,
        )
        if progress is not None:
            progress("drawing", "seeds", place + 1, len(settings.seeds))
    return drawn


def _without_held_out(dataset: AnnotatedDataset, held_out: HeldOut | None) -> tuple[AnnotatedDataset, int]:
    if held_out is None:
        return dataset, 0
    positions, chance = held_out.positions(dataset.images)
    if len(positions) == len(dataset.images):
        raise DataError(f"{held_out.path}: holds out every training image; give `held_out` the list of the test images")
    entries = held_out.entries_among(dataset.images)
    notes = (
        *dataset.notes,
        f"{entries} of {len(held_out.file_names)} held-out entries are among the training images",
    )
    if len(positions):
        notes += (f"{len(positions)} of {len(dataset.images)} training images are on the held-out list: left out",)
    if chance:
        notes += (
            f"{chance} held-out ids are those of other training images (their file names differ): these images stay",
        )
    return replace(dataset.without_images(positions), notes=notes), len(positions)


def _with_note_of_no_area(dataset: AnnotatedDataset) -> AnnotatedDataset:
    empty = np.flatnonzero(~dataset.has_area & ~dataset.crowd)
    if not empty.size:
        return dataset
    ids = listing(dataset.annotation_ids[empty].tolist(), most=3)
    return replace(dataset, notes=(*dataset.notes, f"{len(empty)} boxes have no area (ids {ids}): left out"))


def _labels(only: str, vocabulary: ClassVocabulary) -> list[int]:
    for group in GROUPS:
        if only == group and only not in vocabulary.names:
            labels: list[int] = vocabulary.labels(group).tolist()
            if not labels:
                raise ConfigError(f"`only={only}`: there is no {only} class among the {len(vocabulary)}")
            return labels
    names = [name.strip() for name in only.split(",") if name.strip()]
    require_classes(names, vocabulary, option="`only`")
    return [label for label, name in enumerate(vocabulary.names) if name in names]


def _shot_counts(asked: Sequence[int] | None, rule: Rule) -> tuple[int, ...]:
    counts = LADDERS[rule] if asked is None else tuple(sorted(set(asked)))
    if not counts or counts[0] < 1:
        raise ConfigError(f"`shots` must be whole numbers of at least 1, got {','.join(map(str, counts)) or 'none'}")
    return counts


def _drawable(
    asked: Sequence[int],
    drawn: Mapping[int, Mapping[int, ClassShots]],
    dataset: AnnotatedDataset,
    *,
    labels: Sequence[int],
    settings: SplitSettings,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The shot counts that every class can give in every seed, and what was left out.

    Raises DataError, all classes in one line, where a person asked for a count that one cannot give.
    """
    faults = []
    possible = []
    for count in asked:
        short = [label for label in labels if any(count not in by_label[label].rows for by_label in drawn.values())]
        if short:
            faults.append(f"{count} shots of {listing([_have(dataset, label, count) for label in short], most=3)}")
        else:
            possible.append(count)
    if not faults or (possible and settings.shots is None):
        return tuple(possible), tuple(f"left out: {fault}" for fault in faults)
    way_out = [] if settings.at_least else ["let `at_least` take more boxes where no images make exactly that many"]
    way_out += ["ask for other `shots`", "leave classes out with `only`"]
    raise DataError(f"cannot draw {'; '.join(faults[:3])}: {', or '.join(way_out)}")


def _have(dataset: AnnotatedDataset, label: int, count: int) -> str:
    rows = dataset.usable & (dataset.labels == label)
    boxes, images = int(rows.sum()), len(np.unique(dataset.image_positions[rows]))
    have = f"{counted(boxes, 'box')} in {counted(images, 'image')}"
    exact = "" if boxes < count else f", which do not fit to make exactly {count}"
    return f"{dataset.vocabulary.names[label]!r} ({have}{exact})"
