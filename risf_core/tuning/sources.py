"""What `risf tune` reads its labels from, and what it writes of them."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.evaluation import read_ground_truth
from risf_core.rescore.encoders import Encoders
from risf_core.rescore.fusion_file import FORMAT, VERSION, conditions_of
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.record import identified, plain
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.support import shots_of
from risf_core.splits.folder import find_split
from risf_core.tuning.calibrating import Calibrated
from risf_core.tuning.tune import Tuned
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True, eq=False)
class Labels:
    """Labelled images."""

    ground_truth: AnnotatedDataset
    folders: tuple[Path, ...]  # where a split says that its photos are
    sparse: bool  # only some objects of the images are labelled


def read_labels(
    path: Path, *, shots: int | None = None, seed: int = 0, novel: str | None = None, sparse: bool | None = None
) -> Labels:
    """The labels of a COCO JSON, a VOC folder, or a few-shot split, whose labels are sparse unless stated otherwise."""
    split = find_split(path)
    if split is None:
        return Labels(read_ground_truth(path), (), bool(sparse))
    labelled = shots_of(split, shots=shots, seed=seed, novel=novel)
    return Labels(labelled.boxes, labelled.folders, True if sparse is None else sparse)


def fusion_content(
    tuned: Tuned | Calibrated,
    *,
    encoders: Encoders,
    vocabulary: ClassVocabulary,
    settings: RescoreSettings,
    prototypes: Prototypes | None,
    arguments: Mapping[str, Any],
    inputs: Mapping[str, Path | None],
) -> dict[str, Any]:  # Any: JSON
    """What fusion.json holds: the fit, its table, what it holds for, and how it came about."""
    return {
        "format": FORMAT,
        "version": VERSION,
        **tuned.to_json(),
        "thresholds": None
        if tuned.thresholds is None
        else {name: asdict(threshold) for name, threshold in tuned.thresholds.items()},
        "conditions": conditions_of(
            encoder_key=encoders.key,
            support_encoder_key=encoders.second_key,
            vocabulary=vocabulary,
            settings=settings,
            prototypes=prototypes,
        ),
        "support": None if prototypes is None else prototypes.to_json(),
        "precision": None if encoders.key is None else encoders.main.precision,
        "support_precision": None if encoders.second is None else encoders.second.precision,
        "arguments": plain({**arguments, "settings": asdict(settings)}),
        "inputs": {name: identified(path) for name, path in inputs.items() if path is not None},
        "versions": {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            **{name: version(name) for name in ("risf", "numpy", "scipy", "torch", "open_clip_torch")},
        },
    }
