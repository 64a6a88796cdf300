"""Detections that torch.save wrote: torchvision's list or dict of results, detectron2's instances_predictions.pth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from risf_core.errors import DataError
from risf_core.files import atomic_writer
from risf_core.formats.coco_forms import rows_of_nested
from risf_core.formats.form import LIKELY, NO, SURE, Form, Output, refuse_stdout
from risf_core.formats.from_torchvision import to_torchvision
from risf_core.formats.per_photo import rows_of_photos
from risf_core.formats.pickled import is_torch_file, load_pickled
from risf_core.formats.rows import PhotoKey, Rows
from risf_core.formats.source import Source


def _read_torchvision(source: Source) -> Rows:
    content = load_pickled(source)
    _refuse_eval(content, source.name)
    if isinstance(content, dict) and not isinstance(content.get("boxes"), list) and "boxes" not in content:
        photos = [PhotoKey(None, key) if type(key) is int else PhotoKey(str(key)) for key in content]
        entries, by_position = list(content.values()), False
    elif isinstance(content, list):
        own = [entry.get("image_id") if isinstance(entry, dict) else None for entry in content]
        by_position = any(image_id is None for image_id in own)
        photos = [PhotoKey(None, i if by_position else _plain(own[i])) for i in range(len(content))]
        entries = content
    else:
        raise DataError(f"{source.name}: holds {type(content).__name__}, not a list or a dict with a result per photo")
    return rows_of_photos(
        photos,
        entries,
        source.name,
        box_convention="xyxy",
        category_ids=None,
        photos_by_position=by_position,
        notes=("the file names no photos: they were counted in the order of the annotations",) if by_position else (),
    )


def _plain(image_id: Any) -> Any:  # Any: a tensor of one number, a number or a text
    return image_id.item() if hasattr(image_id, "item") else image_id


def _read_detectron2(source: Source) -> Rows:
    return rows_of_nested(load_pickled(source), source.name, category_ids="positions")


def _refuse_eval(content: object, name: str) -> None:
    if isinstance(content, dict) and {"precision", "recall"} <= content.keys():
        raise DataError(
            f"{name}: holds COCOeval's accumulated precision and recall (RT-DETR's and D-FINE's eval.pth), not "
            "detections; write the results list instead (coco_eval's results, or the model's outputs)"
        )


def _read_eval(source: Source) -> Rows:
    content = load_pickled(source)
    _refuse_eval(content, source.name)
    raise DataError(f"{source.name}: holds no detections that are known here; pass `format`")


def _sniff_eval(source: Source) -> int:
    """A file of that name, or one that begins with COCOeval's keys."""
    head = source.head
    fits = is_torch_file(head) and b"precision" in head and b"recall" in head
    return SURE if fits else NO


def _sniff_detectron2(source: Source) -> int:
    head = source.head
    return SURE if is_torch_file(head) and b"instances" in head and b"category_id" in head else NO


def _sniff_torchvision(source: Source) -> int:
    head = source.head
    return LIKELY if is_torch_file(head) and b"boxes" in head and b"labels" in head and b"scores" in head else NO


def _write_torchvision(target: Path | str, output: Output) -> None:
    import torch

    refuse_stdout(target, "a torch file")
    content = to_torchvision(output.detections, output.vocabulary)
    with atomic_writer(Path(target), "wb") as handle:
        torch.save(content, handle)


TORCHVISION = Form(
    name="torchvision",
    title="torchvision results .pt",
    written_by="torch.save of a list of {boxes, labels, scores}, or of a dict by image id or file name",
    keeps="all digits",
    loses="class names; in a list, photo names (order of the annotations); other keys",
    sniff=_sniff_torchvision,
    read=_read_torchvision,
    write=_write_torchvision,
    is_text=False,
)
DETECTRON2 = Form(
    name="detectron2",
    title="detectron2 instances_predictions.pth",
    written_by="detectron2's COCOEvaluator",
    keeps="all digits, image ids",
    loses="class names (category ids are positions from 0 there)",
    sniff=_sniff_detectron2,
    read=_read_detectron2,
)
EVAL_PTH = Form(
    name="eval-pth",
    title="RT-DETR and D-FINE eval.pth (refused)",
    written_by="RT-DETR, D-FINE",
    keeps="no detections",
    loses="everything: it holds precision and recall",
    sniff=_sniff_eval,
    read=_read_eval,
)
