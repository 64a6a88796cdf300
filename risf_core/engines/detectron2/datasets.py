"""Few-shot training sets in the form that detectron2's loaders take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from detectron2.structures import BoxMode

from risf_core.config import DataConfig
from risf_core.records import ImageRecord
from risf_core.training.data_sets import read_training_data
from risf_core.vocabulary import ClassVocabulary


@dataclass(frozen=True)
class FewShotDicts:
    """A training set as detectron2's dataset dicts, and the classes that its `category_id`s count."""

    dicts: list[dict[str, Any]]  # Any: upstream's form
    vocabulary: ClassVocabulary


def few_shot_dicts(
    split: Path | str,
    *,
    shots: int,
    seed: int = 0,
    setting: Literal["few-shot", "generalised"] = "few-shot",
    images: Sequence[Path | str] = (),
    novel: str | None = None,
) -> FewShotDicts:
    """The shots of a split (of `risf prepare-splits`, or in TFA's layout) for `build_detection_train_loader`.

    Args:
        images: folders of photos, beside those that the split names.
        novel: the novel set of a split in TFA's layout, which does not say it.

    Raises ConfigError or DataError where the split has no such shots or a photo is missing.
    """
    data = DataConfig(
        setting=setting, split=Path(split), shots=shots, seed=seed, images=tuple(map(Path, images)), novel=novel
    )
    records = read_training_data(data).records
    return FewShotDicts(dataset_dicts(records.records), records.vocabulary)


def dataset_dicts(records: Sequence[ImageRecord]) -> list[dict[str, Any]]:
    """Records as detectron2's standard dataset dicts; `category_id` counts the classes from 0."""
    return [
        {
            "file_name": str(record.path),
            "image_id": record.image_id,
            **(
                {}
                if record.height is None or record.width is None
                else {"height": record.height, "width": record.width}
            ),
            "annotations": [
                {"bbox": box, "bbox_mode": BoxMode.XYXY_ABS, "category_id": label}
                for box, label in zip(record.boxes.tolist(), record.labels.tolist(), strict=True)
            ],
        }
        for record in records
    ]
