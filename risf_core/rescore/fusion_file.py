"""fusion.json: a fitted fusion on disk, and whether it was fitted to what a run is about to do."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from risf_core.detections import Detections
from risf_core.documents import typed
from risf_core.errors import ConfigError, DataError, excerpt
from risf_core.files import read_json
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.fitted import TERMS, FittedFusion
from risf_core.rescore.prompts import Texts
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore, prompts_of
from risf_core.vocabulary import ClassVocabulary

FORMAT = "risf fusion"
VERSION = 1

Content = Mapping[str, Any]  # Any: JSON

# What must be the same where a fusion is fitted and where it is applied: name -> what is to be done where it is not.
_WAYS_OUT: Mapping[str, str] = {
    "model": "name the encoder it was fitted with (`clip`, `clip_config`; `support_encoder` where shots alone speak)",
    "model config": "name the encoder it was fitted with (`clip_config`)",
    "weights": "pass the weights it was fitted with (`clip_weights`)",
    "crop rule": "pass `crop` as it was",
    "preprocessing": "use the encoder it was fitted with, and `compat` as it was",
    "classes": "use the annotations or classes it was fitted with",
    "category ids": "use the annotations or classes it was fitted with",
    "re-scored classes": "pass `rescore_classes` and `novel` as they were",
    "evidence": "pass `evidence` and `support` as they were",  # before prompts, which shots alone have none of
    "prompts": "pass `template`, `alias`, `background` and `softmax_over` as they were",
    "temperature": "pass `temperature` as it was",
    "names in the softmax": "pass `softmax_over` as it was",
    "novel classes": "pass `novel` as it was",
    "relabelling": "pass `relabel` as it was",
    "score range": "pass `min_score` and `max_score` as they were",
    "support encoder": "pass `support_encoder` and `support_weights` as they were",
    "support": "pass `support` (and `shots`, `split_seed`) as it was",
}


@dataclass(frozen=True)
class SavedFusion:
    """A fusion as it was read, and what it was fitted to."""

    path: Path
    fusion: FittedFusion | Calibration
    conditions: Content
    content: Content  # the whole file
    thresholds: Mapping[str, float] | None = None  # class name -> score from which rows are kept
    texts: Texts | None = None  # that were chosen by the labels

    def completed(self, settings: RescoreSettings) -> RescoreSettings:
        """The settings with the texts that were chosen by the labels, where no others are asked for."""
        asked = Texts(settings.templates, settings.aliases)
        if self.texts is None or asked != Texts(RescoreSettings.templates, {}):
            return settings
        return settings.saying(self.texts)


def conditions_of(
    *,
    encoder_key: str | None,
    vocabulary: ClassVocabulary,
    settings: RescoreSettings,
    prototypes: Prototypes | None,
    support_encoder_key: str | None = None,
) -> dict[str, Any]:
    """What a fusion holds for, as plain JSON values; the encoder's number format, which hardly matters, is left out."""
    classes = {"classes": list(vocabulary.names), "category ids": list(vocabulary.category_ids)}
    if encoder_key is None:
        return {**classes, "evidence": settings.evidence}
    key = _parsed(encoder_key)
    preprocessing = dict(key.get("preprocessing") or {})
    prompts, _ = prompts_of(vocabulary, settings)
    return {
        "model": key.get("model"),
        "model config": key.get("config"),
        "weights": key.get("weights"),
        "crop rule": preprocessing.pop("crop", None),
        "preprocessing": {**preprocessing, "cropping": key.get("cropping")},
        **classes,
        "re-scored classes": [vocabulary.names[label] for label in labels_to_rescore(vocabulary, settings)],
        "evidence": settings.evidence,
        "prompts": [list(group) for group in prompts.groups] if settings.asks_names else [],
        "temperature": settings.temperature,
        "names in the softmax": settings.softmax_over,
        "novel classes": [name for name in vocabulary.names if name in vocabulary.novel],
        "relabelling": settings.relabel,
        "score range": [settings.min_score, settings.max_score],
        "support": prototypes.sha256 if prototypes is not None and settings.asks_shots else None,
        "support encoder": None if support_encoder_key is None else _without_precision(support_encoder_key),
    }


def _parsed(key: str) -> dict[str, Any]:  # Any: JSON
    try:
        return dict(json.loads(key))
    except ValueError:
        return {"model": key}  # an encoder of somebody's own


def _without_precision(key: str) -> dict[str, Any]:  # Any: JSON
    return {name: value for name, value in _parsed(key).items() if name != "precision"}


@dataclass(frozen=True)
class _StatedThreshold:
    score: float


@dataclass(frozen=True)
class _Stated:
    fusion: FittedFusion
    conditions: dict[str, Any]  # Any: JSON
    thresholds: dict[str, _StatedThreshold] | None = None
    texts: Texts | None = None


@dataclass(frozen=True)
class _StatedCalibration:
    calibration: Calibration
    conditions: dict[str, Any]  # Any: JSON
    thresholds: dict[str, _StatedThreshold] | None = None


def read_fusion(path: Path) -> SavedFusion:
    """The fusion of a file that `risf tune` wrote. Raises DataError where it is none, or of another version."""
    content = read_json(path, what="fusion file")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DataError(f"{path}: is not a fusion file; name one that `risf tune` wrote")
    if content.get("version") != VERSION:
        raise DataError(
            f"{path}: has version {content.get('version')!r}, this risf reads {VERSION}; run risf tune again"
        )
    kind: type[_Stated | _StatedCalibration] = _StatedCalibration if "calibration" in content else _Stated
    stated = typed(content, kind, source=path, way_out="run risf tune again")
    fusion = stated.fusion if isinstance(stated, _Stated) else stated.calibration
    terms = fusion.terms if isinstance(fusion, FittedFusion) else ()
    unknown = [term.name for term in terms if term.name not in TERMS]
    if unknown:
        raise DataError(f"{path}: has a term {unknown[0]!r}, which this risf does not know; run risf tune again")
    thresholds = None
    if stated.thresholds is not None:
        thresholds = {name: threshold.score for name, threshold in stated.thresholds.items()}
        lacking = [name for name in stated.conditions.get("classes", ()) if name not in thresholds]
        if lacking:
            raise DataError(f"{path}: has no threshold of the class {lacking[0]!r}; run risf tune again")
    texts = stated.texts if isinstance(stated, _Stated) else None
    return SavedFusion(path, fusion, stated.conditions, content, thresholds, texts)


def check_fusion(saved: SavedFusion, conditions: Content) -> None:
    """Raises ConfigError, naming the first thing that differs, where a fusion was fitted to something else."""
    terms = saved.fusion.terms if isinstance(saved.fusion, FittedFusion) else ()
    for name, way_out in _WAYS_OUT.items():
        fitted, here = saved.conditions.get(name), conditions.get(name)
        if name == "novel classes" and all(term.name != "novel" for term in terms):
            continue
        if name == "relabelling" and here in (0, fitted) and all(term.name != "added" for term in terms):
            continue
        if fitted != here:
            difference = _difference(name, fitted, here)
            raise ConfigError(f"`fusion` {saved.path}: was fitted with {difference}; {way_out}, or run risf tune again")


def below_thresholds(
    detections: Detections, names: Sequence[str], thresholds: Mapping[str, float]
) -> NDArray[np.bool_]:
    """Which rows (N,) score below the threshold of their class; labels are positions in `names`, -1 has none."""
    least = np.array([*(thresholds[name] for name in names), -np.inf])  # label -1 is the last
    return np.asarray(detections.scores < least[detections.labels])


def _difference(name: str, fitted: Any, here: Any) -> str:  # Any: JSON
    """What differs, in a few words."""
    if isinstance(fitted, list) and isinstance(here, list) and name != "score range":
        if len(fitted) != len(here):
            return f"{len(fitted)} {name}, this run has {len(here)}"
        pairs = [(a, b) for a, b in zip(fitted, here, strict=True) if a != b]
        return f"other {name}: {excerpt(pairs[0][0])} there, {excerpt(pairs[0][1])} here"
    if isinstance(fitted, dict) and isinstance(here, dict):
        pairs = [
            (f"{key} {excerpt(fitted.get(key))}", excerpt(here.get(key)))
            for key in sorted({*fitted, *here})
            if fitted.get(key) != here.get(key)
        ]
        return f"another {name}: {pairs[0][0]} there, {pairs[0][1]} here"
    return f"another {name}: {_short(fitted)} there, {_short(here)} here"


def _short(value: Any) -> str:  # Any: JSON
    """A value for a message: hashes by their first 12 digits."""
    return (
        f"{value[:12]}..." if isinstance(value, str) and len(value) == 64 else "none" if value is None else str(value)
    )
