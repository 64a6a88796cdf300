"""CVAT's XML for images: a box per detection with its label, and the score as an attribute."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape, quoteattr

from risf_core.datasets.voc_xml import read_xml
from risf_core.errors import DataError, excerpt
from risf_core.files import open_output
from risf_core.formats.form import NO, SURE, Form, Output
from risf_core.formats.rows import ClassKey, Codes, PhotoKey, RowList, Rows
from risf_core.formats.source import Source

_CORNERS = ("xtl", "ytl", "xbr", "ybr")
_SCORES = ("score", "confidence")
_SCORE_ATTRIBUTE = (
    "<attributes><attribute><name>score</name><mutable>False</mutable><input_type>text</input_type>"
    "<default_value></default_value><values></values></attribute></attributes>"
)


def _read(source: Source) -> Rows:
    tree = read_xml(source.text().encode(), Path(source.name))
    photos: Codes[PhotoKey] = Codes()
    classes: Codes[ClassKey] = Codes()
    found = RowList()
    for image in tree.iter("image"):
        photo = photos.of(PhotoKey(image.get("name") or ""))
        for number, element in enumerate(image.iter("box")):
            where = f"{source.name}: image {image.get('name')!r}, box {number}"
            try:
                box = [float(element.get(corner, "")) for corner in _CORNERS]
                label = element.attrib["label"]
            except (KeyError, ValueError):
                raise DataError(
                    f"{where} is {excerpt(dict(element.attrib))}; it needs label, xtl, ytl, xbr, ybr"
                ) from None
            found.add(photo, classes.of(ClassKey(label)), box, _score(element, where), where)
    return found.rows(source.name, photos.keys, classes.keys, "xyxy")


def _score(element: ElementTree.Element, where: str) -> float:
    stated = [element.get("score"), *(a.text for a in element.iter("attribute") if a.get("name") in _SCORES)]
    text = next((text for text in stated if text), None)
    if text is None:
        raise DataError(f"{where}: has no attribute score, so there is nothing to re-score")
    try:
        return float(text)
    except ValueError:
        raise DataError(f"{where}: score is {excerpt(text)}, not a number") from None


def _sniff(source: Source) -> int:
    inside = b"<image " in source.head or b"<meta>" in source.head  # which comes first and may be long
    return SURE if b"<annotations>" in source.head and inside else NO


def _write(target: Path | str, output: Output) -> None:
    detections = output.detections
    with open_output(target) as handle:
        handle.write(
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n<meta><task><labels>\n'
        )
        handle.writelines(
            f"<label><name>{escape(name)}</name>{_SCORE_ATTRIBUTE}</label>\n" for name in output.vocabulary.names
        )
        handle.write("</labels></task></meta>\n")
        for number, (image_id, rows) in enumerate(detections.by_image()):
            height, width = output.size(image_id, "cvat")
            name = quoteattr(output.file_name(image_id))
            handle.write(f'<image id="{number}" name={name} width="{width}" height="{height}">\n')
            columns = zip(
                output.class_names(rows), detections.boxes[rows].tolist(), detections.scores[rows].tolist(), strict=True
            )
            for label, box, score in columns:
                corners = " ".join(f'{key}="{value!r}"' for key, value in zip(_CORNERS, box, strict=True))
                handle.write(
                    f'<box label={quoteattr(label)} source="auto" occluded="0" {corners} z_order="0">'
                    f'<attribute name="score">{score!r}</attribute></box>\n'
                )
            handle.write("</image>\n")
        handle.write("</annotations>\n")


CVAT = Form(
    name="cvat",
    title="CVAT XML for images",
    written_by="CVAT (the score as an attribute of the label, which must be text or number there)",
    keeps="class names, file names, all digits",
    loses="the order across photos; photos without detections; other keys",
    sniff=_sniff,
    read=_read,
    write=_write,
    needs_sizes=True,
)
