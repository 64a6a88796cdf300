"""The tensors of a TorchScript archive, the form in which OpenAI published CLIP, read without TorchScript."""

from __future__ import annotations

import ast
import io
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from risf_core.errors import EncoderError, excerpt
from risf_core.unpickling import DataUnpickler, RefusedPickle, fault_of_zip_size

_CLASS = re.compile(r"^class (\w+)\(Module\):\n((?:[ \t].*\n|\n)*)", re.MULTILINE)
_NAMES = re.compile(r"^ +__(?:parameters|buffers)__ = (\[.*\])$", re.MULTILINE)
_DTYPES = {
    "FloatStorage": torch.float32, "HalfStorage": torch.float16, "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """The parameters and buffers of an archive by name, on the CPU: its `state_dict`, its program left alone.

    Raises EncoderError where it holds anything but modules of tensors.
    """
    try:
        fault = fault_of_zip_size(path)
        if fault is not None:
            raise RefusedPickle(fault)
        with zipfile.ZipFile(path) as archive:
            root = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
            state: dict[str, Tensor] = {}
            _collect(_ArchiveUnpickler(archive, root).load(), "", _declared(archive, f"{root}code/"), state)
            return state
    except Exception as error:  # zipfile, zlib and the unpickler raise whatever they meet
        why = error if isinstance(error, RefusedPickle) else f"{type(error).__name__}: {error}"
        raise EncoderError(
            f"{path}: is a TorchScript archive of another form than OpenAI's CLIP ({excerpt(str(why))}), and archives "
            "are not run; if you trust it, convert it: "
            "python -c \"import torch; torch.save(torch.jit.load('IN', 'cpu').state_dict(), 'OUT')\""
        ) from None


class _Module:
    """Stands for a module of the archive."""

    kind = ""  # its class in the archive

    def __setstate__(self, state: Any) -> None:  # Any: what the file holds
        if not isinstance(state, dict):
            raise RefusedPickle(f"the state of {self.kind} is not its attributes")
        self.attributes = {str(name): value for name, value in state.items()}


class _ArchiveUnpickler(DataUnpickler):
    def __init__(self, archive: zipfile.ZipFile, root: str) -> None:
        super().__init__(io.BytesIO(archive.read(f"{root}data.pkl")))
        self._archive, self._root = archive, root

    def persistent_load(self, identity: Any) -> Tensor:
        """All of a storage's numbers, (count,), on the CPU wherever they were."""
        kind, dtype, key, _, count = identity
        if kind != "storage" or not isinstance(dtype, torch.dtype):
            raise RefusedPickle(f"a {kind}")
        content = bytearray(self._archive.read(f"{self._root}data/{key}"))
        return torch.frombuffer(content, dtype=dtype, count=count) if count else torch.empty(0, dtype=dtype)

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        if module == "__torch__" or module.startswith("__torch__."):
            return type("_Module", (_Module,), {"kind": f"{module}.{name}"})
        return super().find_class(module, name)

    def load_build(self) -> None:
        """Set a module's attributes."""
        module, state = self.stack[-2], self.stack.pop()
        if not isinstance(module, _Module):
            raise RefusedPickle(f"the attributes of {getattr(module, '__name__', type(module).__name__)}")
        module.__setstate__(state)

    known: ClassVar[Mapping[tuple[str, str], Any]] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: storage.as_strided(
            size, stride, offset
        ),
        # lists of numbers and texts that a module may keep beside its tensors
        **{
            ("torch.jit._pickle", name): lambda value, *_: value
            for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
        },
    }
    dispatch: ClassVar[dict[int, Any]] = {**DataUnpickler.dispatch, pickle.BUILD[0]: load_build}


def _declared(archive: zipfile.ZipFile, folder: str) -> dict[str, set[str]]:
    """What the program of the archive declares as parameters and buffers of each class."""
    declared: dict[str, set[str]] = {}
    for name in archive.namelist():
        if name.startswith(folder) and name.endswith(".py"):
            module = name.removeprefix(folder).removesuffix(".py").replace("/", ".")
            for own, body in _CLASS.findall(archive.read(name).decode()):
                lists = _NAMES.findall(body)
                if len(lists) == 2:  # early releases name no buffers: every tensor is one
                    declared[f"{module}.{own}"] = {entry for one in lists for entry in ast.literal_eval(one)}
    return declared


def _collect(module: Any, prefix: str, declared: dict[str, set[str]], state: dict[str, Tensor]) -> None:
    if not isinstance(module, _Module):
        raise RefusedPickle(f"it holds {type(module).__name__}")
    for name, value in getattr(module, "attributes", {}).items():
        if isinstance(value, _Module):
            _collect(value, f"{prefix}{name}.", declared, state)
        elif isinstance(value, Tensor) and name in declared.get(module.kind, {name}):
            state[prefix + name] = value
