"""An image-only encoder of timm (DINOv2, DINOv3, C-RADIO, ConvNeXt ...): it knows crops, and no texts."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from timm.data.config import resolve_data_config
from torch.nn import functional

from risf_core.choices import CropRule, Precision
from risf_core.encoder.batches import batch_plan, encode_in_batches
from risf_core.encoder.image_weights import (
    ImageOnlyEncoder,
    Published,
    given_weights,
    hub_weights,
    load_weights,
    place_of_url,
    url_weights,
)
from risf_core.encoder.preprocessing import DTYPES, Preprocessing
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import EncoderError, did_you_mean, listing
from risf_core.hub import HUB_FILES, in_hub_cache


class TimmEncoder(ImageOnlyEncoder):
    """Embeddings of crops by a model of timm: its pooled features as timm pools them, of unit length."""

    def __init__(
        self,
        name: str,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        precision: Precision = "fp32",
        crop: CropRule = "squash",
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> None:
        """
        Args:
            name: as timm has it, ARCHITECTURE[.TAG].
            weights: a local file (safetensors, pth), in place of those that timm names.
            batch_size, workers: as `OpenClipEncoder` has them.

        Raises EncoderError where timm has no such model, or its weights are neither here nor in reach.
        """
        self.name, self.full_name = name, f"timm:{name}"
        self.device = device
        self.precision = precision
        self.batch_size, self.workers = batch_plan(batch_size, workers, device)
        self._pretrained = _pretrained_of(name)
        self.licence = self._pretrained.get("license")
        self._crops = _preprocessing_of(name, self._pretrained, crop)
        self.preprocessing = asdict(self._crops)
        self.weights = given_weights(weights) if weights is not None else _published_weights(name, self._pretrained)

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D), of unit length."""
        return encode_in_batches(
            images,
            cut=self._crops.cut,
            forward=self._forward,
            dimension=int(getattr(self._model, "head_hidden_size", self._model.num_features)),
            batch_size=self.batch_size,
            workers=self.workers,
            beside=self.device != "cpu",
        )

    @torch.inference_mode()
    def _forward(self, crops: torch.Tensor) -> torch.Tensor:
        pixels = self._crops.model_input(
            crops, batch_size=self.batch_size, device=self.device, precision=self.precision
        )
        features: torch.Tensor = self._model(pixels)[: len(crops)]
        if features.ndim != 2:
            raise EncoderError(f"timm:{self.name} gives no pooled features, one vector per crop; name another model")
        return functional.normalize(features.float(), dim=-1)

    @cached_property
    def _model(self) -> Any:  # Any: timm is not typed
        model = timm.create_model(self.name, pretrained=False, num_classes=0)
        module = sys.modules[timm.models.model_entrypoint(self.name.partition(".")[0]).__module__]
        head = self._pretrained.get("classifier") or ()
        load_weights(
            model,
            self.weights,
            name=f"timm:{self.name}",
            head=(head,) if isinstance(head, str) else head,
            converted=getattr(module, "checkpoint_filter_fn", None),  # where a family's files have other names
        )
        return model.to(self.device, DTYPES[self.precision]).to(memory_format=torch.channels_last).eval()


def published(name: str) -> Published:
    """The published weights of a model, whether they are here. Raises EncoderError where timm has no such model."""
    stated = _pretrained_of(name)
    repository, file_name, url = (stated.get(key) for key in ("hf_hub_id", "hf_hub_filename", "url"))
    here = in_hub_cache(repository, (file_name,) if file_name else HUB_FILES) if repository else None
    if not repository and url and place_of_url(url).is_file():
        here = place_of_url(url)
    return Published(_preprocessing_of(name, stated, "squash").side, stated.get("license"), here)


def _pretrained_of(name: str) -> dict[str, Any]:
    """What timm states of a model's published weights."""
    architecture, _, tag = name.partition(".")
    if not timm.is_model(architecture):
        near = did_you_mean(architecture, timm.list_models())
        raise EncoderError(
            f"`support_encoder=timm:{name}`: timm {timm.__version__} has no model {architecture!r}{near}"
        )
    try:
        stated = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError:  # of a tag that it does not know
        tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{architecture}.*")]
        raise EncoderError(
            f"`support_encoder=timm:{name}`: {architecture} has no weights tagged {tag!r}{did_you_mean(tag, tags)}; "
            f"tags: {listing(tags, most=12) or 'none'}"
        ) from None
    return {} if stated is None else dict(vars(stated))


def _preprocessing_of(name: str, pretrained: dict[str, Any], crop: CropRule) -> Preprocessing:
    """The model's own, but for the middle of the picture: a crop is all of the object."""
    stated = resolve_data_config(pretrained_cfg=pretrained)  # type: ignore[no-untyped-call]
    channels, height, width = stated["input_size"]
    if channels != 3 or height != width:
        raise EncoderError(f"timm:{name} wants {channels} channels of {width}x{height}; only square RGB is supported")
    if stated["interpolation"] not in ("bicubic", "bilinear"):
        raise EncoderError(f"timm:{name} wants {stated['interpolation']!r} interpolation, not bicubic or bilinear")
    return Preprocessing(width, tuple(stated["mean"]), tuple(stated["std"]), stated["interpolation"], crop)


def _published_weights(name: str, pretrained: dict[str, Any]) -> Path:
    encoder = f"timm:{name}"
    repository, file_name = pretrained.get("hf_hub_id"), pretrained.get("hf_hub_filename")
    if repository:
        return hub_weights(encoder, repository, (file_name,)) if file_name else hub_weights(encoder, repository)
    if pretrained.get("url"):
        return url_weights(encoder, pretrained["url"])
    raise EncoderError(f"{encoder}: timm names no published weights; pass a file of your own with `support_weights`")
