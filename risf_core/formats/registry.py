"""Which form a file has: the tuple of all forms, and the one that a file is recognised as."""

from __future__ import annotations

import codecs
import csv
from collections.abc import Sequence

from risf_core.errors import ConfigError, DataError, did_you_mean, excerpt, listing
from risf_core.files import saved_instead
from risf_core.formats.coco_forms import COCO, COCO_DATASET, LVIS, NESTED
from risf_core.formats.cvat import CVAT
from risf_core.formats.form import NO, Form
from risf_core.formats.label_studio import LABEL_STUDIO
from risf_core.formats.mmdet import MMDET2_PICKLE, MMDET_FOLDER, MMDET_PICKLE
from risf_core.formats.openimages import OPENIMAGES
from risf_core.formats.photo_list import TRANSFORMERS_PIPELINE, ULTRALYTICS_SUMMARY
from risf_core.formats.post_process import TRANSFORMERS_RESULTS
from risf_core.formats.rows import Rows
from risf_core.formats.source import Source
from risf_core.formats.supervision_rows import SUPERVISION_CSV, SUPERVISION_JSON
from risf_core.formats.text_lines import CARTUCHO, KITTI, VOC_TXT
from risf_core.formats.torch_files import DETECTRON2, EVAL_PTH, TORCHVISION
from risf_core.formats.ultralytics_json import ULTRALYTICS_JSON
from risf_core.formats.ultralytics_txt import ULTRALYTICS_TXT, ULTRALYTICS_TXT_CONF

FORMS: tuple[Form, ...] = (
    COCO,
    COCO_DATASET,
    NESTED,
    LVIS,
    ULTRALYTICS_JSON,
    ULTRALYTICS_TXT,
    ULTRALYTICS_TXT_CONF,
    ULTRALYTICS_SUMMARY,
    SUPERVISION_JSON,
    SUPERVISION_CSV,
    TRANSFORMERS_PIPELINE,
    TRANSFORMERS_RESULTS,
    MMDET_PICKLE,
    MMDET2_PICKLE,
    MMDET_FOLDER,
    DETECTRON2,
    TORCHVISION,
    VOC_TXT,
    CARTUCHO,
    OPENIMAGES,
    KITTI,
    LABEL_STUDIO,
    CVAT,
    EVAL_PTH,
)


def form_named(name: str, *, field: str = "format", among: Sequence[Form] = FORMS) -> Form:
    """The form of that name. Raises ConfigError where there is none, which lists those `among` which it was to be."""
    for form in FORMS:
        if form.name == name:
            return form
    known = [form.name for form in among]
    raise ConfigError(f"`{field}` {name!r} is unknown{did_you_mean(name, known)}; known: {', '.join(known)}")


def writable_form(name: str) -> Form:
    """The form of that name. Raises ConfigError where there is none, or it is only read."""
    written = [form for form in FORMS if form.write]
    form = form_named(name, field="to", among=written)
    if form.write is None:
        known = ", ".join(form.name for form in written)
        raise ConfigError(f"`to` {name!r}: {form.title} is read, not written; written are {known}")
    return form


def recognise(source: Source) -> Form:
    """The form that claims a file most strongly. Raises DataError where none does, or two claim it alike."""
    if source.is_folder and next(source.files(), None) is None:
        raise DataError(f"{source.name}: the folder is empty, so there are no detections to read")
    claims = [(form.sniff(source), form) for form in FORMS]
    strongest = max(claim for claim, _ in claims)
    if strongest == NO:
        if not source.is_folder:
            _refuse_unreadable(source)
        raise DataError(
            f"{source.name}: is not recognised as detections of any known form{_what_it_holds(source)}; pass `format` "
            f"with one of {', '.join(form.name for form in FORMS)}"
        )
    found = [form for claim, form in claims if claim == strongest]
    if len(found) > 1:
        either = " or ".join(f"{form.title} (`format={form.name}`)" for form in found)
        raise DataError(f"{source.name}: may be {either}; pass `format`")
    return found[0]


def read_rows(source: Source, form: Form | None = None) -> tuple[Form, Rows]:
    """The form of a file, recognised where it is not given, and its rows."""
    is_named = form is not None
    form = form or recognise(source)
    if form.read is None:
        raise DataError(f"{source.name}: {form.title} can be written, not read")
    try:
        return form, form.read(source)
    except DataError as error:
        if is_named or form in (COCO, COCO_DATASET, NESTED):  # whose rows every message shows
            raise
        raise DataError(f"{error} (read as {form.title}; `format` names another form)") from None
    except (TypeError, ValueError, LookupError, AttributeError, OverflowError, csv.Error) as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise DataError(
            f"{source.name}: does not fit {form.title} ({fault}); write it again, or name another `format`"
        ) from None


def _refuse_unreadable(source: Source) -> None:
    """Refuse what is not a file, or what was saved in place of one, or text that is not UTF-8."""
    head = source.head
    if saved_instead(head) or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        source.text()
    if not head or head.lstrip()[:1] in (b"[", b"{"):
        source.json()


def _what_it_holds(source: Source) -> str:
    """What the file is instead, as a clause, where that can be told."""
    head = source.head
    if head.lstrip()[:1] in (b"[", b"{") and not source.is_folder:
        content = source.json()
        if isinstance(content, dict) and content:
            within = [key for key, rows in content.items() if isinstance(rows, list) and rows]
            listed = f" ({listing([repr(key) for key in within], most=3)}: a list; save it alone?)" if within else ""
            return f" (an object with the keys {listing([repr(key) for key in content], most=5)}){listed}"
        return f" (a list whose first entry is {excerpt(content[0])})" if content else " (it is empty)"
    if head.startswith((b"PK", b"\x80")):
        return " (a pickle, a torch file or an archive without detections: are these weights?)"
    line = head.splitlines()[0][:80].decode("utf-8", "replace") if head.strip() else ""
    return f" (its first line is {line!r})" if line.isprintable() else ""
