"""Image-only encoders: what they have in common, and their weights, read as data and fitted to their model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from risf_core.choices import Precision
from risf_core.encoder.damaged import DAMAGED
from risf_core.encoder.key import encoder_key
from risf_core.errors import EncoderError, excerpt, listing
from risf_core.files import sha256_of
from risf_core.hub import HUB_FILES, fetched, from_hub
from risf_core.unpickling import fault_of_text, fault_of_torch_file


class ImageOnlyEncoder:
    """What image-only encoders have in common: how records and caches know them, and that they read no texts."""

    full_name: str  # as `support_encoder` takes it
    licence: str | None  # of the published weights, as they state it
    weights: Path
    device: str
    precision: Precision
    batch_size: int
    workers: int
    preprocessing: Mapping[str, Any]  # plain JSON values

    @cached_property
    def weights_sha256(self) -> str:
        """The hash of the weights' bytes."""
        return sha256_of(self.weights)

    @property
    def description(self) -> dict[str, Any]:
        """What a record says of the encoder, as plain JSON values."""
        return {
            "model": self.full_name,
            "licence": self.licence,
            "weights": str(self.weights),
            "weights_sha256": self.weights_sha256,
            "device": self.device,
            "precision": self.precision,
            "batch_size": self.batch_size,
            "workers": self.workers,
            "preprocessing": dict(self.preprocessing),
        }

    @cached_property
    def key(self) -> str:
        """Model, weights, precision and preprocessing as one line of JSON; needs no model to be built."""
        return encoder_key(
            model=self.full_name,
            config={},
            weights_sha256=self.weights_sha256,
            precision=self.precision,
            preprocessing=self.preprocessing,
        )

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Refuses: there is no text encoder. Raises EncoderError."""
        raise EncoderError(
            f"{self.full_name} reads no texts; use it as `support_encoder`, beside a `clip` for the names"
        )


def given_weights(path: Path) -> Path:
    """A file of weights, checked as far as can be without reading it. Raises EncoderError."""
    if not path.is_file():
        raise EncoderError(f"`support_weights={path}`: there is no such file")
    fault = fault_of_text(path)
    if fault is None and path.suffix != ".safetensors":
        fault = fault_of_torch_file(path)
    if fault is not None:
        raise EncoderError(f"{path}: {fault}; pass a file of weights (safetensors, pth), or fetch it again")
    return path


def hub_weights(encoder: str, repository: str, names: Sequence[str] = HUB_FILES) -> Path:
    """The weights of a repository of the hub, downloaded where they are not on this machine."""
    return from_hub(encoder, repository, names, option="support_weights", fault=EncoderError)


@dataclass(frozen=True)
class Published:
    """What is known of published weights without opening them."""

    side: int | None  # pixels of the model's input
    licence: str | None
    weights: Path | None  # on this machine


def place_of_url(url: str) -> Path:
    """Where torch keeps what it downloads from an address."""
    return Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])


def url_weights(encoder: str, url: str) -> Path:
    """The weights at an address, in torch's own folder, downloaded where they are not on this machine."""
    path = place_of_url(url)
    if path.is_file():
        return path

    def fetch() -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = path.stem.rpartition("-")[2]  # torchvision's names end in the start of their SHA-256
        torch.hub.download_url_to_file(url, str(path), hash_prefix=digest, progress=False)
        return path

    return fetched(encoder, url, url, fetch, option="support_weights", fault=EncoderError)


def load_weights(
    model: nn.Module,
    path: Path,
    *,
    name: str,
    head: Sequence[str] = (),
    converted: Callable[[dict[str, Tensor], nn.Module], dict[str, Tensor]] | None = None,
) -> None:
    """Load a file of weights into a model. Raises EncoderError where it cannot be read or is of another model.

    Args:
        head: layers of the file that the model does without, such as its classifier.
        converted: gives the file's tensors the model's names and shapes.
    """
    given_weights(path)
    try:
        state = timm.models.load_state_dict(str(path), weights_only=True)
    except DAMAGED as error:
        raise EncoderError(
            f"{path}: cannot be read as weights ({excerpt(str(error))}); pass a file of weights (safetensors, pth), or "
            "fetch it again"
        ) from error
    try:
        if converted is not None:
            state = converted(state, model)
        loaded = model.load_state_dict(state, strict=False)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path}: these weights are not of the model {name} ({_gist(error)})") from error
    parts = {part for part, _ in model.named_children()}
    # what belongs to no part of the model (a token for masked pixels, a classifier) does no harm; a layer too many does
    foreign = [
        key
        for key in loaded.unexpected_keys
        if key.partition(".")[0] in parts and not any(f"{key}.".startswith(f"{layer}.") for layer in head)
    ]
    for what, keys in (("lack", loaded.missing_keys), ("have too many:", foreign)):
        if keys:
            raise EncoderError(
                f"{path}: these weights are not of the model {name}: they {what} {listing(keys, most=2)}"
            )


def _gist(error: Exception) -> Any:
    lines = str(error).splitlines()
    return excerpt(lines[1 if len(lines) > 1 else 0].strip()) if lines else type(error).__name__
