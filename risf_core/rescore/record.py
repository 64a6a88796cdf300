"""The record beside a re-scored file: every setting in force, versions, hashes, counts and speed."""

from __future__ import annotations

import contextlib
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from risf_core.errors import DataError
from risf_core.files import STANDARD_STREAM, is_stream, read_json, sha256_of
from risf_core.rescore.calibration import Calibration
from risf_core.rescore.encoders import Encoders
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.pipeline import RescoreResult
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore
from risf_core.vocabulary import ClassVocabulary

Record = Mapping[str, Any]  # Any: JSON
RECORD_SUFFIX = ".record.json"  # of the output's name

FITTED_TO_THESE = (
    "the fusion was fitted to these very annotations, so the figures flatter it; the table of risf tune, from "
    "cross-validation, does not"
)
_PACKAGES = ("risf", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")


def make_record(
    result: RescoreResult,
    *,
    settings: RescoreSettings,
    arguments: Mapping[str, Any],
    vocabulary: ClassVocabulary,
    encoders: Encoders,
    inputs: Mapping[str, Path | None],
    matching: Mapping[str, Any],
    prototypes: Prototypes | None = None,
    fitted: FittedFusion | Calibration | None = None,
    below_threshold: int | None = None,
    cache_hits: int = 0,
    processes: int = 1,
    seconds: float,
) -> dict[str, Any]:
    """What a person needs to know, or to do the same again, as a dict of plain JSON values.

    Args:
        arguments: what the job was called with, beside the settings.
        inputs: the files read, by argument; None where there is none.
        matching: how images were found, and which were not.
        prototypes: the shots that spoke beside the names.
        fitted: the fusion that was applied in place of the formula.
        below_threshold: rows dropped for scoring below their class's threshold; None: none was applied.
        cache_hits: embeddings of crops that the cache knew.
        seconds: wall-clock time of the whole, reading and model loading included.
    """
    counts = asdict(result.counts)
    encodings = result.counts.unique_crops * (1 if encoders.second is None else 2) + result.counts.tiles
    formula = () if fitted is None else ("alpha", "fusion")  # that the fit stood in for
    return {
        "arguments": plain(arguments),
        "settings": {name: value for name, value in asdict(settings).items() if name not in formula},
        "fitted": None if fitted is None else asdict(fitted),
        "support": None if prototypes is None else prototypes.to_json(),
        "classes": {
            "rescored": [vocabulary.names[label] for label in labels_to_rescore(vocabulary, settings)],
            "novel": [name for name in vocabulary.names if name in vocabulary.novel],
        },
        "prompts": {
            "names": list(result.prompts.names),
            "background": result.prompts.background,
            "texts": [list(group) for group in result.prompts.groups],
        },
        **encoders.descriptions(),
        "inputs": {name: identified(path) for name, path in inputs.items() if path is not None},
        "matching": dict(matching),
        "counts": {
            **counts,
            "eligible": result.counts.eligible,
            "from_cache": cache_hits,
            "below_threshold": below_threshold,
        },
        "processes": processes,
        "seconds": round(seconds, 3),
        "encoded_crops_per_second": round((encodings - cache_hits) / max(seconds, 1e-9), 2),
        "versions": {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def plain(value: Any) -> Any:
    """An argument as JSON has it."""
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def identified(path: Path) -> dict[str, str | None]:
    """A file's path and hash; a folder has none, nor has a stream, which can be read once only."""
    whole = not is_stream(path) and not path.is_dir()
    return {"path": str(path), "sha256": sha256_of(path) if whole else None}


def read_record(after: Path | str) -> Record | None:
    """The record that `risf rescore` left beside a file; None where there is none. Raises DataError if it is broken."""
    if str(after) == STANDARD_STREAM or is_stream(after):
        return None
    path = Path(f"{after}{RECORD_SUFFIX}")
    if not path.is_file():
        return None
    content = read_json(path, what="record")
    if not isinstance(content, dict):
        raise DataError(f"{path}: holds {type(content).__name__}, not the record of a re-scoring; move it away")
    return content


def names_other_input(record: Record, before: Path | str) -> bool:
    """Whether the record says that AFTER was made from another file than this one."""
    stated = value_at(record, "inputs", "detections", "sha256")
    if not isinstance(stated, str) or str(before) == STANDARD_STREAM or not Path(before).is_file():
        return False
    return stated != sha256_of(Path(before))


def is_fitted_to(after: Path | str, annotations: Path) -> bool:
    """Whether a file's record says for certain that its scores come from a fusion fitted to these annotations."""
    with contextlib.suppress(DataError):  # a broken record says nothing
        record = read_record(after)
        return record is not None and fitted_to(record, annotations) is True
    return False


def fitted_to(record: Record, annotations: Path) -> bool | None:
    """Whether AFTER's scores come from a fusion that was fitted to these very annotations.

    None where there is such a fusion, but nothing tells: its file does not stand any more where the record says, or one
    of the annotations is a folder.
    """
    if not record.get("fitted"):
        return False
    path = value_at(record, "inputs", "fusion", "path")
    if not isinstance(path, str) or not Path(path).is_file():
        return None
    if sha256_of(Path(path)) != value_at(record, "inputs", "fusion", "sha256"):
        return None
    fusion = read_json(path, what="fusion")
    labels = value_at(fusion if isinstance(fusion, dict) else {}, "inputs", "annotations", "sha256")
    if not isinstance(labels, str) or not annotations.is_file():
        return None
    return labels == sha256_of(annotations)


def value_at(record: Record, *keys: str) -> Any:  # Any: JSON
    """The value under keys, each inside the one before; None where there is none."""
    value: Any = record
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
