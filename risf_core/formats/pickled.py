"""Detections in pickles and torch files: arrays, tensors and plain containers, opened as data."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from risf_core.errors import DataError
from risf_core.files import STANDARD_STREAM
from risf_core.formats.source import Source
from risf_core.unpickling import ZIP_START, DataUnpickler, RefusedPickle, fault_of_torch_file

_REFUSED = "a pickle can run any code when it is opened, so nothing but arrays, tensors and plain lists is taken"


def is_pickle(head: bytes) -> bool:
    """Whether a file begins as a binary pickle."""
    return head[:1] == b"\x80"


def is_torch_file(head: bytes) -> bool:
    """Whether a file begins as torch.save writes it."""
    return head.startswith(ZIP_START)


def load_pickled(source: Source) -> Any:  # Any: a pickle is of any shape until its reader has checked it
    """The content of a pickle or a torch file. Raises DataError where it is damaged or holds more than data."""
    if str(source.path) == STANDARD_STREAM:
        raise DataError("stdin: a pickle is read from a file only; pass its path")
    path = Path(source.path)
    try:
        if is_torch_file(source.head):
            return _torch_file(path, source.name)
        with open(path, "rb") as handle:
            return _unpickler()(handle, encoding="latin1").load()
    except RefusedPickle as refused:
        raise DataError(f"{source.name}: wants to use {refused}; {_REFUSED}") from None
    except (pickle.UnpicklingError, EOFError, OSError, RuntimeError, ValueError, LookupError, TypeError) as error:
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
        raise DataError(f"{source.name}: is damaged or not a file of detections ({first_line})") from None


def _torch_file(path: Path, name: str) -> Any:
    import torch

    fault = fault_of_torch_file(path)
    if fault is not None:
        raise DataError(f"{name}: {fault}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "Unsupported" in str(error) or "Weights only" in str(error):
            raise DataError(f"{name}: holds more than tensors and plain lists; {_REFUSED}") from None
        raise


def _tensor_bytes(content: bytes) -> Any:
    """How a plain pickle spells the storage of a tensor: in torch's oldest form, never as an archive."""
    import torch

    if content.startswith(ZIP_START):  # torch 2.3 runs a TorchScript archive from memory, weights only or not
        raise RefusedPickle("an archive inside a pickle")
    return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


@lru_cache(maxsize=1)
def _unpickler() -> type[DataUnpickler]:
    core: Any = getattr(np, "_core" if int(np.__version__.partition(".")[0]) >= 2 else "core")
    arrays: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): lambda text, encoding: text.encode("latin1"),
        ("collections", "OrderedDict"): OrderedDict,
        ("torch.storage", "_load_from_bytes"): _tensor_bytes,
    }
    for package in ("numpy.core", "numpy._core"):
        arrays[f"{package}.multiarray", "_reconstruct"] = core.multiarray._reconstruct
        arrays[f"{package}.multiarray", "scalar"] = core.multiarray.scalar
        arrays[f"{package}.numeric", "_frombuffer"] = core.numeric._frombuffer

    class Unpickler(DataUnpickler):
        known = arrays
        stateful = (np.ndarray, np.dtype, OrderedDict)

        def find_class(self, module: str, name: str) -> Any:
            if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
                import torch

                return torch._utils._rebuild_tensor_v2
            return super().find_class(module, name)

    return Unpickler
