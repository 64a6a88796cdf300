"""Support: the K-shot boxes of each class, from a split or from annotations, and where their photos are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from risf_core.choices import EvidenceKind
from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.reading import read_ground_truth
from risf_core.detections import ImageId
from risf_core.encoder.choice import EncoderChoice
from risf_core.encoder.image_only import check_image_encoder
from risf_core.encoder.protocol import CropEncoder
from risf_core.errors import ConfigError, DataError, listing
from risf_core.photos import Photo, find_photos
from risf_core.progress import PhaseProgress
from risf_core.rescore.prototypes import Prototypes, make_prototypes
from risf_core.splits import SplitFolder
from risf_core.splits.folder import find_split
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class SupportChoice:
    """Which labelled boxes speak for the classes."""

    support: Path | None = None  # a split of prepare-splits, one seed's file, a folder in TFA's layout, or COCO JSON
    shots: int | None = None  # of each class of a split; None: the most that it has
    split_seed: int = 0  # which shots of a split
    support_encoder: str | None = None  # timm:NAME or torchvision:resnet101; None: the encoder of the names
    support_weights: Path | None = None  # of that encoder, in place of its published ones


@dataclass(frozen=True, eq=False)
class Shots:
    """Labelled boxes, and what is known of where they come from."""

    name: str  # of the file or folder
    boxes: AnnotatedDataset
    folders: tuple[Path, ...]  # where the split says that its photos are


def read_shots(path: Path, *, shots: int | None = None, seed: int = 0, novel: str | None = None) -> Shots:
    """The boxes of a split (a folder or a seed's file) at a shot count, or all usable ones of other labelled data.

    Args:
        shots: K; by default the largest that the split holds.
        novel: the novel classes, for a folder in TFA's layout.
    """
    split = find_split(path)
    if split is None:
        return Shots(str(path), read_ground_truth(path, purpose="train"), ())
    return shots_of(split, shots=shots, seed=seed, novel=novel)


def shots_of(split: SplitFolder, *, shots: int | None, seed: int, novel: str | None) -> Shots:
    """The boxes of a split at a shot count (None: the largest)."""
    of_seed = split.read(seed, novel=novel)
    if not of_seed.rows:
        raise DataError(f"{split.path}: holds no shots; draw some with `risf prepare-splits`")
    by_label = of_seed.rows_of(max(of_seed.rows) if shots is None else shots)
    table = of_seed.boxes.select(np.unique(np.concatenate(by_label)))
    return Shots(str(split.path), table, split.image_folders)


def check_encoders(encoder: EncoderChoice, evidence: EvidenceKind, support: SupportChoice | None) -> None:
    """Raises EncoderError for what is wrong with the encoders and shows before torch is loaded."""
    if evidence != "none" and (evidence != "support" or support is None or support.support_encoder is None):
        encoder.check()


def check_evidence(evidence: EvidenceKind, support: SupportChoice | None) -> None:
    """Raises ConfigError where shots are to speak and there are none, or are given and must not."""
    given = support is not None and support.support is not None
    if evidence in ("support", "both") and not given:
        raise ConfigError(f"`evidence={evidence}` needs shots: pass `support`, a split or a COCO JSON of a few boxes")
    if support is not None and support.support_encoder is not None:
        check_image_encoder(support.support_encoder)
        if not given:
            raise ConfigError(f"`support_encoder={support.support_encoder}` needs shots: pass `support`")
    elif support is not None and support.support_weights is not None:
        raise ConfigError(f"`support_weights={support.support_weights}` needs `support_encoder`, the model they are of")
    if evidence not in ("support", "both") and given:
        raise ConfigError(f"`evidence={evidence}` has no use for `support`; leave one of them out")


def read_support(choice: SupportChoice | None, vocabulary: ClassVocabulary, *, novel: str | None) -> Shots | None:
    """The chosen shots, under the classes of the detections."""
    if choice is None or choice.support is None:
        return None
    shots = read_shots(choice.support, shots=choice.shots, seed=choice.split_seed, novel=novel)
    return replace(shots, boxes=under_vocabulary(shots.boxes, vocabulary, name=str(choice.support)))


def build_prototypes(
    shots: Shots | None,
    images: Sequence[Path],
    *,
    encoder: CropEncoder,
    progress: PhaseProgress | None = None,
) -> Prototypes | None:
    """The prototypes of the shots, whose photos are in the folders `images` or where their split says."""
    if shots is None:
        return None
    photos = photos_of(shots.boxes, (*images, *shots.folders), name=shots.name)
    counted = None if progress is None else lambda done, total: progress("shots", "crops", done, total)
    return make_prototypes(shots.boxes, photos=photos, encoder=encoder, progress=counted)


def under_vocabulary(boxes: AnnotatedDataset, vocabulary: ClassVocabulary, *, name: str) -> AnnotatedDataset:
    """The boxes whose classes are among a vocabulary's (by name), under it. Raises DataError where there is none."""
    label_of = {own: label for label, own in enumerate(vocabulary.names)}
    labels = np.array([label_of.get(own, -1) for own in boxes.vocabulary.names], dtype=np.int64)
    of_row = labels[boxes.labels] if len(boxes) else np.empty(0, dtype=np.int64)
    kept = of_row >= 0
    if not kept.any():
        raise DataError(
            f"{name}: none of its {len(boxes)} boxes is of the {len(vocabulary)} classes of the detections "
            f"(it has {listing([repr(own) for own in boxes.vocabulary.names], most=3)})"
        )
    selected = boxes.select(kept)
    return replace(selected, vocabulary=vocabulary, labels=of_row[kept])


def photos_of(boxes: AnnotatedDataset, folders: Sequence[Path], *, name: str) -> Mapping[ImageId, Photo]:
    """The photo of each image. Raises ImageError naming those that are missing."""
    infos = {info.image_id: info for info in boxes.images}
    found = find_photos(infos, images=infos, folders=folders)
    found.refuse_missing("pass their folder with `images`", name=name)
    return found.photos
