"""The whole job of `risf convert`: detections of any form in, the same detections in another form out."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.datasets.reading import read_dataset_index
from risf_core.detections import Detections, factorize
from risf_core.errors import ConfigError, DataError, counted, listing
from risf_core.files import STANDARD_STREAM, display_name
from risf_core.formats.coco_forms import COCO
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import RecognisedDetections, read_detections_file
from risf_core.formats.form import Form
from risf_core.formats.registry import writable_form
from risf_core.outputs import check_not_read, check_stdin_once, check_writable
from risf_core.vocabulary import read_classes

_log = logging.getLogger(__name__)
# forms that name no class
_OF_IDS = (
    "ultralytics-txt",
    "ultralytics-txt-conf",
    "ultralytics-json",
    "torchvision",
    "lvis",
)


@dataclass(frozen=True)
class RoundTrip:
    """How the rows that were written differ from those that were read back."""

    box_difference: float  # the largest, in pixels
    score_difference: float  # the largest
    order_kept: bool
    keys_lost: tuple[str, ...]  # other keys of rows that did not come back

    def describe(self) -> str:
        """The differences in one line."""
        parts = [
            f"boxes differ by up to {self.box_difference:.3g} pixels" if self.box_difference else "",
            f"scores differ by up to {self.score_difference:.3g}" if self.score_difference else "",
            "" if self.order_kept else "rows are in another order",
            f"lost {listing(self.keys_lost)}" if self.keys_lost else "",
        ]
        return "; ".join(part for part in parts if part) or "every row, digit and key came back"


@dataclass(frozen=True)
class Conversion:
    """What was read and written."""

    out: str
    read: RecognisedDetections
    form: Form  # that was written
    round_trip: RoundTrip | None

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf convert --json` prints."""
        content: dict[str, Any] = {
            "out": self.out,
            "recognised": self.read.outcome,
            "format": self.read.form.name,
            "to": self.form.name,
            "detections": len(self.read.detections),
            "images": len(factorize(self.read.detections.image_ids)[1]),
            "dropped": self.read.dropped,
            "loses": self.form.loses,
        }
        if self.round_trip is not None:
            content["round_trip"] = {**vars(self.round_trip), "keys_lost": list(self.round_trip.keys_lost)}
        return content


def convert_file(
    detections: Path | str,
    out: Path | str,
    *,
    to: str,
    annotations: Path | None = None,
    classes: Path | None = None,
    conventions: Conventions | None = None,
    on_unmatched: Literal["error", "drop"] = "error",
    check: bool = False,
) -> Conversion:
    """Write detections (``-``: stdin) to `out` (``-``: stdout) in the form named `to`.

    Args:
        annotations: what names the images and classes; None: the detections themselves do.
        classes: class names instead, for a form that has none.
        check: read `out` again and compare.
    Raises DataError where something cannot be matched or written, or did not come back.
    """
    form = writable_form(to)
    if annotations is not None and classes is not None:
        raise ConfigError("`annotations` and `classes` both name the classes; pass one of them")
    if check and str(out) == STANDARD_STREAM:
        raise ConfigError("`check` reads `out` again, which stdout cannot be; name a file")
    check_stdin_once([detections, annotations, classes])
    check_not_read(out, [detections, annotations, classes])
    if not Path(out).is_dir():
        check_writable(Path(out))
    index = None if annotations is None else read_dataset_index(annotations)
    vocabulary = index.vocabulary if index is not None else None
    if classes is not None:
        vocabulary = read_classes(classes)
    read = read_detections_file(
        detections,
        None if index is None else index.images,
        vocabulary,
        conventions=conventions,
        on_unmatched=on_unmatched,
    )
    if index is None and read.vocabulary.counted:
        read = _with_names(read, form)
    form.check_output(out, read.output)
    assert form.write is not None
    form.write(out, read.output)
    return Conversion(str(out), read, form, _round_trip(out, read, form) if check else None)


def _with_names(read: RecognisedDetections, form: Form) -> RecognisedDetections:
    """Ids that stand for names of the file alone: COCO's rows keep the names too, of other forms a warning tells."""
    names, table = read.vocabulary.names, read.detections
    if form.name in _OF_IDS:
        pairs = [f"{own} {name}" for own, name in zip(read.vocabulary.category_ids, names, strict=True)]
        _log.warning(
            "%s names its classes; a form of ids counts them (%s); pass `annotations` for a dataset's own ids",
            *(read.form.title, listing(pairs)),
        )
    if form is not COCO:
        return read
    every = np.arange(len(table))
    files = [read.images[image_id].file_name or str(image_id) for image_id in table.image_ids.tolist()]
    columns = {"category_name": np.array([names[label] for label in table.labels.tolist()], dtype=object)}
    columns["file_name"] = np.array(files, dtype=object)
    return read.with_detections(table.with_extras(every, columns))


def _round_trip(out: Path | str, read: RecognisedDetections, form: Form) -> RoundTrip:
    """Read `out` again. Raises DataError where it does not hold the same detections."""
    back = read_detections_file(out, read.images, read.vocabulary, conventions=Conventions(format=form.name)).detections
    own = read.detections
    name = display_name(out)
    if len(back) != len(own):
        raise DataError(
            f"{name}: {counted(len(back), 'row')} of {len(own)} came back; {form.title} loses: {form.loses}"
        )
    there, here = _by_photo_and_class(back), _by_photo_and_class(own)
    if (back.image_ids[there] != own.image_ids[here]).any() or (back.labels[there] != own.labels[here]).any():
        raise DataError(f"{name}: rows came back under other photos or classes; {form.title} loses: {form.loses}")
    keys = [{key for extras in table.extras if extras for key in extras} for table in (own, back)]
    return RoundTrip(
        float(np.abs(back.boxes_xywh[there] - own.boxes_xywh[here]).max(initial=0)),
        float(np.abs(back.scores[there] - own.scores[here]).max(initial=0)),
        bool((there == here).all()),
        tuple(sorted(keys[0] - keys[1])),
    )


def _by_photo_and_class(table: Detections) -> NDArray[np.int64]:
    """The order of rows by photo and class, (N,); rows of one photo and class stay as every form has them."""
    _, photos = np.unique([str(image_id) for image_id in table.image_ids.tolist()], return_inverse=True)
    return np.lexsort((table.labels, photos.reshape(-1))).astype(np.int64)
