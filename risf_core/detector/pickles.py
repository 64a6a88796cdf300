"""Reading pickles without running them: arrays, tensors and plain containers, nothing that executes."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import torch

from risf_core.errors import CheckpointError
from risf_core.unpickling import ZIP_START, DataUnpickler, RefusedPickle, fault_of_text, fault_of_torch_file

_LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # how files of torch before 1.6 begin


def load_torch_or_pickle(path: Path, *, allow_pickle: bool = False) -> Any:  # Any: a file holds what it holds
    """The content of a torch file (.pth) or of a plain pickle (.pkl), tensors on the CPU.

    A torch file is read with `weights_only`, a pickle by an unpickler that knows numpy arrays and plain containers; a
    torch file that holds numpy arrays too is read by the two together.
    Raises CheckpointError where the file is damaged, or wants anything more and `allow_pickle` is not set.
    """
    try:
        handle = open(path, "rb")  # noqa: SIM115 - opened apart from reading, because their faults mean different things
    except OSError as error:
        raise CheckpointError(f"{path}: the checkpoint cannot be read: {error.strerror or error}") from None
    with handle:
        try:
            return _load(handle, path, allow_pickle=allow_pickle)
        except RefusedPickle as refused:
            raise CheckpointError(_refusal(path, str(refused))) from None
        except (ImportError, AttributeError) as error:  # `allow_pickle`, and a class that is not installed
            raise CheckpointError(f"{path}: needs a package that is not installed here: {error}") from None
        except CheckpointError:
            raise
        except Exception as error:  # a damaged pickle ends in any of them
            raise CheckpointError(_damaged(path, error)) from None


def _load(handle: IO[bytes], path: Path, *, allow_pickle: bool) -> Any:
    start = handle.read(len(_LEGACY_TORCH))
    handle.seek(0)
    if start.startswith(ZIP_START) or start == _LEGACY_TORCH:
        fault = fault_of_torch_file(path)
        if fault is not None:
            raise CheckpointError(f"{path}: {fault}; pass a checkpoint that holds weights alone")
        try:
            return torch.load(handle, map_location="cpu", weights_only=not allow_pickle)
        except pickle.UnpicklingError as error:
            if allow_pickle or "truncated" in str(error):
                raise
        handle.seek(0)  # not tensors alone: arrays may be among them
        return torch.load(handle, map_location="cpu", weights_only=False, pickle_module=_TensorsAndArrays)
    if not start.startswith(b"\x80"):  # every binary pickle's first byte
        fault = fault_of_text(path) or "is not a checkpoint (a torch file, a pickle or safetensors); pass another file"
        raise CheckpointError(f"{path}: {fault}")
    # latin1 reads what Python 2 pickled, as the MSRA models were
    unpickler = pickle.Unpickler if allow_pickle else _ArrayUnpickler
    return unpickler(handle, encoding="latin1").load()


def _bytes_of(text: str, encoding: str) -> bytes:
    """How old pickle protocols spell the bytes of an array."""
    if encoding != "latin1":
        raise RefusedPickle(f"_codecs.encode to {encoding}")
    return text.encode("latin1")


def _known_globals() -> Mapping[tuple[str, str], Any]:
    # renamed in numpy 2; numpy 1.26 has a `_core` too, with nothing in it. Any: private on purpose
    core: Any = getattr(np, "_core" if int(np.__version__.partition(".")[0]) >= 2 else "core")
    known: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _bytes_of,
        ("collections", "OrderedDict"): OrderedDict,
        ("collections", "Counter"): Counter,  # torch's MultiStepLR keeps its milestones in one
    }
    for package in ("numpy.core", "numpy._core"):
        known[f"{package}.multiarray", "_reconstruct"] = core.multiarray._reconstruct
        known[f"{package}.multiarray", "scalar"] = core.multiarray.scalar
        known[f"{package}.numeric", "_frombuffer"] = core.numeric._frombuffer
    return known


class _ArrayUnpickler(DataUnpickler):
    known = _known_globals()
    stateful = (np.ndarray, np.dtype, OrderedDict, Counter)


class _TensorUnpickler(_ArrayUnpickler):
    known: ClassVar[Mapping[tuple[str, str], Any]] = {
        **_ArrayUnpickler.known,
        **{
            ("torch._utils", name): getattr(torch._utils, name)
            for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
        },
    }


class _TensorsAndArrays:
    """What `torch.load` takes for a pickle module."""

    __name__ = "restricted pickle"
    Unpickler = _TensorUnpickler

    @staticmethod
    def load(handle: IO[bytes], **keywords: Any) -> Any:
        return _TensorUnpickler(handle, **keywords).load()


def _refusal(path: Path, wanted: str) -> str:
    return (
        f"{path}: holds more than arrays: it wants to use {wanted}, and a pickle can run any code when it is opened; "
        "if you trust where it comes from, pass `allow_pickle`"
    )


def _damaged(path: Path, error: BaseException) -> str:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0][:120]
    return f"{path}: is cut short or damaged ({first_line}); copy or download it again"
