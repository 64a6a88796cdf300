"""Which encoder speaks and where its embeddings are kept, as a caller states it; and that encoder, opened."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from risf_core.choices import DEFAULT_CLIP, BackendChoice, CropRule, Precision, PrecisionChoice
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.encoder.cached import CachedEncoder
    from risf_core.encoder.open_clip import OpenClipEncoder
    from risf_core.encoder.openvino import OpenVinoTower
    from risf_core.encoder.protocol import CropEncoder, ImageCrops


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
    backend: BackendChoice = "auto"

    def check(self) -> None:
        """Raises a RisfError for what is wrong with the choice and shows without torch and open_clip."""
        from risf_core.encoder.weights import check_encoder

        if self.backend == "openvino":
            if self.precision not in ("auto", "fp32"):
                raise ConfigError(
                    f"`backend=openvino` computes in int8 (`precision=auto`) or fp32, not `precision={self.precision}`"
                )
            if self.compat is not None or self.device not in ("auto", "cpu"):
                stated = f"compat={self.compat}" if self.compat is not None else f"device={self.device}"
                raise ConfigError(f"`backend=openvino` runs on the CPU, with crops of its own; leave out `{stated}`")

        check_encoder(self.clip, weights=self.clip_weights, config=self.clip_config)

    def open(
        self,
        *,
        crops: int = 0,
        cache: Path | None = None,
        some_crops: Callable[[], Sequence[ImageCrops]] = lambda: (),
    ) -> OpenClipEncoder:
        """The encoder. Imports torch and open_clip, so call it when the input has been checked.

        Args:
            crops: about how many are to be encoded; long runs on a CPU measure which number format is fastest.
            cache: the folder that remembers the measurement, and keeps an int8 model.
            some_crops: of the run, to take the ranges of int8 from.
        """
        from risf_core.devices import choose_device, choose_precision
        from risf_core.encoder import openvino
        from risf_core.encoder.open_clip import OpenClipEncoder
        from risf_core.encoder.precision import measured_precision
        from risf_core.encoder.weights import find_encoder

        device = "cpu" if self.backend == "openvino" else choose_device(self.device)
        released = self.compat == "released"
        # the authors' public code computes in half precision on a GPU; a stated precision beats that
        half = self.precision == "auto" and released and device.startswith("cuda")
        source = find_encoder(self.clip, weights=self.clip_weights, config=self.clip_config)

        def build(precision: Precision, tower: OpenVinoTower | None = None) -> OpenClipEncoder:
            return OpenClipEncoder(
                source,
                device=device,
                precision=precision,
                crop=self.crop,
                batch_size=self.batch_size,
                workers=self.workers,
                compat_released=released,
                tower=tower,
            )

        def build_openvino(precision: Literal["int8", "fp32"]) -> OpenClipEncoder:
            tower = openvino.openvino_tower(build("fp32"), some_crops, precision=precision, folder=cache)
            return build("fp32", tower)

        if self.backend == "openvino":
            return build_openvino("fp32" if self.precision == "fp32" else "int8")
        precision = choose_precision("fp16" if half else self.precision, device)
        if self.precision != "auto" or device != "cpu":
            return build(precision)
        # a CPU may list bfloat16 and be slower with it
        with_int8 = self.backend == "auto" and not released and openvino.is_installed()
        measured = measured_precision(
            build("fp32"),
            formats=("fp32",) if precision == "fp32" else ("fp32", precision),
            int8=(lambda: build_openvino("int8")) if with_int8 else None,
            crops=crops,
            folder=cache,
        )
        encoder = build_openvino("int8") if measured.chosen == "int8" else build(measured.chosen)
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
