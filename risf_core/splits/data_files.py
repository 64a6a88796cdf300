"""Which files splits are drawn from: those that a person names, else those of the literature's folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from risf_core.choices import DatasetKind
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.reading import coco_file
from risf_core.datasets.voc import read_voc_dataset, voc_test_list
from risf_core.datasets.yolo import read_yolo_dataset, yolo_root
from risf_core.errors import ConfigError, DataError
from risf_core.progress import Progress
from risf_core.project import DATA_ROOT, SPLIT_ROOT
from risf_core.splits.classes import VOC_SETS

COCO_TRAINING = "cocosplit/datasplit/trainvalno5k.json"
COCO_TEST = "cocosplit/datasplit/5k.json"
PUBLISHED = {"coco": "cocosplit", "voc": "vocsplit"}  # where TFA's splits are, seed 0 in the root
VOC_FOLDERS = ("VOC2007", "VOC2012")


@dataclass(frozen=True)
class DataChoice:
    """The training data that a person names (one kind of it); nothing named means the literature's layout."""

    coco: tuple[Path, ...] = ()  # files, which are joined
    voc: Path | None = None  # a folder with VOC2007 and VOC2012, or one with Annotations and JPEGImages
    yolo: Path | None = None  # data.yaml
    data_root: Path = Path(DATA_ROOT)  # where the literature's folders are

    @property
    def is_named(self) -> bool:
        """Whether any data is named."""
        return bool(self.coco or self.voc or self.yolo)


@dataclass(frozen=True)
class SourceFiles:
    """The files of training data, and what is beside them in the published layout."""

    kind: DatasetKind
    paths: tuple[Path, ...]
    held_out: Path | None = None
    published: Path | None = None
    image_folders: tuple[Path, ...] = ()  # if the data's form says


def find_source(data: DataChoice, *, novel: str | None = None) -> SourceFiles:
    """The files of the data that is named, else those of the published layout: COCO's, else VOC's.

    A novel set of VOC asks for VOC. Raises ConfigError where several kinds are named, DataError where there is none.
    """
    data_root, voc = data.data_root, data.voc
    named = [f"`{name}`" for name in ("coco", "voc", "yolo") if getattr(data, name)]
    if len(named) > 1:
        raise ConfigError(f"{' and '.join(named)} name different data; give one of them")
    if data.yolo is not None:
        return SourceFiles("yolo", (data.yolo,), image_folders=(yolo_root(data.yolo),))
    wants_voc = novel in VOC_SETS
    if data.coco:
        files = tuple(coco_file(path, "train") for path in data.coco)
        return SourceFiles("coco", files, published=_existing(data_root / PUBLISHED["coco"]))
    training = data_root / COCO_TRAINING
    if voc is None and training.is_file() and not wants_voc:
        return SourceFiles(
            "coco",
            (training,),
            held_out=_existing(data_root / COCO_TEST),
            published=_existing(data_root / PUBLISHED["coco"]),
        )
    if voc is None and any((data_root / name).is_dir() for name in VOC_FOLDERS):
        voc = data_root
    if voc is not None:
        return SourceFiles(
            "voc",
            (voc,),
            held_out=_existing(voc_test_list(voc)),
            published=_existing(data_root / PUBLISHED["voc"]),
            image_folders=(voc,),
        )
    missing = "neither VOC2007 nor VOC2012" if wants_voc else f"neither {COCO_TRAINING} nor VOC2007 nor VOC2012"
    raise DataError(
        f"{data_root}: holds {missing}, the literature's layout; name your data with `coco`, `voc` or `yolo`"
    )


def read_dataset(kind: DatasetKind, paths: Sequence[Path], *, progress: Progress | None = None) -> AnnotatedDataset:
    """The boxes of COCO files (joined), of a VOC folder or of a YOLO data set."""
    if kind == "coco":
        return read_coco_dataset(paths)
    read = read_voc_dataset if kind == "voc" else read_yolo_dataset
    return read(paths[0], on_progress=progress)


def default_split_folder(data_root: Path, novel_set: str) -> Path:
    """Where a split is written, and looked for by training, when no folder is named."""
    return data_root / SPLIT_ROOT / novel_set


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None
