"""A split as a value: its folder, of either layout, or the file of one seed is opened once and then read from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from risf_core.choices import Benchmark, DatasetKind
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.datasets.held_out import read_held_out
from risf_core.datasets.voc import VOC_TEST, read_voc_dataset, voc_test_list
from risf_core.datasets.yolo import yolo_root
from risf_core.errors import ConfigError, DataError, listing
from risf_core.files import sha256_of
from risf_core.splits.classes import OWN, NovelChoice, chosen_names
from risf_core.splits.data_files import read_dataset
from risf_core.splits.manifest import MANIFEST_NAME, Manifest, read_manifest
from risf_core.splits.seed_files import BASE_NAME, is_seed_file, read_base_file, read_seed_file, seed_name
from risf_core.splits.split import SeedShots
from risf_core.splits.tfa_reading import read_tfa_split, tfa_files, tfa_seeds
from risf_core.splits.training_sets import base_dataset
from risf_core.vocabulary import NOVEL_SETS, ClassVocabulary


@dataclass(frozen=True, eq=False)
class SplitFolder:
    """A split that was opened: a folder of `risf prepare-splits`, a folder in TFA's layout, or the file of one seed."""

    path: Path
    kind: DatasetKind  # of the data that it was drawn from
    seeds: tuple[int, ...]
    manifest: Manifest | None = None  # of a folder that `risf prepare-splits` wrote
    seed_file: SeedShots | None = None  # of the file of one seed

    @property
    def vocabulary(self) -> ClassVocabulary | None:
        """Its classes in the published order; None in TFA's layout alone, which does not say which are novel."""
        if self.seed_file is not None:
            return self.seed_file.boxes.vocabulary
        return self.manifest.vocabulary if self.manifest is not None else None

    @property
    def novel_set(self) -> str | None:
        """The name of its novel classes; None in TFA's layout alone."""
        stated = self.manifest or self.seed_file
        return stated.novel_set if stated is not None else None

    @property
    def benchmark(self) -> Benchmark | None:
        """Which benchmark its classes make; None in TFA's layout alone."""
        stated = self.manifest or self.seed_file
        return stated.benchmark if stated is not None else None

    @property
    def is_pascal_voc(self) -> bool:
        """Whether its classes are Pascal VOC's, with whichever novel ones."""
        return self.kind == "voc" and (self.vocabulary is None or self.vocabulary.is_pascal_voc)

    @property
    def shots(self) -> tuple[int, ...]:
        """The shot counts that it holds, ascending."""
        if self.manifest is not None:
            return self.manifest.shots
        counts = self.seed_file.rows if self.seed_file is not None else tfa_files(self.path, self.seeds[0])[1]
        return tuple(sorted(counts))

    @property
    def image_folders(self) -> tuple[Path, ...]:
        """Where the images of its data are, if the data's form says: COCO's does not."""
        if self.manifest is None or self.kind == "coco":
            return ()
        source = self.manifest.source_paths[0]
        return (source if self.kind == "voc" else yolo_root(source),)

    def read(self, seed: int = 0, *, novel: NovelChoice = None, voc_root: Path | None = None) -> SeedShots:
        """The frozen boxes of a seed; the file of one seed gives its own.

        Args:
            novel: the novel classes, in TFA's layout alone; other splits say their own (`check_novel` compares them).
            voc_root: where VOC2007 and VOC2012 are, for TFA's VOC lists, which hold no boxes.

        Raises DataError where there is no such seed, or a file is damaged.
        """
        if self.seed_file is not None:
            return self.seed_file
        if seed not in self.seeds:
            raise DataError(f"{self.path}: holds the seeds {listing(self.seeds, most=30)}; got seed {seed}")
        manifest = self.manifest
        if manifest is None:
            return read_tfa_split(self.path, seed=seed, novel=novel, voc_root=voc_root)
        if "risf" in manifest.layouts:
            return read_seed_file(self.path / seed_name(seed))
        root = manifest.source_paths[0] if self.kind == "voc" else None
        classes = (manifest.vocabulary, manifest.novel_set)
        return read_tfa_split(self.path, seed=seed, classes=classes, voc_root=voc_root or root)

    def base(self) -> AnnotatedDataset:
        """The base set.

        Raises DataError where all classes are novel, where the split does not say its source, or where that is gone.
        """
        manifest = self._stated("base set")
        if BASE_NAME in manifest.files:
            return read_base_file(self.path / BASE_NAME)
        return base_dataset(self.training_data(), drop_images_with_novel=manifest.drop_images_with_novel)

    def training_data(self) -> AnnotatedDataset:
        """The data that it was drawn from, read again: without the held-out images, under its vocabulary.

        Raises DataError where it is gone; whether it changed is a question for `check_split`.
        """
        manifest = self._stated("training data")
        dataset = read_dataset(manifest.kind, manifest.source_paths)
        if manifest.held_out is not None:
            dataset = dataset.without_images(read_held_out(manifest.held_out.path).positions(dataset.images)[0])
        return dataset.with_vocabulary(manifest.vocabulary)

    def test_data(self) -> AnnotatedDataset | None:
        """The images to test on, with the boxes of all classes, under its vocabulary; None where it names none.

        They are the held-out COCO file where the split has one, else the test list of VOC2007.
        """
        if self.manifest is None:
            return None
        held_out, source = self.manifest.held_out, self.manifest.source_paths[0]
        if held_out is not None and held_out.has_boxes:
            return read_coco_dataset(held_out.path).with_vocabulary(self.manifest.vocabulary)
        if self.kind == "voc" and voc_test_list(source).is_file():
            return read_voc_dataset(source, image_sets=VOC_TEST).with_vocabulary(self.manifest.vocabulary)
        return None

    def digests(self, boxes: AnnotatedDataset, *, seed: int | None = None) -> dict[str, str]:
        """What the boxes of a seed (None: of the base set) were read from -> its SHA-256.

        ``split`` are the split's own files, ``annotations`` the source where boxes came from there.
        """
        own = BASE_NAME if seed is None else seed_name(seed)
        if self.seed_file is not None:
            return {"split": sha256_of(self.path)}
        if self.manifest is not None and own in self.manifest.files:
            return {"split": sha256_of(self.path / own)}
        of_source = {"annotations": " ".join(boxes.source.sha256)}
        if seed is None:
            return {"split": sha256_of(self.path / MANIFEST_NAME), **of_source}
        files = [path for by_class in tfa_files(self.path, seed)[1].values() for path in by_class.values()]
        digest = {"split": _digest_of(files if self.manifest is None else [self.path / MANIFEST_NAME, *files])}
        return {**digest, **of_source} if self.kind == "voc" else digest

    def check_novel(self, novel: NovelChoice) -> None:
        """Refuse a choice of novel classes that are not those of the split; TFA's layout alone does not say its own.

        Raises ConfigError that names both.
        """
        vocabulary = self.vocabulary
        if novel is None or vocabulary is None:
            return
        known = isinstance(novel, str) and novel in NOVEL_SETS  # whose classes need not be the split's
        chosen = NOVEL_SETS[str(novel)] if known else chosen_names(novel, vocabulary)
        if frozenset(chosen) == vocabulary.novel:
            return
        asked = novel if isinstance(novel, str) else ",".join(novel)
        own = listing(sorted(vocabulary.novel), most=5)
        if self.novel_set != OWN:
            own = f"{self.novel_set} ({own})"
        raise ConfigError(
            f"{self.path}: its novel classes are {own}, but `novel` (or novel: in risf.yaml) says {asked}; leave that "
            f"out, or name a split of {asked} (risf prepare-splits --novel {asked} draws one)"
        )

    def _stated(self, what: str) -> Manifest:
        if self.manifest is None:
            raise DataError(
                f"{self.path}: does not say its {what}; name a folder that `risf prepare-splits` wrote, or give `coco`"
            )
        return self.manifest


def find_split(path: Path) -> SplitFolder | None:
    """The split at a path, a folder or a seed's file; None where the path is not one. Raises DataError if damaged."""
    if path.is_file():
        return open_split(path) if is_seed_file(path) else None
    if (path / MANIFEST_NAME).is_file():
        manifest = read_manifest(path)
        return SplitFolder(path, manifest.kind, manifest.seeds, manifest)
    seeds = tfa_seeds(path)
    if not seeds:
        return None
    return SplitFolder(path, "voc" if tfa_files(path, seeds[0])[0] == "voc" else "coco", tuple(seeds))


def open_split(path: Path) -> SplitFolder:
    """The split at a path, a folder or a seed's file. Raises DataError where the path is not one."""
    if path.is_file():
        shots = read_seed_file(path)
        return SplitFolder(path, shots.boxes.source.kind, (shots.seed,), seed_file=shots)
    split = find_split(path)
    if split is None:
        raise DataError(
            f"{path}: holds no split: neither split.json of `risf prepare-splits` nor TFA's files "
            "(seed1/full_box_10shot_..._trainval.json, seed1/box_10shot_..._train.txt)"
        )
    return split


def _digest_of(files: Sequence[Path]) -> str:
    """One SHA-256 of several files of one split: of their names and their own."""
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
