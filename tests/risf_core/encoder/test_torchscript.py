"""TorchScript archives are read as data: the same tensors as TorchScript's own reading, and nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from risf_core.detector.pickles import load_torch_or_pickle
from risf_core.encoder.torchscript import read_torchscript
from risf_core.errors import CheckpointError, EncoderError

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning"),
]


class Part(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 2).half())
        self.register_buffer("count", torch.ones(2))
        self.register_buffer("kept_out", torch.arange(3.0), persistent=False)
        self.plain = torch.zeros(4)  # neither a parameter nor a buffer
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.plain.sum() + self.weight.sum() + self.kept_out.sum()


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Part()
        self.layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        self.tied = self.layers[0].weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(self.part(x))


class Writes(nn.Module):
    """Writes a file when TorchScript loads it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def forward(self) -> int:
        return 0

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        torch.save(state[0], "it-ran")
        self.weight = state[0]
        self.training = state[1]


@pytest.mark.parametrize("compiled", [torch.jit.script, lambda model: torch.jit.trace(model, torch.randn(1, 2))])
def test_the_tensors_are_those_of_torchscript(tmp_path: Path, compiled) -> None:
    path = tmp_path / "whole.pt"
    torch.jit.save(compiled(Whole()), path)
    found, expected = read_torchscript(path), torch.jit.load(path).state_dict()
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_an_archive_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.jit.save(torch.jit.script(Writes()), "writes.pt")
    with pytest.raises(EncoderError, match=r"writes\.pt: .*archives are not run"):
        read_torchscript(Path("writes.pt"))
    with pytest.raises(CheckpointError, match=r"writes\.pt: is a TorchScript archive"):
        load_torch_or_pickle(Path("writes.pt"))
    assert not Path("it-ran").exists()
    torch.jit.load("writes.pt")  # as it would have
    assert Path("it-ran").exists()


def test_a_cut_archive_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.jit.save(torch.jit.script(Whole()), path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(EncoderError) as caught:
        read_torchscript(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
