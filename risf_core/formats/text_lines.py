"""Forms of text with a detection a line in pixels: Pascal VOC's by class, Cartucho's and KITTI's by photo."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from risf_core.errors import DataError, excerpt
from risf_core.files import read_text, write_text
from risf_core.formats.form import LIKELY, NO, SURE, Form, Output, new_folder
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows
from risf_core.formats.source import Source

_VOC_NAME = re.compile(r"(?:comp\d_det_[^_]+_)?(.+)")
_Line = tuple[PhotoKey, ClassKey, Sequence[str]]  # the photo, the class, and x0 y0 x1 y1 score as written


def _read(source: Source, line_of: Callable[[Path, Path, list[str]], _Line | None], *, form: str) -> Rows:
    """The rows of all txt files of a folder, or of one file; `line_of` is None for words of another number."""
    root = Path(source.path) if source.is_folder else Path(source.path).parent
    files = source.files_or_refuse(".txt") if source.is_folder else [Path(source.path)]
    photos: Codes[PhotoKey] = Codes()
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    for path in files:
        for line_number, line in enumerate(read_text(path, what="detections file").splitlines(), start=1):
            words = line.split()
            if not words:
                continue
            read = line_of(root, path, words)
            where = f"{path}: line {line_number}"
            try:
                if read is None:
                    raise ValueError
                photo, own, (*box, score) = read[0], read[1], map(float, read[2])
            except ValueError:
                raise DataError(f"{where}: {excerpt(line)} is not of the form `{form}`") from None
            found.add(photos.of(photo), classes.of(own), box, score, where)
    return found.rows(source.name, photos.keys, classes.keys, "xyxy")


def _read_voc(source: Source) -> Rows:
    rows = _read(source, _voc_line, form="image_id score xmin ymin xmax ymax")
    rows.boxes[:, :2] -= 1  # VOC counts pixels from 1 and includes the last
    return rows


def _voc_line(root: Path, path: Path, words: list[str]) -> _Line | None:
    if len(words) != 6:
        return None
    match = _VOC_NAME.fullmatch(path.stem)
    return PhotoKey(words[0]), ClassKey(match.group(1) if match else path.stem), (*words[2:], words[1])


def _cartucho_line(root: Path, path: Path, words: list[str]) -> _Line | None:
    if len(words) < 6:
        return None
    photo = PhotoKey(path.relative_to(root).with_suffix("").as_posix())
    return photo, ClassKey(" ".join(words[:-5])), (*words[-4:], words[-5])


def _kitti_line(root: Path, path: Path, words: list[str]) -> _Line | None:
    if len(words) != 16:
        return None
    photo = PhotoKey(path.relative_to(root).with_suffix("").as_posix())
    return photo, ClassKey(words[0]), (*words[4:8], words[15])


def _are_numbers(words: Sequence[str]) -> bool:
    try:
        return all(np.isfinite(float(word)) for word in words)
    except ValueError:
        return False


def _first_line(source: Source) -> list[str]:
    return source.head.split(b"\n", 1)[0].decode("utf-8", "replace").split()


def _sniff_voc(source: Source) -> int:
    words = _first_line(source)
    name = next((path.name for path in source.files(".txt")), "") if source.is_folder else Path(source.path).name
    if len(words) != 6 or not _are_numbers(words[1:]) or not name.endswith(".txt"):
        return NO
    return SURE if name.startswith("comp") and "_det_" in name else NO


def _sniff_cartucho(source: Source) -> int:
    words = _first_line(source)
    fits = source.is_folder and len(words) == 6 and not _are_numbers(words[:1]) and _are_numbers(words[1:])
    return LIKELY if fits and _sniff_voc(source) == NO else NO


def _sniff_kitti(source: Source) -> int:
    words = _first_line(source)
    return LIKELY if len(words) == 16 and not _are_numbers(words[:1]) and _are_numbers(words[1:]) else NO


def _write_voc(target: Path | str, output: Output) -> None:
    detections = output.detections
    boxes = detections.boxes
    boxes[:, :2] += 1
    lines: dict[str, list[str]] = {name: [] for name in output.vocabulary.names}
    columns = zip(
        detections.image_ids.tolist(),
        output.class_names(),
        boxes.tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    for image_id, name, box, score in columns:
        stem = Path(output.file_name(image_id)).stem
        numbers = " ".join(repr(number) for number in box)
        lines[name].append(f"{stem} {score!r} {numbers}\n")
    with new_folder(target) as folder:
        for name, of_class in lines.items():
            if "/" in name or "\\" in name:
                raise DataError(f"class {name!r} cannot be in a file's name, where this form has it")
            write_text(folder / f"comp4_det_test_{name}.txt", "".join(of_class))


VOC_TXT = Form(
    name="voc-txt",
    title="Pascal VOC comp4_det_test_<class>.txt",
    written_by="Pascal VOC's development kit, detectron2, Darknet",
    keeps="class names, stems of photos; digits as written",
    loses="folders and endings of photos; the order across classes; other keys",
    sniff=_sniff_voc,
    read=_read_voc,
    write=_write_voc,
    is_text=False,
)
CARTUCHO = Form(
    name="cartucho",
    title="Cartucho mAP txt folder",
    written_by="Cartucho/mAP: class confidence left top right bottom",
    keeps="class names, stems of photos; digits as written",
    loses="photos without a file",
    sniff=_sniff_cartucho,
    read=lambda source: _read(source, _cartucho_line, form="class confidence left top right bottom"),
)
KITTI = Form(
    name="kitti",
    title="KITTI txt folder",
    written_by="KITTI's detectors: 16 columns, the score last",
    keeps="class names, stems of photos; digits as written",
    loses="truncation, occlusion and 3-D columns",
    sniff=_sniff_kitti,
    read=lambda source: _read(source, _kitti_line, form="type and 15 numbers, the score last"),
)
