"""The table of thresholds that `risf tune` prints: which score of each class to keep, and what that is to do."""

from __future__ import annotations

from collections.abc import Mapping

from risf_cli.render import Column
from risf_core.evaluation.thresholds import Threshold, Wish


def threshold_table(thresholds: Mapping[str, Threshold], wish: Wish) -> tuple[list[Column], list[list[list[str]]]]:
    """One row per class with labelled boxes or rows, "-" where these are too few to state a figure; then the sums."""
    rows = []
    for name, threshold in thresholds.items():
        if threshold.boxes or threshold.rows:
            value = "-" if threshold.value is None else f"{100 * threshold.value:.0f}"
            if threshold.interval is not None:
                low, high = threshold.interval
                value += f" ({100 * low:.0f} to {100 * high:.0f})"
            found = [str(threshold.rows), str(threshold.right), str(threshold.boxes)]
            rows.append([name, f"{threshold.score:.3f}", value, *found])
    kept = [(threshold.rows, threshold.right, threshold.boxes) for threshold in thresholds.values()]
    together = ["together", "", "", *(str(sum(column)) for column in zip(*kept, strict=True))]
    heads = ("from score", f"{wish.figure} (95 %)", "keeps", "right", "boxes")
    return [Column("class", text=True), *map(Column, heads)], [rows, [together]]
