"""The image-text encoder of open_clip: crops are cut in threads, many images share a batch."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from risf_core.choices import CropRule, Precision
from risf_core.encoder.batches import batch_plan, encode_in_batches
from risf_core.encoder.crops import cut_released_crops
from risf_core.encoder.key import encoder_key
from risf_core.encoder.open_clip_model import (
    Tokenizer,
    build_model,
    build_tokenizer,
    check_prompt_lengths,
    preprocessing_of,
    stored_scale,
)
from risf_core.encoder.preprocessing import DTYPES, on_device
from risf_core.encoder.protocol import ImageCrops
from risf_core.encoder.weights import EncoderSource
from risf_core.errors import ConfigError
from risf_core.files import sha256_of
from risf_core.images import decode_rgb

if TYPE_CHECKING:
    from risf_core.encoder.openvino import OpenVinoTower


class OpenClipEncoder:
    """Embeddings of crops and texts by a model of open_clip, built when the first one is asked for.

    Crops of many images share a batch; batches are the same whatever the number of workers.
    """

    def __init__(
        self,
        source: EncoderSource,
        *,
        device: str = "cpu",
        precision: Precision = "fp32",
        crop: CropRule = "squash",
        batch_size: int | None = None,
        workers: int | None = None,
        compat_released: bool = False,
        tower: OpenVinoTower | None = None,
    ) -> None:
        """
        Args:
            batch_size: crops a forward pass; None: 256 on a GPU, 32 on a CPU.
            workers: threads that decode and cut; 0: the one that runs the model; None: one per core, up to 8.
            compat_released: crops as the authors' public code makes them, one image a batch.
            tower: what computes image features in the place of torch, for batches of this size on the CPU.
        """
        if compat_released and crop != "squash":
            raise ConfigError(f"`compat=released` cuts crops in its own way; leave out `crop={crop}`")
        self.source = source
        self.device = device
        self._dtype: Precision = precision  # of torch's tower
        self._tower = tower
        self.precision: str = precision if tower is None else tower.stated.precision
        self.batch_size, self.workers = batch_plan(batch_size, workers, device)
        self.compat_released = compat_released
        self.measured: Mapping[Any, float] = {}  # number format -> crops a second, where the format was chosen by that
        self.preprocessing = preprocessing_of(source, "released" if compat_released else crop)

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of the weights' bytes."""
        return sha256_of(self.source.weights)

    @property
    def description(self) -> dict[str, Any]:
        """What a record says of the encoder, as plain JSON values."""
        return {
            "model": self.source.name,
            "tag": self.source.tag,
            "config": self.source.model_config,
            "weights": str(self.source.weights),
            "weights_sha256": self.weights_sha256,
            "device": self.device,
            "precision": self.precision,
            "backend": "torch" if self._tower is None else {"openvino": asdict(self._tower.stated)},
            "crops_per_second": dict(self.measured),
            "batch_size": self.batch_size,
            "workers": self.workers,
            "preprocessing": asdict(self.preprocessing),
        }

    @cached_property
    def scale_and_bias(self) -> tuple[float, float | None]:
        """exp(logit_scale), the factor of the cosine that the model was trained with, and its bias (SigLIP) if any."""
        return stored_scale(self.source)

    @cached_property
    def key(self) -> str:
        """Model, weights, precision, backend and preprocessing as one line of JSON; needs no model to be built."""
        tower = {} if self._tower is None else {"openvino": self._tower.stated.calibration}
        return encoder_key(
            model=self.source.name,
            config=self.source.model_config,
            weights_sha256=self.weights_sha256,
            precision=self.precision,
            preprocessing=vars(self.preprocessing),
            **tower,
        )

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D), of unit length.

        Memory stays bounded whatever the number of photos and of boxes in one. Raises ImageError for a bad photo.
        """
        return encode_in_batches(
            images,
            cut=self._cut,
            forward=self._forward,
            dimension=int(self.source.model_config["embed_dim"]),
            batch_size=self.batch_size,
            workers=self.workers,
            beside=self.device != "cpu",
            photo_per_batch=self.compat_released,  # the authors' public code takes one image at a time
        )

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embedding of each text, (T, D), in float32, of unit length."""
        check_prompt_lengths(self.source, self._tokenizer, texts)
        parts = []
        with torch.inference_mode():
            for start in range(0, len(texts), 256):
                tokens = self._tokenizer(list(texts[start : start + 256])).to(self.device)
                parts.append(functional.normalize(self._model.encode_text(tokens), dim=-1).float().cpu())
        embeddings: NDArray[np.float32] = torch.cat(parts).numpy()
        return embeddings

    def crops_per_second(self, precision: Precision, count: int) -> float:
        """How fast `count` crops pass the image tower in a number format: the better of two passes after a first."""
        formatted = self._tower
        if formatted is None:
            formatted = copy.deepcopy(self._model.visual).to(DTYPES[precision], memory_format=torch.channels_last)
        side = self.preprocessing.side
        pixels = torch.zeros(count, 3, side, side, dtype=DTYPES[precision], device=self.device)
        pixels = pixels.to(memory_format=torch.channels_last)
        seconds = []
        with torch.inference_mode():
            for _ in range(3):
                start = time.perf_counter()
                formatted(pixels)
                seconds.append(time.perf_counter() - start)
        return count / min(seconds[1:])

    def model_input(self, crops: torch.Tensor) -> torch.Tensor:
        """Normalised crops on the device (batch size, 3, side, side), of uint8 ones (n, 3, side, side)."""
        return self.preprocessing.model_input(
            crops, batch_size=self.batch_size, device=self.device, precision=self._dtype
        )

    def torch_tower(self, memory_format: torch.memory_format = torch.channels_last) -> Any:  # Any: open_clip's
        """The image tower; in another memory format a copy."""
        tower = self._model.visual
        return tower if memory_format == torch.channels_last else copy.deepcopy(tower).to(memory_format=memory_format)

    def _cut(self, job: ImageCrops) -> NDArray[Any]:
        if self.compat_released:
            photo = decode_rgb(job.photo.path, job.photo.size)
            return cut_released_crops(photo, job.boxes, side=self.preprocessing.side)
        return self.preprocessing.cut(job)

    @torch.inference_mode()
    def _forward(self, crops: torch.Tensor) -> torch.Tensor:
        """Embeddings (n, D) of crops (n, 3, side, side): uint8 RGB, or float as the released code feeds them."""
        if self.compat_released:
            pixels = on_device(crops, self.device).to(DTYPES[self._dtype], memory_format=torch.channels_last)
        else:
            pixels = self.model_input(crops)
        encode = self._model.encode_image if self._tower is None else self._tower
        features: torch.Tensor = encode(pixels)[: len(crops)]
        return functional.normalize(features.float(), dim=-1)

    @cached_property
    def _model(self) -> Any:  # Any: open_clip is not typed
        model = build_model(self.source)
        # channels last: half as long again for convolutional towers, no difference for transformers
        model.visual.to(DTYPES[self._dtype], memory_format=torch.channels_last)
        # the text tower stays in float32: it is run once
        return model.to(self.device).eval()

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return build_tokenizer(self.source)
