"""The record beside a re-scored file: every setting in force, versions, hashes, counts and speed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from risf_core.files import is_stream, sha256_of
from risf_core.rescore.fitted import FittedFusion
from risf_core.rescore.pipeline import RescoreResult
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings, labels_to_rescore
from risf_core.vocabulary import ClassVocabulary

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder

_PACKAGES = ("risf", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")


def make_record(
    result: RescoreResult,
    *,
    settings: RescoreSettings,
    options: Mapping[str, Any],
    vocabulary: ClassVocabulary,
    encoder: OpenClipEncoder,
    inputs: Mapping[str, Path | None],
    matching: Mapping[str, Any],
    prototypes: Prototypes | None = None,
    fitted: FittedFusion | None = None,
    cache_hits: int = 0,
    processes: int = 1,
    seconds: float,
) -> dict[str, Any]:
    """What a person needs to know, or to do the same again, as a dict of plain JSON values.

    Args:
        options: the command's options as they were in force.
        inputs: the files read, by option name; None where the option names none.
        matching: how images were found, and which were not.
        prototypes: the shots that spoke beside the names.
        fitted: the fusion that was applied in place of the formula.
        cache_hits: crops whose embeddings the cache knew.
        seconds: wall-clock time of the whole, reading and model loading included.
    """
    counts = asdict(result.counts)
    formula = () if fitted is None else ("alpha", "fusion")  # that the fit stood in for
    return {
        "options": {name.rstrip("_"): plain(value) for name, value in options.items()},
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
        "encoder": {
            "model": encoder.source.name,
            "tag": encoder.source.tag,
            "config": encoder.source.model_config,
            "weights": str(encoder.source.weights),
            "weights_sha256": encoder.weights_sha256,
            "device": encoder.device,
            "precision": encoder.precision,
            "batch_size": encoder.batch_size,
            "workers": encoder.workers,
            "preprocessing": asdict(encoder.preprocessing),
        },
        "inputs": {name: identified(path) for name, path in inputs.items() if path is not None},
        "matching": dict(matching),
        "counts": {**counts, "eligible": result.counts.eligible, "from_cache": cache_hits},
        "processes": processes,
        "seconds": round(seconds, 3),
        "encoded_crops_per_second": round((result.counts.unique_crops - cache_hits) / max(seconds, 1e-9), 2),
        "versions": {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def plain(value: Any) -> Any:
    """An option's value as JSON has it."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def identified(path: Path) -> dict[str, str | None]:
    """A file's path and hash; a folder has none, nor has a stream, which can be read once only."""
    whole = not is_stream(path) and not path.is_dir()
    return {"path": str(path), "sha256": sha256_of(path) if whole else None}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
