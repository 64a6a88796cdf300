"""Weights of image-only encoders: a file, the hub's cache or a download; read as data, and fitted to their model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from risf_core.errors import EncoderError, excerpt, listing
from risf_core.hub import HUB_FILES, fetched, from_hub
from risf_core.unpickling import fault_of_text, fault_of_torch_file


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


def url_weights(encoder: str, url: str) -> Path:
    """The weights at an address, in torch's own folder, downloaded where they are not on this machine."""
    path = Path(torch.hub.get_dir(), "checkpoints", url.rsplit("/", 1)[1])
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
    except (
        OSError,
        ValueError,
        RuntimeError,
        LookupError,
        TypeError,
        AttributeError,
        EOFError,
        MemoryError,
        SafetensorError,
    ) as error:
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
