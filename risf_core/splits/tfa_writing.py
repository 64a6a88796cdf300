"""Writing TFA's folders of splits: the files of cocosplit and vocsplit, as their readers want them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import CocoRows, read_coco_rows
from risf_core.errors import DataError
from risf_core.splits.split import ClassShots

Drawn = Mapping[int, Mapping[int, ClassShots]]  # seed -> label -> shots
OnFile = Callable[[int, int], None]  # files written, files in all


def write_tfa_split(
    folder: Path,
    dataset: AnnotatedDataset,
    drawn: Drawn,
    *,
    shots: Sequence[int],
    labels: Sequence[int],
    on_file: OnFile | None = None,
) -> None:
    """Writes ``seed{n}/`` for each seed: COCO's JSON, one per class and shot count, or VOC's lists."""
    names = dataset.vocabulary.names
    unfit = [names[label] for label in labels if {"/", "\\", "\0"} & set(names[label])]
    if unfit:
        raise DataError(f"class {unfit[0]!r} cannot be part of a file name, as `layout=tfa` needs; use `layout=risf`")
    render = _voc_renderer(dataset) if dataset.source.kind == "voc" else _coco_renderer(dataset, drawn)
    total = len(drawn) * len(labels) * len(shots)
    count = 0
    for seed, by_label in drawn.items():
        place = folder / f"seed{seed}"
        place.mkdir(parents=True)
        for label in labels:
            for shot_count in shots:
                name, text = render(by_label[label], names[label], shot_count)
                (place / name).write_text(text, encoding="utf-8", newline="\n")
                count += 1
                if on_file is not None:
                    on_file(count, total)


def write_tfa_datasets(folder: Path, dataset: AnnotatedDataset, *, held_out: Path | None) -> None:
    """Writes ``datasplit/``: the training images without the held-out ones, and the held-out list as it is.

    TFA's readers take base training from there. Masks are left out: no reader of boxes looks at them.
    """
    place = folder / "datasplit"
    place.mkdir(parents=True)
    vocabulary = dataset.vocabulary
    content = {
        "info": {},
        "licenses": [],
        "images": [_image(dataset, position) for position in range(len(dataset.images))],
        "annotations": [_annotation(dataset, row) for row in range(len(dataset))],
        "categories": _categories(vocabulary.names, vocabulary.category_ids),
    }
    (place / "trainvalno5k.json").write_text(json.dumps(content), encoding="utf-8", newline="\n")
    if held_out is not None:
        (place / "5k.json").write_bytes(held_out.read_bytes())


Renderer = Callable[[ClassShots, str, int], tuple[str, str]]  # -> file name, content


def _voc_renderer(dataset: AnnotatedDataset) -> Renderer:
    def render(shots: ClassShots, name: str, count: int) -> tuple[str, str]:
        lines = [dataset.listed_paths[position] for position in shots.listed_images[count].tolist()]
        return f"box_{count}shot_{name}_train.txt", "\n".join(lines) + "\n"

    return render


def _coco_renderer(dataset: AnnotatedDataset, drawn: Drawn) -> Renderer:
    rows = _whole_rows(dataset, drawn) if dataset.source.kind == "coco" else None
    categories = rows.categories if rows else _categories(dataset.vocabulary.names, dataset.vocabulary.category_ids)
    frame = {"info": rows.info if rows else {}, "licenses": rows.licenses if rows else []}
    tail = json.dumps(categories, ensure_ascii=False)
    head = json.dumps(frame, ensure_ascii=False)[:-1]

    def render(shots: ClassShots, name: str, count: int) -> tuple[str, str]:
        images = [_image(dataset, position, rows) for position in shots.listed_images[count].tolist()]
        annotations = [_annotation(dataset, row, rows) for row in shots.rows[count].tolist()]
        body = json.dumps({"images": images, "annotations": annotations}, ensure_ascii=False)[1:-1]
        return f"full_box_{count}shot_{name}_trainval.json", f'{head}, {body}, "categories": {tail}}}\n'

    return render


def _whole_rows(dataset: AnnotatedDataset, drawn: Drawn) -> CocoRows:
    used = [rows for by_label in drawn.values() for shots in by_label.values() for rows in shots.rows.values()]
    return read_coco_rows(dataset, np.unique(np.concatenate(used)).tolist() if used else [])


def _image(dataset: AnnotatedDataset, position: int, rows: CocoRows | None = None) -> Mapping[str, Any]:
    info = dataset.images[position]
    if rows is not None:
        return rows.images[info.image_id]
    return {"id": info.image_id, "file_name": info.file_name, "height": info.height, "width": info.width}


def _annotation(dataset: AnnotatedDataset, row: int, rows: CocoRows | None = None) -> dict[str, Any]:
    box = dataset.boxes_xywh[row].tolist()
    ids = {
        "id": int(dataset.annotation_ids[row]),
        "image_id": dataset.images[int(dataset.image_positions[row])].image_id,
    }
    if rows is not None:  # with its mask and whatever else the file holds; ids as the joined files have them
        return {**rows.annotations[int(dataset.file_rows[row])], **ids}
    category_id = dataset.vocabulary.category_ids[int(dataset.labels[row])]
    crowd = int(dataset.crowd[row])
    return {**ids, "category_id": category_id, "bbox": box, "area": box[2] * box[3], "iscrowd": crowd}


def _categories(names: Sequence[str], category_ids: Sequence[int]) -> list[dict[str, Any]]:
    return [{"id": category_id, "name": name} for name, category_id in zip(names, category_ids, strict=True)]
