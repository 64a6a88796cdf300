"""`risf evaluate`: AP of detections against ground truth, several files next to each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from risf_cli.option_values import conventions_of, required
from risf_cli.options import (
    Annotations,
    Boxes,
    CategoryIds,
    Format,
    ImageIds,
    Json,
    Novel,
    OnUnmatched,
    Quiet,
    Rename,
)
from risf_core.choices import EvaluatorName, Protocol
from risf_core.errors import ConfigError, counted

if TYPE_CHECKING:
    from risf_core.choices import Group
    from risf_core.datasets.annotated import AnnotatedDataset
    from risf_core.evaluation import EvaluatedFile, Evaluation


def evaluate(
    detections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DETECTIONS",
            help="Detections in any format (docs/formats.md); - is stdin. The others are compared with the first.",
        ),
    ] = None,
    *,
    annotations: Annotations = None,
    datasets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML list of data sets (name, annotations, detections, novel) instead: a table with their mean; with "
            "--aggregate several detections files each, over which the mean is taken.",
        ),
    ] = None,
    novel: Novel = None,
    protocol: Annotated[
        Protocol,
        typer.Option(metavar="NAME", help="coco, or voc: VOC2007's 11-point AP, difficult boxes ignored."),
    ] = "coco",
    max_dets: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N..]",
            help="Detections per image and class that count: an AR for each number, AP at the last; 300 means "
            "1,10,300. (default: 100; voc counts all)",
        ),
    ] = None,
    bootstrap: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="95 % intervals from N resamples of the images, the same for all files; 0: none. "
            "(default: 1000 if files are compared)",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the resamples.")] = 0,
    aggregate: Annotated[
        bool,
        typer.Option(
            "--aggregate", help="Treat the files as runs of one setting (seeds): print mean and 95 % interval."
        ),
    ] = False,
    evaluator: Annotated[
        EvaluatorName,
        typer.Option(metavar="NAME", help="Library to use: ultrafast or pycocotools; both give the same values."),
    ] = "ultrafast",
    format: Format = None,
    boxes: Boxes = None,
    category_ids: CategoryIds = None,
    image_ids: ImageIds = None,
    rename: Rename = None,
    on_unmatched: OnUnmatched = "error",
    per_class: Annotated[bool, typer.Option(help="Also print a table of classes.")] = False,
    all_metrics: Annotated[
        bool, typer.Option("--all-metrics", help="Also print AP by size of box, and AR. (always in the JSON)")
    ] = False,
    errors: Annotated[
        bool,
        typer.Option(
            "--errors",
            help="Also show what costs AP (classes, boxes, duplicates, background, missed objects), and what other "
            "scores could reach.",
        ),
    ] = False,
    json_: Json = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Also write the JSON to a file.")] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the metrics of each class as CSV.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compute AP of detections against ground truth by COCO's protocol, exactly as pycocotools, or by VOC's.

    Tables are in percent. JSON values are in 0..1, and -1 where there is nothing to measure against. With --novel, bAP
    and nAP are AP of the base and of the novel classes alone.

    Examples:

      risf evaluate detections.json --annotations instances_val.json

      risf evaluate before.json after.json --annotations instances_val.json --novel coco20

      risf evaluate before.json after.json --annotations instances_val.json --per-class --all-metrics

      risf evaluate detections.json --annotations instances_val.json --errors

      risf evaluate seed*.json --annotations instances_val.json --novel coco20 --aggregate --csv classes.csv

      risf evaluate --datasets sets.yaml --aggregate

      risf evaluate runs/predict/labels --annotations data/dataset.json

      risf predict --out - | risf evaluate - --annotations instances_val.json --json
    """
    from risf_cli.metrics_tables import data_set_table
    from risf_cli.render import print_json, print_table, print_warnings, progress_of
    from risf_core.evaluation import EvaluationSettings, evaluate_files
    from risf_core.evaluation.data_sets import evaluate_data_sets
    from risf_core.files import STANDARD_STREAM

    print_warnings(quiet=quiet)
    settings = EvaluationSettings(protocol, _max_detections(max_dets), bootstrap, seed, aggregate, evaluator, errors)
    conventions = conventions_of(format, boxes, category_ids, image_ids, rename)
    if datasets is not None:
        if detections or csv is not None or errors or per_class or bootstrap:
            raise ConfigError(
                "--datasets names detections itself and prints one table; leave out detections files, --csv, --errors, "
                "--per-class and --bootstrap"
            )
        several = evaluate_data_sets(
            datasets, novel=novel, settings=settings, conventions=conventions, on_unmatched=on_unmatched, out=out
        )
        for own in several.sets:
            _warn_of_own_fits(own.detections, own.annotations)
        if json_ or str(out) == STANDARD_STREAM:
            print_json(several.to_json())
        else:
            print_table(*data_set_table(several, all_metrics=all_metrics))
        return
    files, truth_file = _checked_files(detections, csv), required(annotations, "annotations", "evaluate")
    with progress_of("bootstrap", "resamples", quiet=quiet) as progress:
        evaluation = evaluate_files(
            files,
            annotations=truth_file,
            novel=novel,
            settings=settings,
            conventions=conventions,
            on_unmatched=on_unmatched,
            out=out,
            csv=csv,
            progress=progress,
        )
    _warn_of_own_fits(files, truth_file)
    if json_ or str(out) == STANDARD_STREAM:
        print_json(evaluation.to_json())
    else:
        _print_tables(evaluation, per_class=per_class, all_metrics=all_metrics)


def _checked_files(detections: Sequence[str] | None, csv: Path | None) -> Sequence[str]:
    """The files of detections. Refuses none at all, and a CSV on stdout."""
    from risf_core.files import STANDARD_STREAM

    if not detections:
        raise ConfigError("risf evaluate needs a detections file: risf evaluate detections.json (- is stdin)")
    if str(csv) == STANDARD_STREAM:
        raise ConfigError(
            "--csv - is not written to stdout, where the tables go; name a file (--out - writes JSON there)"
        )
    return detections


def _warn_of_own_fits(detections: Sequence[Path | str], annotations: Path) -> None:
    """Warn of files whose fusion was fitted to the annotations that they are measured against."""
    from risf_cli.render import say
    from risf_core.files import display_name
    from risf_core.rescore.record import FITTED_TO_THESE, is_fitted_to

    for file in detections:
        if is_fitted_to(file, annotations):
            say(f"warning: {display_name(file)}: {FITTED_TO_THESE}")


def _max_detections(text: str | None) -> list[int] | None:
    """The caps of --max-dets."""
    if text is None:
        return None
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ConfigError(f"--max-dets takes whole numbers from 1 with commas, got {text!r}; COCO's are 1,10,100")
    return [int(number) for number in numbers]


def _print_tables(evaluation: Evaluation, *, per_class: bool, all_metrics: bool) -> None:
    from risf_cli.metrics_tables import aggregate_table, error_table, overall_tables
    from risf_cli.render import console, print_line, print_table

    truth, results, runs = evaluation.truth, evaluation.files, evaluation.runs
    if runs is None:
        for table in overall_tables(results, width=console().width, all_metrics=all_metrics):
            print_table(*table)
    else:
        print_table(*aggregate_table(runs, all_metrics=all_metrics))
        over = f"{runs.runs} runs (1.96 s / sqrt(n))" if runs.runs > 1 else "1 run: none, two are needed"
        print_line(f"mean ± 95 % interval of the mean over {over}")
    if evaluation.resamples:
        print_line(
            f"± 95 % interval: paired bootstrap over {counted(len(truth.images), 'image')}, "
            f"{counted(evaluation.resamples, 'resample')}"
        )
        if len(results) > 1:
            print_line("* the interval of the difference does not contain 0")
    for file in results:
        if file.errors is not None:
            print_table(*error_table(file.errors), title=f"What costs {file.name} AP50")
            print_line(f"{file.errors.sentence('n' if truth.vocabulary.novel else '')}")
    if per_class:
        _print_classes(evaluation)


def _print_classes(evaluation: Evaluation) -> None:
    from risf_cli.metrics_tables import aggregate_class_table, class_tables
    from risf_cli.render import console, print_line, print_table
    from risf_core.evaluation.compare import LEAST_IMAGES

    truth, results, runs = evaluation.truth, evaluation.files, evaluation.runs
    width = console().width
    groups: list[Group] = ["novel", "base"] if truth.vocabulary.novel else ["all"]
    for group in groups:
        labels = truth.vocabulary.labels(group)
        counted = labels[truth.boxes_per_class()[labels] > 0].tolist()
        title = f"AP by class: {group}, {len(counted)} of {len(labels)} classes have boxes"
        if counted and runs is not None:
            print_table(*aggregate_class_table(runs, truth, counted, width=width), title=title)
        elif counted:
            for number, table in enumerate(class_tables(results, truth, counted, width=width)):
                print_table(*table, title=None if number else title)
    if evaluation.resamples and _without_interval(results[0], truth):
        print_line(f"± - a class with boxes in fewer than {LEAST_IMAGES} images has no interval")


def _without_interval(file: EvaluatedFile, truth: AnnotatedDataset) -> bool:
    """Whether a class of the table, one that has boxes, has no interval."""

    own = file.bootstrapped.own.per_class if file.bootstrapped else {}
    counts = zip(truth.vocabulary.names, truth.boxes_per_class().tolist(), strict=True)
    return any(count and None in own[name].values() for name, count in counts)
