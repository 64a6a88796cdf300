"""Checking a split against its source, and counting what it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.held_out import HeldOut, read_held_out
from risf_core.errors import DataError, RisfError, counted, listing
from risf_core.progress import PhaseProgress
from risf_core.splits.classes import NovelChoice
from risf_core.splits.data_files import read_dataset
from risf_core.splits.folder import SplitFolder
from risf_core.splits.manifest import Manifest
from risf_core.splits.split import SeedShots, marks_in_words
from risf_core.splits.tfa_reading import read_tfa_split


@dataclass(frozen=True)
class ClassCount:
    """What a split holds of a class."""

    name: str
    novel: bool
    boxes: Mapping[int, tuple[int, int]]  # shots -> the fewest and the most boxes of any seed
    images: float  # that hold the boxes of the highest shot count, mean over seeds
    boxes_per_image: float


@dataclass(frozen=True)
class CheckReport:
    """What a check found; a split without faults is sound."""

    folder: Path
    seeds: tuple[int, ...]
    shots: tuple[int, ...]
    classes: tuple[ClassCount, ...]
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    preview: Path | None = None  # the contact sheet

    def lines(self) -> Iterator[str]:
        """What there is to know about the split, one line per fact."""
        if self.preview is not None:
            yield f"contact sheet: {self.preview}"
        yield from (f"note: {note}" for note in self.notes)

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf check-split --json` says."""
        return {
            "folder": str(self.folder),
            "sound": not self.faults,
            "faults": list(self.faults),
            "notes": list(self.notes),
            "seeds": list(self.seeds),
            "shots": list(self.shots),
            "classes": [
                {
                    "name": count.name,
                    "novel": count.novel,
                    "boxes": {str(k): list(ends) for k, ends in count.boxes.items()},  # fewest and most of any seed
                    "images": count.images,
                    "boxes_per_image": count.boxes_per_image,
                }
                for count in self.classes
            ],
            "preview": None if self.preview is None else str(self.preview),
        }


@dataclass
class _Findings:
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def check_split(
    split: SplitFolder,
    *,
    dataset: AnnotatedDataset | None = None,
    held_out: HeldOut | None = None,
    novel: NovelChoice = None,
    voc_root: Path | None = None,
    seeds: Sequence[int] | None = None,
    progress: PhaseProgress | None = None,
) -> CheckReport:
    """Read a split of either layout and compare it with what it was drawn from.

    Checked: the source's hash, every box against the source, exactly K boxes per class and shot count, each count
    within the next, no box twice, no class without boxes, no image that is held out for testing, and that both
    layouts hold the same where both were written.

    Args:
        dataset: the source, where it is not to be read from where the split says.
        held_out: the test images, likewise.
        novel: the novel classes, for a folder in TFA's layout that risf did not write.
        voc_root: where VOC2007 and VOC2012 are, likewise.
        seeds: which seeds are checked; default all.

    Raises DataError where no seed can be read, ConfigError where `novel` is not what a split that risf wrote says.
    """
    split.check_novel(novel)
    found = _Findings()
    manifest = split.manifest
    chosen = split.seeds if seeds is None else tuple(seeds)
    if manifest is not None:
        dataset = _source(manifest, dataset, found)
        held_out = held_out or _held_out(manifest, found)
        missing = [name for name in manifest.files if not (split.path / name).is_file()]
        if missing:
            found.faults.append(f"{counted(len(missing), 'file')} missing: {listing(missing, most=2)}")
        _check_base(split, manifest, held_out, found)
    elif dataset is None:
        found.notes.append("the boxes are not compared with a source: none is named (`coco`)")
    if held_out is None:
        found.notes.append("training and test images are not compared: no test images are named (`held_out`)")
    read = []
    for place, seed in enumerate(chosen):
        try:
            shots = split.read(seed, novel=novel, voc_root=voc_root)
        except RisfError as error:
            found.faults.append(str(error))
            continue
        read.append(shots)
        _check_seed(shots, manifest, found)
        if dataset is not None and not (manifest is None and dataset.source.kind == "voc"):
            _check_boxes(shots, dataset, found)
        _check_held_out(shots.boxes, held_out, f"seed {seed}", found)
        if manifest is not None and set(manifest.layouts) == {"risf", "tfa"}:
            _check_other_layout(split.path, shots, manifest, found)
        if progress is not None:
            progress("checking", "seeds", place + 1, len(chosen))
    if not read:
        raise DataError(found.faults[-1])
    return CheckReport(
        split.path,
        tuple(shots.seed for shots in read),
        tuple(sorted({count for shots in read for count in shots.rows})),
        tuple(_counts(read)),
        tuple(found.faults),
        (*found.notes, *marks_in_words(read)),
    )


def _source(manifest: Manifest, dataset: AnnotatedDataset | None, found: _Findings) -> AnnotatedDataset | None:
    if dataset is None:
        try:
            dataset = read_dataset(manifest.kind, manifest.source_paths)
        except RisfError as error:
            found.faults.append(f"the source cannot be read: {error}")
            return None
    if dataset.source.sha256 != manifest.source_sha256:
        names = listing([str(path) for path in dataset.source.paths])
        found.faults.append(f"the source is not what the split was drawn from (its SHA-256 differs): {names}")
    return dataset


def _held_out(manifest: Manifest, found: _Findings) -> HeldOut | None:
    if manifest.held_out is None:
        return None
    try:
        held_out = read_held_out(manifest.held_out.path)
    except RisfError as error:
        found.faults.append(f"the held-out list cannot be read: {error}")
        return None
    if held_out.sha256 != manifest.held_out.sha256:
        found.faults.append(f"{held_out.path}: the held-out list has changed since the split was drawn")
    return held_out


def _check_base(split: SplitFolder, manifest: Manifest, held_out: HeldOut | None, found: _Findings) -> None:
    if not len(manifest.vocabulary.labels("base")) or "risf" not in manifest.layouts:
        return
    try:
        _check_held_out(split.base(), held_out, "the base set", found)
    except RisfError as error:
        found.faults.append(str(error))


def _check_held_out(boxes: AnnotatedDataset, held_out: HeldOut | None, what: str, found: _Findings) -> None:
    if held_out is None:
        return
    positions, _ = held_out.positions(boxes.images)
    if len(positions):
        ids = [boxes.images[position].image_id for position in positions.tolist()]
        found.faults.append(f"{what}: holds {counted(len(ids), 'test image')} (ids {listing(ids, most=3)})")


def _check_seed(shots: SeedShots, manifest: Manifest | None, found: _Findings) -> None:
    names = shots.boxes.vocabulary.names
    marked = {(mark.kind, mark.shots, name) for mark in shots.marks for name in mark.classes}
    for label, name in enumerate(names):
        by_count = {count: shots.rows[count][label].tolist() for count in sorted(shots.rows)}
        drawn = name in manifest.drawn_classes if manifest else any(by_count.values())
        below: list[int] = []
        for count, rows in by_count.items():
            what = f"seed {shots.seed}, class {name!r}, {counted(count, 'shot')}"
            published = manifest is None or ("published", count, name) in marked
            if drawn and not rows:
                found.faults.append(f"{what}: no box")
            elif drawn and len(rows) != count and not (len(rows) > count and ("at-least", count, name) in marked):
                found.faults.append(f"{what}: {counted(len(rows), 'box')}")
            if len(set(rows)) < len(rows) and ("repeated", count, name) not in marked:
                found.faults.append(f"{what}: a box is there twice")
            if Counter(below) - Counter(rows):
                place = found.notes if published else found.faults
                place.append(f"{what}: not all boxes of the next lower count are among them")
            below = rows


def _check_boxes(shots: SeedShots, dataset: AnnotatedDataset, found: _Findings) -> None:
    row_of = {annotation_id: row for row, annotation_id in enumerate(dataset.annotation_ids.tolist())}
    boxes = shots.boxes
    names, source_names = boxes.vocabulary.names, dataset.vocabulary.names
    wrong = []
    for row, annotation_id in enumerate(boxes.annotation_ids.tolist()):
        other = row_of.get(annotation_id)
        if (
            other is None
            or not np.array_equal(boxes.boxes_xywh[row], dataset.boxes_xywh[other])
            or names[boxes.labels[row]] != source_names[dataset.labels[other]]
            or boxes.images[boxes.image_positions[row]].image_id
            != dataset.images[dataset.image_positions[other]].image_id
        ):
            wrong.append(annotation_id)
    if wrong:
        found.faults.append(
            f"seed {shots.seed}: {counted(len(wrong), 'box')} not as in the source (ids {listing(wrong, most=3)})"
        )


def _check_other_layout(folder: Path, shots: SeedShots, manifest: Manifest, found: _Findings) -> None:
    """Whether the files in TFA's layout hold the same: the same boxes, or of VOC the images of all of them."""
    root = manifest.source_paths[0] if manifest.kind == "voc" else None
    try:
        classes = (manifest.vocabulary, manifest.novel_set)
        other = read_tfa_split(folder, seed=shots.seed, classes=classes, voc_root=root)
    except RisfError as error:
        found.faults.append(str(error))
        return
    for count, by_label in shots.rows.items():
        for label, rows in enumerate(by_label):
            theirs = other.rows[count][label] if count in other.rows else rows[:0]
            if manifest.kind == "voc":
                same = len(theirs) == len(rows)  # at counts outside the ladder the lists alone do not tell which boxes
            else:
                same = np.array_equal(shots.boxes.annotation_ids[rows], other.boxes.annotation_ids[theirs])
            if not same:
                name = manifest.vocabulary.names[label]
                what = f"seed {shots.seed}, class {name!r}, {counted(count, 'shot')}"
                found.faults.append(f"{what}: the two layouts differ")


def _counts(seeds: Sequence[SeedShots]) -> list[ClassCount]:
    vocabulary = seeds[0].boxes.vocabulary
    counted = []
    for label, name in enumerate(vocabulary.names):
        boxes: dict[int, tuple[int, int]] = {}
        for count in sorted({count for shots in seeds for count in shots.rows}):
            lengths = [len(shots.rows[count][label]) for shots in seeds if count in shots.rows]
            boxes[count] = (min(lengths), max(lengths))
        most = [shots.rows[max(shots.rows)][label] for shots in seeds]
        images = [len(np.unique(shots.boxes.image_positions[rows])) for shots, rows in zip(seeds, most, strict=True)]
        if any(len(rows) for rows in most):
            total = sum(len(rows) for rows in most)
            counted.append(
                ClassCount(
                    name, name in vocabulary.novel, boxes, sum(images) / len(images), total / max(sum(images), 1)
                )
            )
    return counted
