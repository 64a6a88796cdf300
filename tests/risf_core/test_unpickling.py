"""Pickles of weights and of detections: no class is changed, and no small file takes much memory."""

from __future__ import annotations

import collections
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from risf_core.detector.pickles import load_torch_or_pickle
from risf_core.errors import RisfError
from risf_core.formats.pickled import load_pickled
from risf_core.formats.source import Source

READERS = [load_torch_or_pickle, lambda path: load_pickled(Source(path))]
Reader = Callable[[Path], Any]


def refusal(read: Reader, path: Path) -> str:
    with pytest.raises(RisfError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize(("module", "name"), [("collections", "OrderedDict"), ("numpy", "ndarray")])
def test_the_attributes_of_a_class_cannot_be_set(tmp_path: Path, read: Reader, module: str, name: str) -> None:
    kind = getattr({"collections": collections, "numpy": np}[module], name)
    before = dict(vars(kind))
    path = tmp_path / "a.pkl"
    state = b"N}X\x06\x00\x00\x00updateK\x01s\x86"  # (None, {"update": 1}), which sets attributes
    path.write_bytes(b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n" + state + b"b.")
    assert f"the attributes of {name}" in refusal(read, path)
    assert dict(vars(kind)) == before


@pytest.mark.parametrize("read", READERS)
def test_a_large_place_in_the_memo_takes_no_memory(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(b"\x80\x02]r" + struct.pack("<I", 10**8) + b".")
    tracemalloc.start()
    try:
        assert read(path) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000_000  # a list of so many places takes 800 MB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("read", READERS)
def test_an_archive_that_inflates_far_beyond_its_size_is_refused(tmp_path: Path, read: Reader) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", bytes(100 << 20))
        archive.writestr("a/version", "3\n")
    assert "inflates from " in refusal(read, path)


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<i8", "|u1", "|b1"])
def test_arrays_of_every_type_come_back(tmp_path: Path, read: Reader, dtype: str) -> None:
    path = tmp_path / "a.pkl"
    array = np.arange(6).reshape(2, 3).astype(dtype)
    path.write_bytes(pickle.dumps({"array": array, "scalar": array[1, 2]}))
    found, plain = read(path), pickle.loads(path.read_bytes())
    assert found["array"].dtype == plain["array"].dtype
    assert (found["array"] == array).all()
    assert found["scalar"] == array[1, 2]


class Holds:
    """Pickles as a tensor's storage does, with any bytes in it."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        return torch.storage._load_from_bytes, (self.content,)


def test_an_archive_inside_a_pickle_is_refused_before_torch_sees_it(tmp_path: Path) -> None:
    inner, path = tmp_path / "inner.pth", tmp_path / "outer.pkl"
    torch.save({"harmless": 1}, inner)
    path.write_bytes(pickle.dumps(Holds(inner.read_bytes())))
    assert "an archive inside a pickle" in refusal(READERS[1], path)
    tensor = torch.arange(3.0)
    path.write_bytes(pickle.dumps([tensor]))
    assert torch.equal(load_pickled(Source(path))[0], tensor)
