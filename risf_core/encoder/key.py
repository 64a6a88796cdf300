"""The key of an encoder: what an embedding depends on besides the photo and the box."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

CROPPING_VERSION = 1  # goes up when crops.py makes other pixels of the same box: no cached embedding outlives that


def encoder_key(
    *,
    model: str,
    config: Mapping[str, Any],  # Any: JSON
    weights_sha256: str,
    precision: str,
    preprocessing: Mapping[str, Any],  # Any: JSON
    **backend: Any,  # Any: JSON; what computes in the place of torch
) -> str:
    """Model, weights, precision, preprocessing and backend as one line of JSON."""
    return json.dumps(
        {
            "model": model,
            "config": hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest(),
            "weights": weights_sha256,
            "precision": precision,
            "preprocessing": preprocessing,
            "cropping": CROPPING_VERSION,
            **backend,
        },
        sort_keys=True,
    )
