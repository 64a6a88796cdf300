"""The page itself: one HTML file with its pictures, charts and scripts inside, which loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from risf_core.evaluation.compare import LEAST_IMAGES
from risf_core.report.cards import build_cards, missing_note, names_note, pairs_note
from risf_core.report.comparison import Comparison
from risf_core.report.gallery import Gallery
from risf_core.report.record_sections import record_sections
from risf_core.report.tables import class_rows, errors_of, flows_of, kept_columns, percent, summary_of, verdict_of
from risf_core.rescore.record import Record


def render_page(
    comparison: Comparison,
    gallery: Gallery,
    *,
    annotations: str,
    record: Record | None,
    own_settings: Mapping[str, object],
    notes: Sequence[str] = (),
    flattered: bool = False,
) -> str:
    """The whole page. `notes` are sentences that a reader must not miss; `own_settings` are those of the report.

    `flattered`: AFTER's scores were fitted to these very images, so that they cannot show that it is better.
    """
    import jinja2
    from markupsafe import Markup

    from risf_core.report import charts
    from risf_core.report.page_charts import MOST_BARS, build_charts

    rows = class_rows(comparison)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("risf_core.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    context = {
        **_head(comparison, annotations=annotations, notes=notes, flattered=flattered),
        "summary": summary_of(comparison),
        "interval_note": _interval_note(comparison),
        "errors": errors_of(comparison),
        "class_rows": rows,
        "classes_note": _classes_note(len(rows), MOST_BARS, intervals=bool(comparison.resamples)),
        **build_charts(comparison, rows),
        **_calibration(comparison),
        **_threshold(comparison, gallery),
        "pairs_note": pairs_note(comparison),
        "kinds": build_cards(comparison, gallery, record=record),
        "names_note": names_note(gallery),
        "missing_note": missing_note(comparison, gallery),
        "settings": record_sections(record) if record is not None else [],
        "settings_note": _settings_note(record),
        "own_settings": [(name, str(value)) for name, value in own_settings.items()],
        "library": Markup(charts.library()),
    }
    return environment.get_template("report.html.jinja").render(context)


def _head(comparison: Comparison, *, annotations: str, notes: Sequence[str], flattered: bool) -> dict[str, Any]:
    truth = comparison.truth
    boxes = int(truth.boxes_per_class().sum())
    rows = [file.evaluated.rows for file in comparison.files]
    found = f"{rows[0]:,} detections" if rows[0] == rows[1] else f"{rows[0]:,} and {rows[1]:,} detections"
    return {
        "before": _shown_name(comparison.before.name),
        "after": _shown_name(comparison.after.name),
        "annotations": _shown_name(annotations),
        "facts": f"{found}, {len(truth.images):,} images with {boxes:,} boxes of {len(truth.vocabulary):,} classes",
        "verdict": verdict_of(comparison, flattered=flattered),
        "notes": list(notes),
    }


def _calibration(comparison: Comparison) -> dict[str, Any]:
    titles = [
        f"{side}: ECE {percent(file.reliability.error, 1)} % over {int(file.reliability.counts.sum()):,} detections"
        for side, file in zip(("before", "after"), comparison.files, strict=True)
    ]
    note = ""
    if comparison.changed is not None:
        first, second = comparison.changed
        note = (
            f"Of the {int(first.counts.sum()):,} detections whose score changed alone: ECE {percent(first.error, 1)} % "
            f"before, {percent(second.error, 1)} % after."
        )
    return {"reliability_titles": titles, "changed_note": note}


def _threshold(comparison: Comparison, gallery: Gallery) -> dict[str, Any]:
    as_many = comparison.kept_as_many
    note = ""
    if as_many is not None:
        note = (
            "If all scores moved, the same threshold keeps another number of detections; the last column therefore "
            f"cuts AFTER at {as_many.threshold:.3g}, where it keeps as many detections as BEFORE."
        )
    return {
        "threshold": f"{comparison.before.kept.threshold:g}",
        "kept": kept_columns(comparison),
        "as_many_note": note,
        "flows": flows_of(gallery.moved) if len(comparison.pairs) else [],
    }


def _interval_note(comparison: Comparison) -> str:
    if not comparison.resamples:
        return "No intervals were computed (--bootstrap N does)."
    return (
        f"± is the 95 % interval of the change, from a paired bootstrap over {len(comparison.truth.images):,} images "
        f"({comparison.resamples:,} resamples); coloured changes have an interval that does not contain 0."
    )


def _classes_note(count: int, most: int, *, intervals: bool) -> str:
    shown = "AP of each class that has boxes, the largest change first."
    if count > most:
        shown = f"AP of the {most} classes that changed most, of {count:,} with boxes; the table has all."
    few = f" Classes with boxes in fewer than {LEAST_IMAGES} images have no interval." if intervals else ""
    return shown + few


def _settings_note(record: Record | None) -> str:
    if record is None:
        return (
            "There is no record of AFTER (AFTER.record.json), so it is not known how AFTER was made; risf rescore "
            "--out FILE writes one."
        )
    return "From the record of AFTER (AFTER.record.json)."


def _shown_name(path: str) -> str:
    return PurePath(path).name or path
