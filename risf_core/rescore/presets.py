"""Presets: published ways of re-scoring, each as values of options that exist anyway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from risf_core.choices import Preset
from risf_core.encoder.image_only import PCB_ENCODER

Values = Mapping[str, Any]  # Any: what each option takes

PRESETS: Mapping[Preset, Values] = {
    "cm-clip": {},  # RISF's, the defaults
    "pcb": {  # DeFRCN's (ICCV 2021): s' = 0.5 s + 0.5 cos
        "alpha": 0.5,
        "evidence": "support",
        "support_encoder": PCB_ENCODER,
        "support_score": "cosine",
        "rescore_classes": "novel",
    },
}


def with_preset(preset: Preset, options: Values, *, typed: set[str], novel: bool) -> dict[str, Any]:
    """The options' values, with the preset's in place of those that were not typed.

    Without `novel` classes there is no telling them apart, and a preset re-scores all.
    """
    of_preset = {
        name: value for name, value in PRESETS[preset].items() if name not in typed and (novel or value != "novel")
    }
    return {**options, **of_preset}
