"""Hugging Face's hub: what of it is in this machine's cache, and whether it answers at all."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path


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
