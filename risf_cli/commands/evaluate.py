"""`risf evaluate`: AP of detections against ground truth, several files side by side."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from risf_cli.options import Annotations, Boxes, CategoryIds, ImageIds, Json, Novel, OnUnmatched, Quiet, required
from risf_core.choices import EvaluatorName, Protocol
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.choices import Group
    from risf_core.evaluation import Aggregate, EvaluatedFile, GroundTruth


def evaluate(
    detections: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DETECTIONS", help="COCO detections files; - is stdin. The others are compared with the first."
        ),
    ] = None,
    *,
    annotations: Annotations = None,
    novel: Novel = None,
    protocol: Annotated[
        Protocol,
        typer.Option(metavar="NAME", help="coco, or voc: VOC2007's 11-point AP, boxes in pixels, difficult ignored."),
    ] = "coco",
    max_dets: Annotated[
        str | None,
        typer.Option(
            metavar="N[,N..]",
            help="Detections of an image and class that count: one AR each, AP at the last. 300 is short for 1,10,300. "
            "(default: 100; voc counts all)",
        ),
    ] = None,
    bootstrap: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, help="95 % intervals from N resamples of the images, the same for all files; try 1000."
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Seed of the resamples.")] = 0,
    aggregate: Annotated[
        bool,
        typer.Option("--aggregate", help="Take the files as runs of one setting (seeds): mean and 95 % interval."),
    ] = False,
    evaluator: Annotated[
        EvaluatorName,
        typer.Option(metavar="NAME", help="The library that computes: ultrafast or pycocotools, with the same values."),
    ] = "ultrafast",
    boxes: Boxes = "xywh",
    category_ids: CategoryIds = "dataset",
    image_ids: ImageIds = "dataset",
    on_unmatched: OnUnmatched = "error",
    per_class: Annotated[bool, typer.Option(help="Print the table of classes.")] = True,
    json_: Json = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON to a file as well.")] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures of each class as CSV.")] = None,
    quiet: Quiet = False,
) -> None:
    """AP of detections against ground truth by the COCO protocol, as pycocotools computes it, or by VOC's.

    Tables are in percent; JSON holds the values as they are, 0..1, and -1 where there is nothing to measure against.
    With --novel, bAP, nAP and so on stand for the base and the novel classes alone.

    Examples:

      risf evaluate detections.json --annotations instances_val.json

      risf evaluate before.json after.json --annotations instances_val.json --novel coco20

      risf evaluate before.json after.json --annotations instances_val.json --bootstrap 1000

      risf evaluate seed*.json --annotations instances_val.json --novel coco20 --aggregate --csv classes.csv

      risf predict --out - | risf evaluate - --annotations instances_val.json --json
    """
    import numpy as np

    from risf_cli.render import print_warnings, progress_of, say
    from risf_core.evaluation import EvaluatedFile, comparison_json, match, read_detections_for, read_ground_truth
    from risf_core.evaluation import aggregate as aggregate_of
    from risf_core.evaluation import bootstrap as intervals_of
    from risf_core.evaluation import evaluate as metrics_of
    from risf_core.evaluation.compare import LEVEL
    from risf_core.evaluation.results import write_aggregate_csv, write_class_csv
    from risf_core.files import STANDARD_STREAM, display_name, write_json
    from risf_core.formats.conventions import Conventions
    from risf_core.rescore.record import FITTED_TO_THESE, is_fitted_to
    from risf_core.vocabulary import novel_names

    print_warnings(quiet=quiet)
    if not detections:
        raise ConfigError("risf evaluate needs a detections file: risf evaluate detections.json (- is stdin)")
    if detections.count(STANDARD_STREAM) > 1:
        raise ConfigError("- (stdin) can be read once only; write the other detections to files")
    if aggregate and bootstrap:
        raise ConfigError("--aggregate is about runs and --bootstrap about images; choose one")
    if protocol == "voc" and max_dets is not None:
        raise ConfigError("--max-dets is COCO's; the voc protocol counts all detections")
    if str(csv) == STANDARD_STREAM:
        raise ConfigError(
            "--csv - is not written to stdout, where the tables go; name a file (--out - writes JSON there)"
        )
    annotations = required(annotations, "annotations", "evaluate")
    _check_outputs({"--out": out, "--csv": csv}, inputs=[*detections, annotations, novel])
    caps = _max_detections(max_dets or "100")
    truth = read_ground_truth(annotations)
    if novel is not None:
        truth = truth.with_vocabulary(truth.vocabulary.with_novel(novel_names(novel, truth.vocabulary)))

    results, matches = [], []
    for file in detections:
        table = read_detections_for(
            file, truth, conventions=Conventions(boxes, category_ids, image_ids), on_unmatched=on_unmatched
        )
        metrics = metrics_of(table, truth, protocol=protocol, max_detections=caps, evaluator=evaluator)
        results.append(EvaluatedFile(display_name(file), len(table), metrics))
        if is_fitted_to(file, annotations):
            say(f"warning: {display_name(file)}: {FITTED_TO_THESE}")
        if bootstrap:
            matches.append(match(table, truth, protocol=protocol, max_detections=caps))
    if bootstrap:
        with progress_of("bootstrap", "resamples", quiet=quiet) as progress:
            intervals = intervals_of(
                matches, truth.vocabulary, resamples=bootstrap, generator=np.random.default_rng(seed), progress=progress
            )
        results = [replace(file, bootstrapped=own) for file, own in zip(results, intervals, strict=True)]
    runs = aggregate_of([file.metrics for file in results]) if aggregate else None

    content: dict[str, Any] = {"annotations": str(annotations)}
    if protocol == "coco":
        content["max_dets"] = caps
    if bootstrap:
        content["bootstrap"] = {"resamples": bootstrap, "seed": seed, "level": LEVEL}
    content |= comparison_json(results, truth)
    if runs is not None:
        content["aggregate"] = runs.to_json()
    if csv is not None and runs is not None:
        write_aggregate_csv(csv, runs, truth)
    elif csv is not None:
        write_class_csv(csv, results, truth)
    if out is not None and str(out) != STANDARD_STREAM:
        write_json(out, content)
    if json_ or str(out) == STANDARD_STREAM:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print_tables(results, runs, truth, per_class=per_class, resamples=bootstrap)


def _check_outputs(outputs: Mapping[str, Path | None], *, inputs: Sequence[Path | str | None]) -> None:
    """Refuse, before the work, what cannot be written, what is read here, and one file for two outputs."""
    from risf_core.files import check_not_read, check_writable, is_stream

    # a list of novel names may be too long for a file's name; os.path takes it for none
    files = [path for path in inputs if path is not None and os.path.isfile(path)]
    named = {option: path for option, path in outputs.items() if path is not None and not is_stream(path)}
    for option, path in named.items():
        check_not_read(path, files, option=option)
        check_writable(path)
    if len(named) > len({path.resolve() for path in named.values()}):
        raise ConfigError(f"{' and '.join(named)} name the same file, {next(iter(named.values()))}; choose two names")


def _max_detections(text: str) -> list[int]:
    """The caps of --max-dets, ascending; a single one is the last of COCO's 1, 10, 100."""
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ConfigError(f"--max-dets takes whole numbers from 1 with commas, got {text!r}; COCO's are 1,10,100")
    caps = {int(number) for number in numbers}
    return sorted(caps if len(caps) > 1 else {cap for cap in (1, 10) if cap < max(caps)} | caps)


def _print_tables(
    results: Sequence[EvaluatedFile], runs: Aggregate | None, truth: GroundTruth, *, per_class: bool, resamples: int
) -> None:
    from risf_cli.metrics_tables import aggregate_class_table, aggregate_table, class_tables, overall_tables
    from risf_cli.render import console, print_table
    from risf_core.evaluation.compare import LEAST_IMAGES

    width = console().width
    groups: list[Group] = ["novel", "base"] if truth.vocabulary.novel else ["all"]
    for group in groups if per_class else []:
        labels = truth.vocabulary.labels(group)
        counted = labels[truth.boxes_per_class()[labels] > 0].tolist()
        title = f"AP by class: {group}, {len(counted)} of {len(labels)} classes have boxes"
        if counted and runs is not None:
            print_table(*aggregate_class_table(runs, truth, counted, width=width), title=title)
        elif counted:
            for number, table in enumerate(class_tables(results, truth, counted, width=width)):
                print_table(*table, title=None if number else title)
    if runs is None:
        for table in overall_tables(results, width=width):
            print_table(*table)
    else:
        print_table(*aggregate_table(runs))
        over = f"{runs.runs} runs (1.96 s / sqrt(n))" if runs.runs > 1 else "1 run: none, it takes two"
        typer.echo(f"mean ± 95 % interval of the mean over {over}")
    if resamples:
        typer.echo(f"± 95 % interval: paired bootstrap over {len(truth.images)} images, {resamples} resamples")
        if len(results) > 1:
            typer.echo("* the interval of the difference is without 0")
        if per_class and _without_interval(results[0], truth):
            typer.echo(f"± - a class with boxes in fewer than {LEAST_IMAGES} images has no interval")


def _without_interval(file: EvaluatedFile, truth: GroundTruth) -> bool:
    """Whether a class of the table, one that has boxes, has no interval."""
    from risf_core.evaluation.metrics import distinct_names

    own = file.bootstrapped.own.per_class if file.bootstrapped else {}
    counts = zip(distinct_names(truth.vocabulary), truth.boxes_per_class().tolist(), strict=True)
    return any(count and None in own[name].values() for name, count in counts)
