"""`risf evaluate`: AP of detections against ground truth, several files side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from risf_cli.options import Annotations, Boxes, CategoryIds, ImageIds, Json, Novel, required
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.evaluation import EvaluatedFile, GroundTruth
    from risf_core.vocabulary import Group


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
    max_dets: Annotated[
        str,
        typer.Option(
            metavar="N[,N..]",
            help="Detections of an image and class that count: one AR each, AP at the last. 300 is short for 1,10,300.",
        ),
    ] = "100",
    evaluator: Annotated[
        Literal["ultrafast", "pycocotools"],
        typer.Option(metavar="NAME", help="The library that computes: ultrafast or pycocotools, with the same values."),
    ] = "ultrafast",
    boxes: Boxes = "xywh",
    category_ids: CategoryIds = "dataset",
    image_ids: ImageIds = "dataset",
    on_unmatched: Annotated[
        Literal["error", "skip"],
        typer.Option(
            metavar="WAY", help="Rows of images or categories that the annotations lack: error, or skip them."
        ),
    ] = "error",
    per_class: Annotated[bool, typer.Option(help="Print the table of classes.")] = True,
    json_: Json = False,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the JSON to a file as well.")] = None,
) -> None:
    """AP of detections against ground truth by the COCO protocol, as pycocotools computes it.

    Tables are in percent; JSON holds the values as they are, 0..1, and -1 where there is nothing to measure against.
    With --novel, bAP, nAP and so on stand for the base and the novel classes alone.

    Examples:

      risf evaluate detections.json --annotations instances_val.json

      risf evaluate before.json after.json --annotations instances_val.json --novel coco20

      risf rescore detections.json ... | risf evaluate - --annotations instances_val.json --json
    """
    from risf_cli.render import print_warnings
    from risf_core.evaluation import EvaluatedFile, comparison_json, read_detections_for, read_ground_truth
    from risf_core.evaluation import evaluate as metrics_of
    from risf_core.files import STANDARD_STREAM, display_name, write_json
    from risf_core.vocabulary import novel_names

    print_warnings()
    if not detections:
        raise ConfigError("risf evaluate needs a detections file: risf evaluate detections.json (- is stdin)")
    if detections.count(STANDARD_STREAM) > 1:
        raise ConfigError("- (stdin) can be read once only; write the other detections to files")
    annotations = required(annotations, "annotations", "evaluate")
    caps = _max_detections(max_dets)
    truth = read_ground_truth(annotations)
    if novel is not None:
        truth = truth.with_vocabulary(truth.vocabulary.with_novel(novel_names(novel, truth.vocabulary)))

    results = []
    for file in detections:
        table = read_detections_for(
            file, truth, boxes=boxes, category_ids=category_ids, image_ids=image_ids, on_unmatched=on_unmatched
        )
        metrics = metrics_of(table, truth, max_detections=caps, evaluator=evaluator)
        results.append(EvaluatedFile(display_name(file), len(table), metrics))

    content = {"annotations": str(annotations), "max_dets": caps, **comparison_json(results, truth)}
    if out is not None and str(out) != STANDARD_STREAM:
        write_json(out, content)
    if json_ or str(out) == STANDARD_STREAM:
        typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        _print_tables(results, truth, per_class=per_class)


def _max_detections(text: str) -> list[int]:
    """The caps of --max-dets, ascending; a single one is the last of COCO's 1, 10, 100."""
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isdecimal() and int(number) > 0 for number in numbers):
        raise ConfigError(f"--max-dets takes whole numbers from 1 with commas, got {text!r}; COCO's are 1,10,100")
    caps = {int(number) for number in numbers}
    return sorted(caps if len(caps) > 1 else {cap for cap in (1, 10) if cap < max(caps)} | caps)


def _print_tables(results: Sequence[EvaluatedFile], truth: GroundTruth, *, per_class: bool) -> None:
    from risf_cli.metrics_tables import class_table, overall_table
    from risf_cli.render import console, print_table

    if per_class:
        groups: list[Group] = ["novel", "base"] if truth.vocabulary.novel else ["all"]
        for group in groups:
            labels = truth.vocabulary.labels(group)
            counted = labels[truth.boxes_per_class()[labels] > 0]
            title = f"AP by class: {group}, {len(counted)} of {len(labels)} classes have boxes"
            if len(counted):
                print_table(*class_table(results, truth, counted.tolist(), width=console().width), title=title)
    print_table(*overall_table(results))
