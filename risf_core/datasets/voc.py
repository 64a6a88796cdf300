"""Reading folders in Pascal VOC's form into an AnnotatedDataset."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.errors import DataError, did_you_mean, listing
from risf_core.files import read_text
from risf_core.photos import ImageInfo
from risf_core.vocabulary import VOC_CLASSES, ClassVocabulary

_log = logging.getLogger(__name__)

ImageSet = tuple[str, str]  # folder, name of the list in ImageSets/Main
VOC_TRAINVAL: tuple[ImageSet, ...] = (("VOC2007", "trainval"), ("VOC2012", "trainval"))  # in TFA's order
VOC_TEST: tuple[ImageSet, ...] = (("VOC2007", "test"),)
VOC_VALIDATION: tuple[ImageSet, ...] = (("VOC2007", "val"), ("VOC2012", "val"))


@dataclass(frozen=True)
class _Object:
    name: str
    box_xywh: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class _Annotation:
    """What one XML file says."""

    info: ImageInfo  # image id = stem; file name below the root
    listed_path: str  # how TFA's lists write the image
    objects: tuple[_Object, ...]


def read_voc_dataset(
    root: Path,
    *,
    image_sets: Sequence[ImageSet] | None = None,
    stems: Sequence[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> AnnotatedDataset:
    """The boxes of a folder that holds VOC2007 and VOC2012 (or is itself a folder with Annotations and JPEGImages).

    xmin and ymin are reduced by 1, as the literature does on reading. The classes are numbered from 1 in alphabetical
    order: Pascal VOC's 20 where all names are among them, else those that the files name. Image ids are the file stems.

    Args:
        image_sets: which lists of ImageSets/Main are read, in this order; default the trainval lists of both years,
            as far as they are there, and for a single folder its trainval or train list, or without lists every XML.
        stems: reads just these images instead, the year told by "_" in the stem.
        on_progress: is called with the number of files read and of all.

    Raises DataError, in one line, where a folder, a list or an XML file is missing, broken or lacks an image size.
    """
    files = _listed_files(root, stems) if stems is not None else _files_of_sets(root, image_sets)
    return _read(files, root=root, on_progress=on_progress)


def read_voc_test(root: Path) -> AnnotatedDataset:
    """The boxes to test on: of the test list, without one of the val list, without either of all that is there.

    Of a folder that holds VOC2007 and VOC2012 these are VOC2007's test list, else the val lists of both years. Which
    lists were chosen is logged.
    """
    single = root if (root / "Annotations").is_dir() else None
    for image_sets in ((("", "test"),), (("", "val"),)) if single else (VOC_TEST, VOC_VALIDATION):
        lists = [(folder, _list_file(root / folder, name)) for folder, name in image_sets]
        lists = [(folder, path) for folder, path in lists if path.is_file()]
        stems = [(folder, stem) for folder, path in lists for stem in _stems_of_list(path)]
        if stems:  # a list that is empty is none
            _log_lists(root, [path for _, path in lists], len(stems))
            if single:
                return _read(_listed_files(root, [stem for _, stem in stems]), root=root)
            return _read([(root / f, root / f / "Annotations" / f"{stem}.xml") for f, stem in stems], root=root)
    folders = [single] if single else [root / folder for folder, _ in VOC_TRAINVAL]
    found = [(folder, path) for folder in folders for path in sorted((folder / "Annotations").glob("*.xml"))]
    if any(True for folder in folders for _ in (folder / "ImageSets" / "Main").glob("*.txt")):
        _log.info("%s: has no list of test or val images; read whole, %d images", root, len(found))
    return _read(found, root=root) if found else read_voc_dataset(root)  # which says what is missing


def _read(
    files: Sequence[tuple[Path, Path]], *, root: Path, on_progress: Callable[[int, int], None] | None = None
) -> AnnotatedDataset:
    """The table of (folder, XML file) of each image."""
    digest = hashlib.sha256()
    annotations = []
    for count, (folder, path) in enumerate(files):
        content = _read_bytes(path)
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
        annotations.append(_parse(content, path, root=root, folder=folder))
        if on_progress is not None:
            on_progress(count + 1, len(files))
    names = {item.name for annotation in annotations for item in annotation.objects}
    # a part of Pascal VOC keeps the numbers of the whole, so that detections of both agree
    vocabulary = ClassVocabulary.from_names(VOC_CLASSES if names <= set(VOC_CLASSES) else sorted(names))
    return _table(annotations, vocabulary, Source("voc", (root,), (digest.hexdigest(),)))


def voc_annotation_file(root: Path, stem: str) -> Path:
    """Where the annotation of an image lies: of Pascal VOC, the year follows from "_" in the stem."""
    if (root / "Annotations").is_dir():
        return root / "Annotations" / f"{stem}.xml"
    return root / ("VOC2012" if "_" in stem else "VOC2007") / "Annotations" / f"{stem}.xml"


def voc_test_list(root: Path) -> Path:
    """The list of VOC2007's test images below a folder, whether it is there or not."""
    folder, name = VOC_TEST[0]
    return _list_file(root / folder, name)


def _list_file(folder: Path, name: str) -> Path:
    return folder / "ImageSets" / "Main" / f"{name}.txt"


def _log_lists(root: Path, lists: Sequence[Path], images: int) -> None:
    names = listing([path.relative_to(root).as_posix() for path in lists])
    _log.info("%s: read by its list %s, %d images", root, names, images)


def _table(annotations: Sequence[_Annotation], vocabulary: ClassVocabulary, source: Source) -> AnnotatedDataset:
    rows = [(position, item) for position, annotation in enumerate(annotations) for item in annotation.objects]
    label_of = {name: label for label, name in enumerate(vocabulary.names)}
    return AnnotatedDataset.from_columns(
        vocabulary,
        [annotation.info for annotation in annotations],
        np.array([position for position, _ in rows], dtype=np.int64),
        np.array([label_of[item.name] for _, item in rows], dtype=np.int64),
        np.array([item.box_xywh for _, item in rows], dtype=np.float64).reshape(len(rows), 4),
        difficult=np.array([item.difficult for _, item in rows], dtype=bool),
        source=source,
        listed_paths=tuple(annotation.listed_path for annotation in annotations),
    )


def _files_of_sets(root: Path, image_sets: Sequence[ImageSet] | None) -> list[tuple[Path, Path]]:
    """(folder, XML file) of each listed image, in the order of the lists."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; name the one that holds VOC2007 and VOC2012")
    if (root / "Annotations").is_dir() and image_sets is None:
        return [(root, root / "Annotations" / f"{stem}.xml") for stem in _stems_of_single_folder(root)]
    if image_sets is None:
        image_sets = [s for s in VOC_TRAINVAL if (root / s[0]).is_dir()]
    if not image_sets:
        near = did_you_mean("VOC2007", [entry.name for entry in root.iterdir()])
        raise DataError(
            f"{root}: holds neither VOC2007 nor VOC2012 nor Annotations{near}; name the folder that holds them"
        )
    files = []
    for folder, name in image_sets:
        for stem in _stems_of_list(_list_file(root / folder, name)):
            files.append((root / folder, root / folder / "Annotations" / f"{stem}.xml"))
    return files


def _stems_of_single_folder(root: Path) -> list[str]:
    for path in (_list_file(root, "trainval"), _list_file(root, "train")):
        if path.is_file():
            stems = _stems_of_list(path)
            _log_lists(root, [path], len(stems))
            return stems
    stems = sorted(path.stem for path in (root / "Annotations").glob("*.xml"))
    if not stems:
        raise DataError(f"{root / 'Annotations'}: holds no XML file; put one an image there")
    return stems


def _stems_of_list(path: Path) -> list[str]:
    # per-class lists have a second column (-1, 0, 1); the stem is the first
    return [line.split()[0] for line in read_text(path, what="list of images").splitlines() if line.strip()]


def _listed_files(root: Path, stems: Sequence[str]) -> list[tuple[Path, Path]]:
    files = [voc_annotation_file(root, stem) for stem in stems]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} listed images have no annotation below {root} "
            f"({listing([path.relative_to(root).as_posix() for path in missing], most=2)}); "
            "the lists hold no boxes: name the folder that holds VOC2007 and VOC2012 with --voc"
        )
    return [(path.parent.parent, path) for path in files]


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: is listed but not there; copy it or take it from the list") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _parse(content: bytes, path: Path, *, root: Path, folder: Path) -> _Annotation:
    try:
        tree = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: is not valid XML ({error}); mend the file or take it from the list") from None
    width, height = (_number(tree, f"size/{side}", path) for side in ("width", "height"))
    if width <= 0 or height <= 0:
        raise DataError(f"{path}: states the image size {width:g} x {height:g}; both must be positive")
    file_name = (tree.findtext("filename") or f"{path.stem}.jpg").strip()
    stated_folder = (tree.findtext("folder") or folder.name).strip()
    below_root = (folder / "JPEGImages" / file_name).relative_to(root).as_posix()
    return _Annotation(
        info=ImageInfo(path.stem, below_root, int(height), int(width)),
        listed_path=f"datasets/{stated_folder}/JPEGImages/{file_name}",  # as TFA's lists are written
        objects=tuple(_object(element, path) for element in tree.findall("object")),
    )


def _object(element: ElementTree.Element, path: Path) -> _Object:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise DataError(f"{path}: an object has no <name>; name it or remove it")
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{side}", path) for side in ("xmin", "ymin", "xmax", "ymax"))
    x0, y0 = xmin - 1.0, ymin - 1.0  # pixel indexes from 1, both ends included -> coordinates
    return _Object(name, (x0, y0, xmax - x0, ymax - y0), (element.findtext("difficult") or "0").strip() == "1")


def _number(element: ElementTree.Element, tag: str, path: Path) -> float:
    """The finite number in a tag."""
    text = element.findtext(tag)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        stated = "is missing" if text is None else f"is {text.strip()!r}, not a number"
        raise DataError(f"{path}: <{tag}> {stated}; write the number or take the image from the list")
    return number
