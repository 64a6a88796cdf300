"""Reading folders in Pascal VOC's form into an AnnotatedDataset."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from risf_core.datasets.annotated import AnnotatedDataset, Source
from risf_core.datasets.box_checks import check_truth
from risf_core.datasets.voc_xml import VocAnnotation, class_names, parse_annotation
from risf_core.errors import DataError, counted, did_you_mean, listing
from risf_core.files import read_text
from risf_core.vocabulary import VOC_CLASSES, ClassVocabulary

_log = logging.getLogger(__name__)

ImageSet = tuple[str, str]  # folder, name of the list in ImageSets/Main
VOC_TRAINVAL: tuple[ImageSet, ...] = (("VOC2007", "trainval"), ("VOC2012", "trainval"))  # in TFA's order
VOC_TEST: tuple[ImageSet, ...] = (("VOC2007", "test"),)
VOC_VALIDATION: tuple[ImageSet, ...] = (("VOC2007", "val"), ("VOC2012", "val"))


def read_voc_dataset(
    root: Path,
    *,
    image_sets: Sequence[ImageSet] | None = None,
    stems: Sequence[str] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> AnnotatedDataset:
    """The boxes of a folder that holds VOC2007 and VOC2012, or Annotations and JPEGImages, or XML files beside photos.

    xmin and ymin are reduced by 1, as the literature does on reading. The classes are numbered from 1 in alphabetical
    order: those that the annotation files of the folder name (or, with `stems` of Pascal VOC, its 20); which they are
    is logged. Image ids are the file stems.

    Args:
        image_sets: which lists of ImageSets/Main are read, in this order; default the trainval lists of both years,
            as far as they are there, and for a single folder its trainval or train list, or without lists every XML.
        stems: reads just these images instead, the year shown by "_" in the stem.
        on_progress: is called with the number of files read and of all.

    Raises DataError, in one line, where a folder, a list or an XML file is missing, broken or lacks an image size.
    """
    files = _listed_files(root, stems) if stems is not None else _files_of_sets(root, image_sets)
    return _read(files, root=root, published=stems is not None, on_progress=on_progress)


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
            return _read([root / folder / "Annotations" / f"{stem}.xml" for folder, stem in stems], root=root)
    folders = [single] if single else [root / folder for folder, _ in VOC_TRAINVAL]
    found = [path for folder in folders for path in _xml_files(folder / "Annotations")]
    found = found or _files_beside(root, ("test", "valid", "val"))
    if any(True for folder in folders for _ in (folder / "ImageSets" / "Main").glob("*.txt")):
        _log.info("%s: has no list of test or val images; read whole, %s", root, counted(len(found), "image"))
    return _read(found, root=root) if found else read_voc_dataset(root)  # which says what is missing


def _read(
    files: Sequence[Path],
    *,
    root: Path,
    published: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> AnnotatedDataset:
    """The table of these images. `published`: they are chosen by Pascal VOC's own lists, so its 20 classes count."""
    digest = hashlib.sha256()
    annotations = []
    for count, path in enumerate(files):
        content = _read_bytes(path)
        digest.update(f"{path.name}\0{len(content)}\0".encode())
        digest.update(content)
        annotations.append(parse_annotation(content, path, root=root, photos=_photo_folder(path)))
        if on_progress is not None:
            on_progress(count + 1, len(files))
    _refuse_shared_photos(files, annotations)
    names = {item.name for annotation in annotations for item in annotation.objects}
    if not (published and names <= set(VOC_CLASSES)):
        names = _names_of_folders(files, names)
    whole = published or names == set(VOC_CLASSES)
    vocabulary = ClassVocabulary.from_names(VOC_CLASSES if whole and names <= set(VOC_CLASSES) else sorted(names))
    if not whole:
        of_voc = names < set(VOC_CLASSES)
        part = ", not as Pascal VOC's 20, which are not all there" if of_voc else ""
        say = _log.warning if of_voc else _log.info
        say("%s: classes are numbered from 1 by name%s: %s", root, part, listing(vocabulary.names))
    return _table(annotations, vocabulary, Source("voc", (root,), (digest.hexdigest(),)))


def _names_of_folders(files: Sequence[Path], names: set[str]) -> set[str]:
    """The class names of all annotations in the folders of some files, so that every list of them counts alike."""
    read = set(files)
    for folder in sorted({path.parent for path in read}):
        if names == set(VOC_CLASSES):
            break
        for path in _xml_files(folder):
            if path not in read:
                names = names | class_names(_read_bytes(path), path)
    return names


def _refuse_shared_photos(files: Sequence[Path], annotations: Sequence[VocAnnotation]) -> None:
    """Raises DataError where two annotation files name one photo, or have one stem, which is the image's id."""
    path_of: dict[str, Path] = {}
    path_of_stem: dict[str, Path] = {}
    for path, annotation in zip(files, annotations, strict=True):
        first = path_of.setdefault(str(annotation.info.file_name), path)
        if first != path:
            raise DataError(f"{first} and {path} name one photo, {annotation.info.file_name}; correct <filename>")
        first = path_of_stem.setdefault(path.stem, path)
        if first != path:
            raise DataError(f"{first} and {path} would both be image {path.stem!r}; rename one")


def _photo_folder(path: Path) -> Path:
    """Where the photo of an annotation file is: in JPEGImages or images beside Annotations, else beside the file."""
    for folder in path.parents:
        if folder.name == "Annotations":
            places = [folder.parent / name for name in ("JPEGImages", "images")]
            return next((place for place in places if place.is_dir()), places[0]) / path.parent.relative_to(folder)
    return path.parent


def _files_beside(root: Path, parts: Sequence[str]) -> list[Path]:
    """The annotation files of a folder that keeps them beside the photos (Roboflow), or of its first such part."""
    return next((files for folder in (root, *(root / part for part in parts)) if (files := _xml_files(folder))), [])


def _xml_files(folder: Path) -> list[Path]:
    """The annotation files of a folder, or where it has none of its own of its subfolders; macOS's ._ files are not."""
    try:
        os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror or error}") from None
    nested = folder.rglob("*.xml") if folder.name == "Annotations" else ()
    own = [path for path in folder.glob("*.xml") if not path.name.startswith("._")]
    return sorted(own or (path for path in nested if not path.name.startswith("._")))


def voc_annotation_file(root: Path, stem: str) -> Path:
    """Where the annotation of an image is: of Pascal VOC, the year follows from "_" in the stem."""
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
    _log.info("%s: read by its list %s, %s", root, names, counted(images, "image"))


def _table(annotations: Sequence[VocAnnotation], vocabulary: ClassVocabulary, source: Source) -> AnnotatedDataset:
    rows = [(position, item) for position, annotation in enumerate(annotations) for item in annotation.objects]
    label_of = {name: label for label, name in enumerate(vocabulary.names)}
    boxes = np.array([item.box_xywh for _, item in rows], dtype=np.float64).reshape(len(rows), 4)
    return AnnotatedDataset.from_columns(
        vocabulary,
        [annotation.info for annotation in annotations],
        np.array([position for position, _ in rows], dtype=np.int64),
        np.array([label_of[item.name] for _, item in rows], dtype=np.int64),
        boxes,
        difficult=np.array([item.difficult for _, item in rows], dtype=bool),
        source=source,
        notes=check_truth(boxes, [annotations[position].info for position, _ in rows], str(source.paths[0])),
        listed_paths=tuple(annotation.listed_path for annotation in annotations),
    )


def _files_of_sets(root: Path, image_sets: Sequence[ImageSet] | None) -> list[Path]:
    """The XML file of each listed image, in the order of the lists."""
    if not root.is_dir():
        raise DataError(f"{root}: there is no such folder; name the one that holds VOC2007 and VOC2012")
    if (root / "Annotations").is_dir() and image_sets is None:
        return _files_of_single_folder(root)
    if image_sets is None:
        image_sets = [s for s in VOC_TRAINVAL if (root / s[0]).is_dir()]
    if not image_sets and (beside := _files_beside(root, ("train",))):
        return beside
    if not image_sets:
        near = did_you_mean("VOC2007", [entry.name for entry in root.iterdir()])
        raise DataError(
            f"{root}: holds neither VOC2007 nor VOC2012 nor Annotations nor XML files beside photos{near}; name the "
            "folder that holds them"
        )
    files = []
    for folder, name in image_sets:
        for stem in _stems_of_list(_list_file(root / folder, name)):
            files.append(root / folder / "Annotations" / f"{stem}.xml")
    return files


def _files_of_single_folder(root: Path) -> list[Path]:
    for path in (_list_file(root, "trainval"), _list_file(root, "train")):
        if path.is_file():
            stems = _stems_of_list(path)
            _log_lists(root, [path], len(stems))
            return [root / "Annotations" / f"{stem}.xml" for stem in stems]
    files = _xml_files(root / "Annotations")
    if not files:
        raise DataError(f"{root / 'Annotations'}: holds no XML file; put one per image there")
    return files


def _stems_of_list(path: Path) -> list[str]:
    # per-class lists have a second column (-1, 0, 1); the stem is the first
    return [line.split()[0] for line in read_text(path, what="list of images").splitlines() if line.strip()]


def _listed_files(root: Path, stems: Sequence[str]) -> list[Path]:
    files = [voc_annotation_file(root, stem) for stem in stems]
    missing = [path for path in files if not os.path.isfile(path)]  # False also for a name that is too long
    if missing:
        raise DataError(
            f"{len(missing)} of {len(files)} listed images have no annotation below {root} "
            f"({listing([Path(os.path.relpath(path, root)).as_posix()[:200] for path in missing], most=2)}); "
            "the lists hold no boxes: name the folder that holds VOC2007 and VOC2012 with `voc`"
        )
    return files


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: is listed but not there; copy it or take it from the list") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
