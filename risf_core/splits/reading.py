"""Reading splits, whichever layout they are in."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from risf_core.choices import DatasetKind
from risf_core.datasets import (
    VOC_TEST,
    AnnotatedDataset,
    read_coco_dataset,
    read_held_out,
    read_voc_dataset,
    read_yolo_dataset,
)
from risf_core.datasets.voc import voc_test_list
from risf_core.datasets.yolo import yolo_root
from risf_core.errors import ConfigError, DataError, listing
from risf_core.splits.classes import ALL_NOVEL, OWN, NovelChoice
from risf_core.splits.folder import MANIFEST_NAME, Manifest, read_manifest
from risf_core.splits.seed_files import read_base_file, read_seed_file
from risf_core.splits.split import SeedShots
from risf_core.splits.tfa_reading import read_tfa_split
from risf_core.splits.training_sets import base_dataset
from risf_core.vocabulary import NOVEL_SETS, novel_names

BASE_NAME = "base.json"


def seed_name(seed: int) -> str:
    """The file of a seed below a split's folder."""
    return f"shots/seed{seed}.json"


def read_split(path: Path, *, seed: int = 0, novel: NovelChoice = None, voc_root: Path | None = None) -> SeedShots:
    """The frozen boxes of a seed.

    Args:
        path: a folder that `risf prepare-splits` wrote (or the file of one seed in it), or a folder in TFA's layout.
        novel: the novel classes, for a folder in TFA's layout that risf did not write; what risf wrote says its own
            (`check_novel_choice` compares them).
        voc_root: where VOC2007 and VOC2012 lie, for TFA's VOC lists, which hold no boxes.

    Raises DataError where there is no such split or seed, or a file is damaged.
    """
    if path.is_file():
        return read_seed_file(path)
    if not (path / MANIFEST_NAME).is_file():
        return read_tfa_split(path, seed=seed, novel=novel, voc_root=voc_root)
    manifest = read_manifest(path)
    if seed not in manifest.seeds:
        raise DataError(f"{path}: holds the seeds {listing(manifest.seeds, most=30)}; got seed {seed}")
    if "risf" in manifest.layouts:
        return read_seed_file(path / seed_name(seed))
    root = manifest.source_paths[0] if manifest.kind == "voc" else None
    return read_tfa_split(path, seed=seed, classes=(manifest.vocabulary, manifest.novel_set), voc_root=voc_root or root)


def check_novel_choice(folder: Path, novel: NovelChoice) -> None:
    """Refuse a choice of novel classes that are not those of a folder which `risf prepare-splits` wrote.

    Raises ConfigError that names both; a folder in TFA's layout alone does not say its novel classes.
    """
    if novel is None or not (folder / MANIFEST_NAME).is_file():
        return
    manifest = read_manifest(folder)
    names = manifest.vocabulary.names
    chosen: Collection[str]
    if not isinstance(novel, str):
        chosen, novel = novel, ",".join(novel)
    elif novel == ALL_NOVEL and ALL_NOVEL not in names:
        chosen = names
    else:
        chosen = NOVEL_SETS.get(novel) or novel_names(novel, manifest.vocabulary)
    if frozenset(chosen) == manifest.vocabulary.novel:
        return
    stated = sorted(manifest.vocabulary.novel)
    own = listing(stated, most=5) if manifest.novel_set == OWN else f"{manifest.novel_set} ({listing(stated, most=5)})"
    raise ConfigError(
        f"{folder}: its novel classes are {own}, but --novel (or novel: in risf.yaml) says {novel}; leave that out, or "
        f"name a split of {novel} (risf prepare-splits --novel {novel} draws one)"
    )


def read_base(path: Path) -> AnnotatedDataset:
    """The base set of a folder that `risf prepare-splits` wrote.

    Raises DataError where all its classes are novel, or where only TFA's layout was written and its source is gone.
    """
    manifest = read_manifest(path)
    if BASE_NAME in manifest.files:
        return read_base_file(path / BASE_NAME)
    return base_dataset(read_training_data(manifest), drop_images_with_novel=manifest.drop_images_with_novel)


def read_training_data(manifest: Manifest) -> AnnotatedDataset:
    """The data that a split was drawn from, read anew: without the held-out images, under the split's vocabulary.

    Raises DataError where it is gone; whether it changed is a question for `check_split`.
    """
    dataset = read_dataset(manifest.kind, manifest.source_paths)
    if manifest.held_out is not None:
        dataset = dataset.without_images(read_held_out(manifest.held_out.path).positions(dataset.images)[0])
    return dataset.with_vocabulary(manifest.vocabulary)


def read_test_data(manifest: Manifest) -> AnnotatedDataset:
    """The images to test on, with the boxes of all classes, under the split's vocabulary.

    They are the held-out COCO file where the split has one, else the test list of VOC2007. Raises DataError where
    there is neither.
    """
    held_out = manifest.held_out
    if held_out is not None and held_out.has_boxes:
        return read_coco_dataset(held_out.path).with_vocabulary(manifest.vocabulary)
    if manifest.kind == "voc" and voc_test_list(manifest.source_paths[0]).is_file():
        dataset = read_voc_dataset(manifest.source_paths[0], image_sets=VOC_TEST)
        return dataset.with_vocabulary(manifest.vocabulary)
    raise DataError(
        "the split names no test images with boxes; prepare it with --held-out, a COCO JSON, or pass test annotations"
    )


def read_dataset(
    kind: DatasetKind, paths: Sequence[Path], *, on_progress: Callable[[int, int], None] | None = None
) -> AnnotatedDataset:
    """The boxes of COCO files (joined), of a VOC folder or of a YOLO data set."""
    if kind == "coco":
        return read_coco_dataset(paths)
    read = read_voc_dataset if kind == "voc" else read_yolo_dataset
    return read(paths[0], on_progress=on_progress)


def image_folders_of(manifest: Manifest) -> tuple[Path, ...]:
    """Where the images of a split's data lie, as far as its form tells: COCO's does not."""
    if manifest.kind == "coco":
        return ()
    return (manifest.source_paths[0] if manifest.kind == "voc" else yolo_root(manifest.source_paths[0]),)
