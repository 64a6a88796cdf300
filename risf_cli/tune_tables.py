"""What `risf tune` prints: the cross-validated figures, what the fit found, and the thresholds of the classes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from risf_cli.render import Column, print_line, print_table, say
from risf_core.errors import counted
from risf_core.evaluation.thresholds import Threshold, Wish
from risf_core.tuning import Tuned
from risf_core.tuning.budget import smallest_near_all
from risf_core.tuning.calibrating import Calibrated
from risf_core.tuning.fitting import Admission
from risf_core.tuning.tune import points

# The terms of a fusion (risf_core.rescore.fitted) as a person reads them
_TERM_NAMES = {
    "text": "log of the name's probability",
    "certainty": "its certainty (-log of the rest)",
    "background": "log of the background's probability",
    "rank": "rank of the name",
    "match": "log-odds that crop and name belong together",
    "support": "log of the shots' probability",
    "nearest": "log of the nearest shot's probability",
    "similarity": "similarity to the shots",
    "photo": "log of the name's probability for the photo",
    "added": "being of another class than the detector's",
    "quarters": "log of the name's probability for a quarter of the photo",
    "size": "size of the box",
    "novel": "being a novel class",
}


def print_tuned(tuned: Tuned | Calibrated, wish: Wish | None, out: Path, *, quiet: bool) -> None:
    """The figures, the fit and the verdict; then the thresholds that were wished for, and what to do with `out`."""
    if isinstance(tuned, Calibrated):
        _print_calibrated(tuned)
    else:
        _print_fusion(tuned)
    if tuned.thresholds is not None and wish is not None:
        print_table(*_threshold_table(tuned.thresholds, wish), title="thresholds, figures in percent")
    if not quiet and (isinstance(tuned, Calibrated) or tuned.fusion.terms):
        say(
            f"apply it, with the same options: risf rescore DETECTIONS ... --fusion {out}; evaluate it on other "
            "images: on those it was fitted to, only the table above is fair"
        )


def _print_fusion(tuned: Tuned) -> None:
    _print_table(tuned)
    for line in _weights(tuned):
        print_line(line)
    if tuned.budgets:
        curve = ", ".join(f"{point.passes:.1f}: {100 * point.ap:.2f}" for point in tuned.budgets)
        enough = smallest_near_all(tuned.budgets).budget
        advice = f"; --budget {enough} is within 0.5 AP of all" if enough is not None else ""
        print_line(f"AP by passes per photo: {curve}{advice}")
    print_line(f"verdict: {tuned.verdict}")


def _print_calibrated(calibrated: Calibrated) -> None:
    rows = [
        [name, f"{100 * calibrated.calibration_errors[name]:.2f}", f"{100 * error:.3f}"]
        for name, error in calibrated.squared_errors.items()
    ]
    over = f"{counted(calibrated.labels['images'], 'image')}, {counted(calibrated.folds, 'fold')}"
    title = f"cross-validation over {over}, in percent"
    print_table([Column("", text=True), Column("LaECE0"), Column("squared error")], [rows], title=title)
    print_line(f"verdict: {calibrated.verdict}")


def _print_table(tuned: Tuned) -> None:
    validation = tuned.cross_validation
    figures = sorted(validation.methods[0].figures, key="AP50".__eq__)  # AP and nAP first: 80 columns hold two
    columns = [Column("", text=True)]
    for figure in figures:
        columns += [Column(figure), Column("diff", change=True)]
    rows = []
    for method in validation.methods:
        row = [method.name]
        for figure in figures:
            change, reach = method.differences[figure], method.intervals.get(figure)
            text = "" if method is validation.methods[0] else points(change)
            if reach is not None:
                star = "*" if reach[0] > 0 or reach[1] < 0 else ""
                text = f"{star}{text}±{100 * max(reach[1] - change, change - reach[0]):.1f}"
            row += [f"{100 * method.figures[figure]:.2f}", text]
        rows.append(row)
    over = f"{counted(tuned.labels['images'], 'image')}, {counted(validation.folds, 'fold')}"
    title = f"cross-validation over {over}, differences ± 95 %"
    print_table(columns, [rows], title=title)
    if any(cell.startswith("*") for row in rows for cell in row):
        print_line("* the interval of the difference does not contain 0")


def _weights(tuned: Tuned) -> Iterator[str]:
    """What the fit found, in a few lines."""
    if tuned.texts is not None:
        aliases = [f"{name} is called {text!r}" for name, text in tuned.texts.aliases.items()]
        yield f"texts: {', '.join([*map(repr, tuned.texts.templates), *aliases])}"
    if tuned.fusion.terms:
        weights = ", ".join(f"{_TERM_NAMES[term.name]} x {term.weight:.2f}" for term in tuned.fusion.terms)
        yield f"fitted: log-odds of the score x {tuned.fusion.fused.slope:.2f}, {weights}"
    left_out = [_left_out(admission) for admission in tuned.admissions if not admission.admitted]
    if left_out:
        yield f"not used, no clear gain on held-out images (nats/image ± 95 %): {', '.join(left_out)}"


def _left_out(admission: Admission) -> str:
    names = " and ".join(_TERM_NAMES[term] for term in admission.terms)
    return f"{names} ({admission.gain:+.3f} ± {2 * admission.error:.3f})"


def _threshold_table(thresholds: Mapping[str, Threshold], wish: Wish) -> tuple[list[Column], list[list[list[str]]]]:
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
