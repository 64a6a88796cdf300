"""Opening torch's files and pickles as data: nothing that they say is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from risf_core.files import saved_instead

ZIP_START = b"PK\x03\x04"
_SLACK = 64 << 20  # bytes that any archive may inflate by: the code and names in it are text


class RefusedPickle(Exception):
    """Something that a pickle asks for and that is not among what is known."""


class DataUnpickler(pickle._Unpickler):  # the one in Python: its memo is a dict, which no index makes large
    """Calls nothing but what `known` lists, and sets the state of `stateful` objects alone."""

    known: ClassVar[Mapping[tuple[str, str], Any]] = {}  # Any: types and functions
    stateful: ClassVar[tuple[type, ...]] = ()
    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        """What is known under the name of a global."""
        try:
            return self.known[module, name]
        except KeyError:
            raise RefusedPickle(f"{module}.{name}") from None

    def load_build(self) -> None:
        """Set an object's state: never that of a class or a function, which outlive the file."""
        instance, state = self.stack[-2:]
        if not isinstance(instance, self.stateful) or (isinstance(instance, dict) and not isinstance(state, dict)):
            raise RefusedPickle(f"the attributes of {getattr(instance, '__name__', type(instance).__name__)}")
        super().load_build()  # type: ignore[misc] # not in its stub

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


def fault_of_text(path: Path) -> str | None:
    """What a text is that was saved in place of a file of weights, and what to do; None where it is none. OSError."""
    with open(path, "rb") as handle:
        return saved_instead(handle.read(200).replace(b"<?xml", b"<html", 1))  # servers answer in XML too


def fault_of_torch_file(path: Path) -> str | None:
    """Why a file must not be given to `torch.load`; None where it may be.

    Some releases of torch run a TorchScript archive even when they are asked for weights only.
    """
    import torch

    with open(path, "rb") as handle:
        if handle.read(len(ZIP_START)) != ZIP_START:
            return None
    try:
        names = torch._C.PyTorchFileReader(str(path)).get_all_records()
    except RuntimeError:  # it is damaged, and torch.load says how
        return None
    if "constants.pkl" in names:  # how torch.load tells them
        return "is a TorchScript archive, which is a program"
    return fault_of_zip_size(path)


def fault_of_zip_size(path: Path) -> str | None:
    """That an archive would inflate far beyond its size, which torch's own files never do; else None."""
    try:
        with zipfile.ZipFile(path) as archive:
            inflated = sum(entry.file_size for entry in archive.infolist())
    except zipfile.BadZipFile:
        return "is a damaged archive"
    size = path.stat().st_size
    return f"inflates from {size:,} to {inflated:,} bytes" if inflated > 4 * size + _SLACK else None
