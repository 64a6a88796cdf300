"""Which encoders are known: all of open_clip, some image-only ones; what each needs, and whether it is here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from risf_core.choices import DEFAULT_CLIP
from risf_core.encoder.image_only import PCB_ENCODER
from risf_core.encoder.weights import local_weights_of_tag, needs_transformers

# Zero-shot accuracies on ImageNet as the models' authors publish them (open_clip's docs; PE: arXiv 2504.13181)
RECOMMENDED: Mapping[str, str] = {
    DEFAULT_CLIP: "the paper's encoder: RISF's figures are with it (ImageNet zero-shot 76.6)",
    "PE-Core-L-14-336:meta": "the best at the paper's cost, and it needs nothing further (83.5)",
    "PE-Core-T-16-384:meta": "the smallest, for a laptop",
}
# Of image-only encoders, which are many: those that example boxes are best compared with, the smallest first
RECOMMENDED_FOR_SHOTS: Mapping[str, str] = {
    "timm:vit_small_patch14_dinov2.lvd142m": "for example boxes: small, its licence allows any use",
    "timm:vit_base_patch14_dinov2.lvd142m": "the same, larger",
    "timm:vit_large_patch14_dinov2.lvd142m": "the same, largest",
    "timm:vit_small_patch16_dinov3.lvd1689m": "newer, with a licence of its own",
    "timm:vit_base_patch16_dinov3.lvd1689m": "the same, larger",
    "timm:vit_base_patch16_radio_v3.c_radio": "one student of CLIP, DINOv2 and SAM, with a licence of its own",
    PCB_ENCODER: "DeFRCN's own re-scoring (PCB)",
}
_LICENCE = re.compile(r"^license:\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True)
class KnownEncoder:
    """One set of published weights."""

    option: Literal["clip", "support_encoder"]  # that takes it
    name: str  # as the option takes it
    side: int | None  # pixels of its input; None: the photo's own
    context: int | None  # tokens of a prompt; None: it reads none
    width: int | None  # of its embeddings, where that is known without the model
    needs: tuple[str, ...]  # what must be installed beside risf
    weights: Path | None  # on this machine; None: they would be downloaded
    licence: str | None  # as the model's card states it, where that is on this machine

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf encoders --json` says."""
        return {**vars(self), "weights": None if self.weights is None else str(self.weights)}


def known_encoders() -> Iterator[KnownEncoder]:
    """Every model and tag of open_clip that can be used under its own name, by name."""
    import open_clip

    for name, tag in sorted(open_clip.list_pretrained()):
        config, pretrained = open_clip.get_model_config(name), open_clip.get_pretrained_cfg(name, tag)
        if bool(pretrained.get("quick_gelu")) and f"{name}-quickgelu" in open_clip.list_models():
            continue  # these weights are the other model's
        side = config["vision_cfg"].get("image_size", 224)
        yield KnownEncoder(
            option="clip",
            name=f"{name}:{tag}",
            side=int(side if isinstance(side, int) else side[0]),
            context=int(config["text_cfg"].get("context_length", 77)),
            width=int(config["embed_dim"]),
            needs=("risf[transformers]",) if needs_transformers(config) else (),
            weights=local_weights_of_tag(pretrained),
            licence=_licence(str(pretrained.get("hf_hub") or "").rpartition("/")[0]),
        )


def known_image_encoders() -> Iterator[KnownEncoder]:
    """Some image-only encoders, any other of timm does too."""
    from risf_core.encoder.pcb import published_pcb
    from risf_core.encoder.timm_encoder import published

    for name in RECOMMENDED_FOR_SHOTS:
        found = published_pcb() if name == PCB_ENCODER else published(name.removeprefix("timm:"))
        yield KnownEncoder(
            option="support_encoder",
            name=name,
            side=found.side,
            context=None,
            width=None,
            needs=(),
            weights=found.weights,
            licence=found.licence,
        )


def _licence(repository: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    card = try_to_load_from_cache(repository, "README.md") if repository else None
    if not isinstance(card, str):
        return None
    found = _LICENCE.search(Path(card).read_text(encoding="utf-8", errors="replace"))
    return found[1] if found else None
