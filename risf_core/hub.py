"""Hugging Face's hub: what of it is in this machine's cache, and whether it answers at all."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from risf_core.errors import RisfError

HUB_FILES = ("model.safetensors", "pytorch_model.bin")  # of timm's repositories, the one to fetch first


def in_hub_cache(repository: str, names: tuple[str, ...]) -> Path | None:
    """The first of some files of a repository that is on this machine."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(repository, name) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def hub_endpoint() -> str:
    """The hub's address, or that of a mirror."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co")


def in_reach(address: str) -> bool:
    """Whether a server answers at all: asked once and briefly, where the hub would retry for half a minute."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        return False
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=10).close()
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False
    return True


def from_hub(
    what: str, repository: str, names: Sequence[str] = HUB_FILES, *, option: str, fault: type[RisfError]
) -> Path:
    """The first of some files of a repository that is on this machine, else the first one downloaded.

    Args:
        what: whose weights they are.
        option: the parameter that takes a file in their place.

    Raises `fault` where they are neither here nor in reach.
    """
    here = in_hub_cache(repository, tuple(names))
    if here is not None:
        return here

    def fetch() -> Path:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repository, names[0]))

    place = f"{names[0]} from https://huggingface.co/{repository}"
    return fetched(what, place, hub_endpoint(), fetch, option=option, fault=fault)


def fetched(
    what: str, place: str, address: str, fetch: Callable[[], Path], *, option: str, fault: type[RisfError]
) -> Path:
    """What `fetch` downloads. Raises `fault`, with what to do, where there is no network, or it fails."""
    advice = f"fetch {place} on a machine with network and pass it with `{option}`"
    if not in_reach(address):
        raise fault(f"{what}: its weights are not on this machine and there is no network; {advice}")
    try:
        return fetch()
    except Exception as error:  # urllib, requests, httpx, hub: each has its own family
        raise fault(f"{what}: its weights cannot be downloaded ({error}); {advice}") from error
