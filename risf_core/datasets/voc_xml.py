"""One annotation file in Pascal VOC's form: its image, its boxes, whatever encoding it is in."""

from __future__ import annotations

import codecs
import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from risf_core.errors import DataError, ImageError
from risf_core.files import saved_instead
from risf_core.images import upright_size
from risf_core.photos import ImageInfo, is_photo_name

_DECLARED = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([^\"']{1,40})[\"']")


@dataclass(frozen=True)
class VocObject:
    """One labelled box."""

    name: str
    box_xywh: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class VocAnnotation:
    """What one XML file says."""

    info: ImageInfo  # image id = stem; file name below the root
    listed_path: str  # how TFA's lists write the image
    objects: tuple[VocObject, ...]


def read_xml(content: bytes, path: Path) -> ElementTree.Element:
    """The root of an XML file in the encoding that it declares, UTF-8 without; entities are refused.

    Raises DataError that names the encoding, or the place of the fault.
    """
    fault = saved_instead(content[:200]) or ("" if content.strip() else "is empty; copy it again")
    if fault:
        raise DataError(f"{path}: {fault}")
    declared = _DECLARED.match(content)
    encoding = declared.group(1).decode("latin-1") if declared else "utf-8-sig"
    if declared and encoding.lower().startswith(("utf-16", "utf16", "ucs")):
        encoding = "utf-8"  # the declaration could not be read as bytes if it were so
    if content.startswith((codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-8-sig" if content.startswith(codecs.BOM_UTF8) else "utf-16"
    try:
        text = content.decode(encoding)
    except LookupError:
        raise DataError(f"{path}: declares the unknown encoding {encoding!r}; save it as UTF-8") from None
    except UnicodeError:
        if declared:
            raise DataError(f"{path}: is not in the encoding {encoding!r} that it declares; save it as UTF-8") from None
        raise DataError(
            f"{path}: is not UTF-8 and declares no encoding (cp1252 or GBK, as Windows writes?); save it as UTF-8, or "
            'declare it in the first line: <?xml version="1.0" encoding="cp1252"?>'
        ) from None
    if "<!ENTITY" in text:
        raise DataError(f"{path}: declares entities, which are not read; write the text itself")
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{path}: is not valid XML ({error}); mend the file or take it from the list") from None


def class_names(content: bytes, path: Path) -> set[str]:
    """The names of an annotation file's objects; of a file that cannot be read none."""
    try:
        tree = read_xml(content, path)
    except DataError:
        return set()
    return {(element.findtext("name") or "").strip() for element in tree.iter("object")} - {""}


def parse_annotation(content: bytes, path: Path, *, root: Path, photos: Path) -> VocAnnotation:
    """What an annotation file says; `photos` is the folder of its image.

    A size that is missing or 0 is read from the photo, as far as it is there. Raises DataError, ImageError.
    """
    tree = read_xml(content, path)
    file_name = _file_name(tree, path, photos)
    below_root = (photos / file_name).relative_to(root).as_posix()
    stated_folder = (tree.findtext("folder") or photos.parent.name).strip()
    size = _size(tree, path, photos / file_name)
    return VocAnnotation(
        info=ImageInfo(path.stem, below_root, *(size or (None, None))),
        listed_path=f"datasets/{stated_folder}/JPEGImages/{file_name}",  # as TFA's lists are written
        objects=tuple(_object(element, path) for element in tree.findall("object")),
    )


def _file_name(tree: ElementTree.Element, path: Path, photos: Path) -> str:
    """The photo that <filename> names; the one beside it of the XML's own name where only that is there."""
    stated = (tree.findtext("filename") or f"{path.stem}.jpg").strip().replace("\\", "/").rpartition("/")[2]
    if Path(stated).stem == path.stem or not stated:
        return stated or f"{path.stem}.jpg"
    own = sorted(other.name for other in photos.glob(f"{path.stem}.*") if is_photo_name(other.name))
    if own and (photos / stated).is_file():
        raise DataError(f"{path}: names {stated!r}, but {own[0]!r} has its own name; correct <filename>")
    return own[0] if own else stated


def _size(tree: ElementTree.Element, path: Path, photo: Path) -> tuple[int, int] | None:
    """(height, width), stated or read from the photo."""
    stated = tree.find("size")
    if stated is not None and all((stated.findtext(side) or "").strip() for side in ("width", "height")):
        width, height = (_number(tree, f"size/{side}", path) for side in ("width", "height"))
        if width > 0 and height > 0:
            return int(height), int(width)
    try:
        return upright_size(photo)
    except ImageError:
        if photo.is_file():
            raise
        return None


def _object(element: ElementTree.Element, path: Path) -> VocObject:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: an object has no <name>; name it or remove it")
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
    x0, y0 = xmin - 1.0, ymin - 1.0  # pixel indexes from 1, both ends included -> coordinates
    return VocObject(name, (x0, y0, xmax - x0, ymax - y0), (element.findtext("difficult") or "0").strip() == "1")


def _number(element: ElementTree.Element, tag: str, path: Path) -> float:
    """The finite number in a tag."""
    text = element.findtext(tag)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        stated = "is missing" if text is None else f"is {text.strip()[:100]!r}, not a number"
        raise DataError(f"{path}: <{tag}> {stated}; write the number or take the image from the list")
    return number
