"""Which image-only encoder a name means: they compare crops with crops, and read no class names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from risf_core.encoder.choice import EncoderChoice
from risf_core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from risf_core.encoder.pcb import PcbEncoder
    from risf_core.encoder.timm_encoder import TimmEncoder

ImageEncoder: TypeAlias = "TimmEncoder | PcbEncoder"
PCB_ENCODER = "torchvision:resnet101"


def check_image_encoder(name: str) -> None:
    """Raises ConfigError where a name is not of an image-only encoder's form."""
    if name != PCB_ENCODER and not (name.startswith("timm:") and len(name) > len("timm:")):
        raise ConfigError(
            f"`support_encoder={name}` is unknown{did_you_mean(name, [PCB_ENCODER])}; give timm:NAME (a model of "
            f"timm) or {PCB_ENCODER}"
        )


def open_image_encoder(name: str, *, weights: Path | None, run: EncoderChoice) -> ImageEncoder:
    """The encoder, run as `run` says: its device, precision, crops and speed. Imports torch and timm."""
    from risf_core.devices import choose_device, choose_precision

    check_image_encoder(name)
    device = choose_device(run.device)
    # PCB as it was published; a CPU that lists bfloat16 may be slower with it
    exact = run.precision == "auto" and (name == PCB_ENCODER or device == "cpu")
    precision = choose_precision("fp32" if exact else run.precision, device)
    if name == PCB_ENCODER:
        from risf_core.encoder.pcb import PcbEncoder

        return PcbEncoder(weights=weights, device=device, precision=precision, workers=run.workers)
    from risf_core.encoder.timm_encoder import TimmEncoder

    return TimmEncoder(
        name.removeprefix("timm:"),
        weights=weights,
        device=device,
        precision=precision,
        crop=run.crop,
        batch_size=run.batch_size,
        workers=run.workers,
    )
