"""The page's charts from a comparison, as the JSON that plotly.js draws."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from risf_core.evaluation.metrics import GROUP_PREFIXES, group_labels
from risf_core.report import charts
from risf_core.report.comparison import Comparison
from risf_core.report.curves import SHOWN_AT
from risf_core.report.tables import FigureRow, percent

MOST_BARS = 24  # classes that a chart of bars can show; the table has all
_IOU = {"AP50": "IoU .50", "AP75": "IoU .75", "AP": "mean of IoU .50 to .95"}


def build_charts(comparison: Comparison, rows: Sequence[FigureRow]) -> dict[str, Any]:
    """What the template wants of charts: `figures` and `heights` by id, and the curves of every choice.

    `rows` are the classes that have boxes, the largest change first.
    """
    figures: dict[str, Any] = {}  # Any: plotly's figures
    if rows:
        figures["classes"] = _class_bars(comparison, rows[:MOST_BARS])
    curves = _curves(comparison, [row.name for row in rows[:MOST_BARS]]) if rows else []
    if curves:
        for name in SHOWN_AT:
            first = curves[0]["figures"][name]
            figures[f"curve-{name}"] = charts.precision_recall(np.array(first["before"]), np.array(first["after"]))
    most = max(int(counts.max()) for file in comparison.files for counts in (file.histogram.true, file.histogram.false))
    for side, file, colour in zip(("before", "after"), comparison.files, (charts.BEFORE, charts.AFTER), strict=True):
        figures[f"histogram-{side}"] = charts.score_histogram(file.histogram, most=most)
        figures[f"reliability-{side}"] = charts.reliability_diagram(file.reliability, colour=colour)
    return {
        "figures": {name: script_json(figure.to_json()) for name, figure in figures.items()},
        "heights": {name: int(figure.layout.height) for name, figure in figures.items()},
        "curve_names": [own["name"] for own in curves],
        "curve_titles": {name: shown["title"] for name, shown in curves[0]["figures"].items()} if curves else {},
        "curves_json": script_json(json.dumps(curves, separators=(",", ":"))),
    }


def script_json(text: str) -> Markup:
    """JSON that is safe inside a script element: nothing in it can end the element or begin a comment."""
    escaped = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
    return Markup(re.sub("[<>&\u2028\u2029]", lambda found: escaped[found.group()], text))


def _class_bars(comparison: Comparison, rows: Sequence[FigureRow]) -> Any:  # Any: plotly's figure
    before, after = (file.evaluated.metrics.per_class for file in comparison.files)
    return charts.class_bars(
        [row.name for row in rows],
        [100 * before[row.name]["AP"] for row in rows],
        [100 * after[row.name]["AP"] for row in rows],
        notes=[f" (change {row.change.text}, {row.boxes} boxes)" for row in rows],
    )


def _curves(comparison: Comparison, names: Sequence[str]) -> list[dict[str, Any]]:
    """The curves of all classes, of base and novel ones, and of some classes alone."""
    vocabulary = comparison.truth.vocabulary
    every = vocabulary.names
    label_of = {name: label for label, name in enumerate(every)}
    choices: dict[str, NDArray[np.int64]] = {"all classes": vocabulary.labels()}
    choices |= {f"{group} classes": labels for group, labels in group_labels(vocabulary).items()}
    prefixes = {"all classes": "", **{f"{group} classes": GROUP_PREFIXES[group] for group in group_labels(vocabulary)}}
    if len(names) > 1:
        choices |= {name: np.array([label_of[name]]) for name in names}
    curves = []
    for name, labels in choices.items():
        first, second = (file.precision_recall.mean_over(labels) for file in comparison.files)
        if first["AP"] is not None:
            shown = {key: _shown(key, first, second, prefixes.get(name, "")) for key in SHOWN_AT}
            curves.append({"name": name, "figures": shown})
    return curves


def _shown(
    key: str,
    before: Mapping[str, NDArray[np.float64] | None],
    after: Mapping[str, NDArray[np.float64] | None],
    prefix: str,
) -> dict[str, Any]:
    first, second = before[key], after[key]
    assert first is not None
    assert second is not None  # both measure against the same boxes
    return {
        "title": f"{_IOU[key]}: {prefix}{key} {percent(float(first.mean()))} → {percent(float(second.mean()))}",
        "before": first.round(4).tolist(),
        "after": second.round(4).tolist(),
    }
