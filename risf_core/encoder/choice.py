"""Which encoder speaks and where its embeddings are kept, as a caller states it; and that encoder, opened."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from risf_core.choices import DEFAULT_CLIP, CropRule, Precision, PrecisionChoice

if TYPE_CHECKING:
    from risf_core.encoder.cached import CachedEncoder
    from risf_core.encoder.open_clip import OpenClipEncoder
    from risf_core.encoder.protocol import CropEncoder


@dataclass(frozen=True)
class EncoderChoice:
    """An encoder by name or files, and how it is run."""

    clip: str = DEFAULT_CLIP
    clip_weights: Path | None = None
    clip_config: Path | None = None
    crop: CropRule = "squash"
    compat: Literal["released"] | None = None  # crops as the authors' public code makes them
    device: str = "auto"
    precision: PrecisionChoice = "auto"
    batch_size: int | None = None
    workers: int | None = None

    def check(self) -> None:
        """Raises EncoderError for what is wrong with the choice and shows without torch and open_clip."""
        from risf_core.encoder.weights import check_encoder

        check_encoder(self.clip, weights=self.clip_weights, config=self.clip_config)

    def open(self, *, crops: int = 0, cache: Path | None = None) -> OpenClipEncoder:
        """The encoder. Imports torch and open_clip, so call it when the input has been checked.

        Args:
            crops: about how many are to be encoded; where a CPU has bfloat16, long runs measure what it is worth.
            cache: the folder that remembers the measurement.
        """
        from risf_core.devices import choose_device, choose_precision
        from risf_core.encoder.open_clip import OpenClipEncoder
        from risf_core.encoder.precision import measured_precision
        from risf_core.encoder.weights import find_encoder

        device = choose_device(self.device)
        released = self.compat == "released"
        # the authors' public code computes in half precision on a GPU; a stated precision beats that
        half = self.precision == "auto" and released and device.startswith("cuda")
        source = find_encoder(self.clip, weights=self.clip_weights, config=self.clip_config)

        def build(precision: Precision) -> OpenClipEncoder:
            return OpenClipEncoder(
                source,
                device=device,
                precision=precision,
                crop=self.crop,
                batch_size=self.batch_size,
                workers=self.workers,
                compat_released=released,
            )

        precision = choose_precision("fp16" if half else self.precision, device)
        if self.precision != "auto" or device != "cpu" or precision == "fp32":
            return build(precision)
        encoder = build("fp32")  # a CPU may list bfloat16 and be slower with it
        measured = measured_precision(encoder, crops=crops, folder=cache)
        encoder = encoder if measured.chosen == "fp32" else build(measured.chosen)
        encoder.measured = measured.crops_per_second
        return encoder


def with_cache(encoder: CropEncoder, folder: Path | None, *, span_machines: bool = False) -> CachedEncoder | None:
    """The encoder with a cache in a folder; None where there is to be none.

    SQLite's log cannot be shared over a network: processes that span machines keep a file each.
    """
    from risf_core.encoder.cache import FILE_NAME, EmbeddingCache
    from risf_core.encoder.cached import CachedEncoder

    if folder is None:
        return None
    return CachedEncoder(
        encoder, EmbeddingCache(folder, f"embeddings-{platform.node()}.sqlite" if span_machines else FILE_NAME)
    )
