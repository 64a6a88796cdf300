"""The record beside a re-scored file: every setting in force, versions, hashes, counts and speed."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from risf_core.files import sha256_of
from risf_core.rescore.pipeline import RescoreResult, RescoreSettings

if TYPE_CHECKING:
    from risf_core.rescore.encoder import OpenClipEncoder

_PACKAGES = ("risf", "torch", "torchvision", "open_clip_torch", "numpy", "pillow")


def make_record(
    result: RescoreResult,
    *,
    settings: RescoreSettings,
    encoder: OpenClipEncoder,
    inputs: Mapping[str, Path | None],
    matching: Mapping[str, Any],
    cache_hits: int = 0,
    seconds: float,
) -> dict[str, Any]:
    """What a person needs to know, or to do the same again, as a dict of plain JSON values.

    Args:
        inputs: the files read, by option name; None for stdin.
        matching: how images were found, and which were not.
        cache_hits: crops whose embeddings the cache knew.
        seconds: wall-clock time of the re-scoring, model loading included.
    """
    counts = asdict(result.counts)
    return {
        "settings": asdict(settings),
        "prompts": {
            "names": list(result.prompts.names),
            "background": result.prompts.background,
            "texts": [list(group) for group in result.prompts.groups],
        },
        "encoder": {
            "model": encoder.source.name,
            "tag": encoder.source.tag,
            "weights": str(encoder.source.weights),
            "weights_sha256": encoder.weights_sha256,
            "device": encoder.device,
            "precision": encoder.precision,
            "batch_size": encoder.batch_size,
            "workers": encoder.workers,
            "preprocessing": asdict(encoder.preprocessing),
        },
        "inputs": {
            name: {"path": str(path) if path else "-", "sha256": sha256_of(path) if path else None}
            for name, path in inputs.items()
        },
        "matching": dict(matching),
        "counts": {**counts, "eligible": result.counts.eligible, "from_cache": cache_hits},
        "seconds": round(seconds, 3),
        "crops_per_second": round(result.counts.unique_crops / max(seconds, 1e-9), 2),
        "versions": {
            "python": sys.version.split()[0],
            "platform": platform.platform(),
            **{name: _version(name) for name in _PACKAGES},
        },
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
