"""Presets: published ways of re-scoring, as values of settings that exist anyway."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields, replace

from risf_core.choices import EvidenceKind, Preset, SupportScore
from risf_core.encoder.image_only import PCB_ENCODER
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.support import SupportChoice


@dataclass(frozen=True)
class _Pcb:
    """DeFRCN's re-scoring (ICCV 2021): s' = 0.5 s + 0.5 cos, of novel classes where some are."""

    alpha: float = 0.5
    evidence: EvidenceKind = "support"
    support_score: SupportScore = "cosine"
    rescore_classes: str = "novel"
    support_encoder: str = PCB_ENCODER


def with_preset(
    preset: Preset, settings: RescoreSettings, support: SupportChoice, *, stated: Collection[str], novel: bool
) -> tuple[RescoreSettings, SupportChoice]:
    """Settings and support with the preset's values in place of those that were not stated; cm-clip's are the defaults.

    Args:
        stated: the fields that the caller chose, which the preset leaves alone.
        novel: whether novel classes are named; without them all classes are re-scored.
    """
    if preset == "cm-clip":
        return settings, support
    pcb = _Pcb()
    kept = {*stated} if novel else {*stated, "rescore_classes"}
    changes = {each.name: getattr(pcb, each.name) for each in fields(pcb) if each.name not in kept}
    encoder = changes.pop("support_encoder", support.support_encoder)
    return replace(settings, **changes), replace(support, support_encoder=encoder)
