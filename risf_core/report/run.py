"""The whole job of `risf report`: two files of detections in, one HTML page out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from risf_core.choices import DEFAULT_BOOTSTRAP
from risf_core.evaluation import read_detections_for, read_ground_truth
from risf_core.evaluation.plausible import require_boxes
from risf_core.files import display_name, open_output
from risf_core.formats.conventions import Conventions
from risf_core.outputs import check_outputs
from risf_core.progress import Progress
from risf_core.report.comparison import Comparison, compare_files
from risf_core.report.gallery import Gallery, build_gallery
from risf_core.report.page import render_page
from risf_core.rescore.record import FITTED_TO_THESE, Record, fitted_to, names_other_input, read_record, value_at


@dataclass(frozen=True)
class ReportSettings:
    """What the page shows."""

    pictures: int = 8  # of each kind
    threshold: float = 0.5  # the score from which on a detection counts as kept
    bootstrap: int = DEFAULT_BOOTSTRAP  # resamples of the images; 0: no intervals
    seed: int = 0  # of the resamples


@dataclass(frozen=True)
class Report:
    """What was written, and what a reader of the figures must know."""

    page: str
    comparison: Comparison
    gallery: Gallery
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf report --json` prints: the figures of the page, and what it shows of the detections that moved."""
        names = self.comparison.truth.vocabulary.names
        moved = {
            kind: {"count": own.count, "shown": [row.to_json(names) for row in own.rows]}
            for kind, own in self.gallery.moved.items()
        }
        absent = {str(image_id): why for image_id, why in self.gallery.absent.items()}
        return {"page": self.page, **self.comparison.to_json(), "moved": moved, "images_without_picture": absent}


def write_report(
    before: Path | str,
    after: Path | str,
    out: Path | str = "report.html",
    *,
    annotations: Path,
    images: Sequence[Path] = (),
    novel: str | None = None,
    settings: ReportSettings | None = None,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "drop"] = "error",
    progress: Progress | None = None,
) -> Report:
    """Write the page that compares BEFORE and AFTER (``-``: stdin, or for `out` stdout).

    `images` are folders of photos; `novel` and `conventions` are as `evaluate_files` has them.
    """
    settings = settings or ReportSettings()
    record = read_record(after)
    fusion = value_at(record or {}, "inputs", "fusion", "path")
    records = [f"{file}.record.json" for file in (before, after)]
    check_outputs({"out": out}, inputs=[before, after, *records, str(fusion), annotations, novel, *images])
    truth = read_ground_truth(annotations)
    require_boxes(truth, protocol="coco", name=display_name(annotations))
    truth = truth.with_vocabulary(truth.vocabulary.with_novel_choice(novel))
    first, second = (
        read_detections_for(file, truth, conventions=conventions, on_unmatched=on_unmatched).detections
        for file in (before, after)
    )
    names = (display_name(before), display_name(after))
    comparison = compare_files(
        first,
        second,
        truth,
        names=names,
        threshold=settings.threshold,
        resamples=settings.bootstrap,
        generator=np.random.default_rng(settings.seed),
        progress=progress,
    )
    gallery = build_gallery(comparison, images=images, most=settings.pictures)
    notes = [] if record is None else _notes(record, before, after, annotations)
    page = render_page(
        comparison,
        gallery,
        annotations=str(annotations),
        record=record,
        own_settings={
            "before": names[0],
            "after": names[1],
            "annotations": annotations,
            "images": ", ".join(map(str, images)) or "none",
            "novel": novel or "none",
            "threshold": f"{settings.threshold:g}",
            "bootstrap": settings.bootstrap,
            "seed": settings.seed,
            "pictures of each kind": settings.pictures,
        },
        notes=notes,
        flattered=record is not None and fitted_to(record, annotations) is True,
    )
    with open_output(out) as handle:
        handle.write(page)
    return Report(str(out), comparison, gallery, notes)


def _notes(record: Record, before: Path | str, after: Path | str, annotations: Path) -> list[str]:
    """What the record states that a reader of the figures must know."""
    notes = []
    if names_other_input(record, before):
        notes.append(
            f"By its record, {display_name(after)} was not made from {display_name(before)} but from another file."
        )
    same = fitted_to(record, annotations)
    if same:
        notes.append(f"{FITTED_TO_THESE[0].upper()}{FITTED_TO_THESE[1:]}.")
    elif same is None:
        notes.append("The fusion was fitted to labelled images; figures on those images would flatter it.")
    return notes
