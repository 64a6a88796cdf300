"""Ultralytics' folder of txt files: class, center, width and height (relative), confidence, for each photo a file."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from risf_core.errors import DataError, counted, excerpt, listing
from risf_core.files import write_text
from risf_core.formats.conventions import UNCLIPPED_SHARE
from risf_core.formats.form import LIKELY, NO, Form, Output, new_folder
from risf_core.formats.rows import ClassKey, PhotoKey, Rows, check_numbers
from risf_core.formats.source import Source

_LINE = "each line is `class x_center y_center width height confidence`, relative to the photo"


def _read(source: Source, *, sixth_is_score: bool = False) -> Rows:
    if not source.is_folder:
        raise DataError(f"{source.name}: is one txt file, but the form is a folder with one for each photo; pass it")
    root = Path(source.path)
    files = [path for path in source.files_or_refuse(".txt") if path.name != "classes.txt"]
    tables, photos, twice = [], [], 0
    for path in files:
        table = _table(path)
        half, odd = divmod(len(table), 2)
        twice += bool(half and not odd and np.array_equal(table[:half], table[half:]))
        tables.append(table)
        photos.append(PhotoKey(path.relative_to(root).with_suffix("").as_posix()))
    widths = Counter(table.shape[1] for table in tables if len(table))
    if len(widths) > 1:
        rare = widths.most_common()[-1][0]
        odd_file = next(path for path, table in zip(files, tables, strict=True) if table.shape[1] == rare)
        raise DataError(
            f"{odd_file}: line 1: {rare} columns, where most files have {widths.most_common(1)[0][0]}; "
            "the files are of different runs"
        )
    numbers = np.concatenate([table for table in tables if len(table)] or [np.empty((0, 6))])
    photo_codes = np.repeat(np.arange(len(files)), [len(table) for table in tables])
    starts = np.searchsorted(photo_codes, np.arange(len(files)))

    def where(row: int) -> str:
        file = int(photo_codes[row])
        return f"{files[file]}: line {row - int(starts[file]) + 1}"

    score_column, track_column, notes = _columns(numbers, source.name, sixth_is_score=sixth_is_score)
    scores = numbers[:, score_column]
    check_numbers(numbers[:, 1:5], scores, where)
    bad = np.flatnonzero((numbers[:, 0] < 0) | (numbers[:, 0] % 1 != 0))
    if len(bad):
        raise DataError(f"{where(int(bad[0]))}: class {numbers[bad[0], 0]:g} is not a whole number from 0; {_LINE}")
    bad = np.flatnonzero((numbers[:, 1:5] > 1.5).any(axis=1))
    if len(bad) <= UNCLIPPED_SHARE * len(numbers):
        bad = np.flatnonzero((numbers[:, 3:5] < 0).any(axis=1))
    if len(bad):
        raise DataError(
            f"{where(int(bad[0]))}: box {numbers[bad[0], 1:5].tolist()} is not relative to the photo (0..1); {_LINE}"
        )
    if twice:
        notes += (
            f"every row stands twice in {counted(twice, 'file')}, as a second run that appended would leave them",
        )
    class_ids, class_codes = np.unique(numbers[:, 0].astype(np.int64), return_inverse=True)
    boxes = numbers[:, 1:5].copy()
    boxes[:, :2] -= boxes[:, 2:] / 2
    tracks = None if track_column is None else [{"track_id": int(value)} for value in numbers[:, track_column]]
    return Rows(
        source=source.name,
        photos=tuple(photos),
        photo_codes=photo_codes,
        classes=tuple(ClassKey(None, int(class_id)) for class_id in class_ids),
        class_codes=class_codes.reshape(-1).astype(np.int64),
        boxes=boxes,
        scores=scores,
        box_convention="xywh-relative",
        category_ids="positions",
        extras=tracks,
        notes=notes,
    )


def _table(path: Path) -> NDArray[np.float64]:
    """The numbers of one file, a row a line."""
    lines = [line.split() for line in path.read_bytes().splitlines()]
    rows = [words for words in lines if words]
    if not rows:
        return np.empty((0, 0))
    width = len(rows[0])
    if len(set(map(len, rows))) == 1:
        try:
            return np.array([*map(float, chain.from_iterable(rows))]).reshape(-1, width)
        except ValueError:
            pass
    for number, words in enumerate(lines, start=1):
        if words and len(words) != width:
            raise DataError(f"{path}: line {number}: {len(words)} columns, where line 1 has {width}; {_LINE}")
        for word in words:
            try:
                float(word)
            except ValueError:
                text = excerpt(word.decode("utf-8", "replace"))
                raise DataError(f"{path}: line {number}: {text} is not a number; {_LINE}") from None
    raise AssertionError("called on lines without a fault")


def _columns(
    numbers: NDArray[np.float64], name: str, *, sixth_is_score: bool
) -> tuple[int, int | None, tuple[str, ...]]:
    """The columns of confidence and track id, known by their values, with what was taken where it could be either."""
    width = numbers.shape[1]
    if width == 7:
        return 5, 6, ()
    if width == 5:
        raise DataError(
            f"{name}: the files have 5 columns and no confidence, as labels have; "
            "write them again with save_txt=True save_conf=True"
        )
    if width != 6:
        raise DataError(f"{name}: the files have {width} columns (masks, keypoints or rotated boxes?); {_LINE}")
    if sixth_is_score:
        return 5, None, ()
    last = numbers[:, 5]
    if (last == np.trunc(last)).all() and len(last):
        if (last > 1).any():
            raise DataError(
                f"{name}: the sixth column holds whole numbers, so it is a track id and there is no confidence; "
                "write the files again with save_conf=True"
            )
        raise DataError(
            f"{name}: the sixth column holds only {listing([f'{v:g}' for v in np.unique(last)])}, which may be a "
            "confidence or a track id; pass `format=ultralytics-txt-conf` if it is the confidence, else write the "
            "files again with both (save_conf=True)"
        )
    return 5, None, ("the sixth column was taken for the confidence, not for a track id: it is not whole numbers",)


def _sniff(source: Source) -> int:
    if not source.is_folder:
        return NO
    words = source.head.split(b"\n", 1)[0].split()
    if not 5 <= len(words) <= 7:
        return NO
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return NO
    return LIKELY if numbers[0].is_integer() and max(numbers[1:5]) <= 1.5 else NO


def _write(target: Path | str, output: Output) -> None:
    detections = output.detections
    with new_folder(target) as folder:
        for image_id, rows in detections.by_image():
            height, width = output.size(image_id, "ultralytics-txt")
            boxes = detections.boxes_xywh[rows] / [width, height, width, height]
            boxes[:, :2] += boxes[:, 2:] / 2
            columns = zip(output.labels(rows), boxes.tolist(), detections.scores[rows].tolist(), strict=True)
            lines = [
                f"{label} {' '.join(f'{number:.9g}' for number in box)} {score!r}\n" for label, box, score in columns
            ]
            path = (folder / output.file_name(image_id)).with_suffix(".txt")
            if not path.resolve().is_relative_to(folder.resolve()):
                raise DataError(f"file name {output.file_name(image_id)!r} leads out of the folder of txt files")
            if path.exists():
                raise DataError(f"{path.relative_to(folder)} would be that of two photos whose names differ by ending")
            write_text(path, "".join(lines))


ULTRALYTICS_TXT = Form(
    name="ultralytics-txt",
    title="Ultralytics txt folder",
    written_by="yolo predict/val save_txt=True save_conf=True, YOLOv5, YOLOv7",
    keeps="scores, class positions, track ids",
    loses="class names; 6 digits of boxes and scores (written by risf: 9 and all); photos without detections",
    sniff=_sniff,
    read=_read,
    write=_write,
    is_text=False,
    needs_sizes=True,
)
ULTRALYTICS_TXT_CONF = Form(
    name="ultralytics-txt-conf",
    title="Ultralytics txt folder whose sixth column is the confidence",
    written_by="as ultralytics-txt, where all confidences are 0 or 1",
    keeps="as ultralytics-txt",
    loses="as ultralytics-txt",
    sniff=lambda source: NO,  # taken only where it is named
    read=lambda source: _read(source, sixth_is_score=True),
)
