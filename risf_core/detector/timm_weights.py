"""Weights of timm's networks: found offline first, and given the detector's names."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from timm.models import model_entrypoint
from torch import Tensor

from risf_core.detector.architecture import TIMM, TimmC4
from risf_core.detector.checkpoint_names import TIMM_PREFIXES
from risf_core.errors import CheckpointError, excerpt, listing
from risf_core.hub import from_hub


def published_weights(name: str) -> Path:
    """The file of the published weights of ``timm/NAME``: in the hub's cache, or downloaded.

    Raises CheckpointError where timm names none, or they are neither here nor in reach.
    """
    stated: Any = timm.get_pretrained_cfg(name.removeprefix(TIMM))  # Any: it is never None for a registered model
    if not stated.hf_hub_id:
        raise CheckpointError(f"{name}: timm names no weights of it on the hub; pass a file as `weights`")
    return from_hub(name, stated.hf_hub_id, option="weights", fault=CheckpointError)


def detector_names(
    found: Mapping[str, Tensor], architecture: TimmC4, source: Path
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """A file's arrays under the detector's names, and the names of those that it has no place for.

    Files of a network's authors are converted as timm does. Raises CheckpointError where they are of another network.
    """
    with torch.device("meta"):
        parts = [architecture.build_backbone().state_dict(), architecture.build_roi_stage().state_dict()]
        base = architecture.model.partition(".")[0]
        network = timm.create_model(base, **architecture.options)
    convert = getattr(sys.modules[model_entrypoint(base).__module__], "checkpoint_filter_fn", None)
    try:
        converted = dict(found) if convert is None else convert(dict(found), network)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{source}: is not of {architecture.name} ({excerpt(str(error))})") from error
    state = {
        f"{prefix}{name}": converted[name]
        for prefix, part in zip(TIMM_PREFIXES, parts, strict=True)
        for name in part
        if name in converted
    }
    if not state:
        raise CheckpointError(
            f"{source}: is not of {architecture.name} (its arrays: {listing(list(found), most=3)}); pass weights of it"
        )
    known = {name for part in parts for name in part}
    return state, tuple(name for name in converted if name not in known)
