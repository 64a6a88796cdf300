"""`risf convert-checkpoint` as a person runs it."""

from __future__ import annotations

import json
import resource
from functools import partial
from pathlib import Path

import pytest
import torch

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.detector.model import build_detector
from tests.conftest import Run
from tests.messages import assert_names


@pytest.fixture
def weights(tmp_path: Path, monkeypatch) -> Path:
    """A checkpoint of the small variant in the published form, with what training left beside the weights."""
    monkeypatch.chdir(tmp_path)
    model = build_detector(ARCHITECTURES["small"], class_count=4)
    torch.save({"model": model.state_dict(), "iteration": 9}, tmp_path / "w.pth")
    return Path("w.pth")


@pytest.fixture
def run(risf: Run):
    return partial(risf, "convert-checkpoint")


def test_the_suffix_names_the_form_and_the_talk_what_was_left_out(run, weights) -> None:
    result = run(weights, "--out", "new/w.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout == "new/w.safetensors\n"
    assert "in the file, but not a parameter of the network: 1: iteration" in result.stderr
    before, after = read_checkpoint(weights), read_checkpoint(Path("new/w.safetensors"))
    assert before.state.keys() == after.state.keys()
    assert all(torch.equal(before.state[name], after.state[name]) for name in before.state)


def test_json_lists_everything_that_has_no_place(run, weights) -> None:
    summary = json.loads(run(weights, "--to", "msra", "--out", "m.pkl", "--json").stdout)
    assert summary["out"] == {"path": "m.pkl", "form": "msra"}
    assert (summary["architecture"], summary["classes"]) == ("small", 4)
    assert "affine_rpn.weight" in summary["without_a_place"]
    assert len(summary["folded_norms"]) == 17


def test_a_run_folder_is_written_whole(run, weights) -> None:
    assert run(weights, "--to", "run", "--out", "run").exit_code == 0
    assert sorted(path.name for path in Path("run").iterdir()) == ["model_final.pth", "run.json"]
    assert read_checkpoint(Path("run")).architecture == ARCHITECTURES["small"]


@pytest.mark.parametrize("form", ["defrcn", "run", "detectron2", "msra", "safetensors"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(run, weights, form: str) -> None:
    target, written = Path("out"), Path("out/model_final.pth") if form == "run" else Path("out")
    written.parent.mkdir(exist_ok=True)
    written.write_bytes(b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (307_200, before[1]))  # no file can grow beyond: writing fails
        result = run(weights, "--to", form, "--out", target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1] == (
        f"error: {written}: File too large; the file that was there is unchanged; free some or write elsewhere"
    )
    assert written.read_bytes() == b"before"
    assert [path.name for path in written.parent.iterdir() if path.name.endswith(".part")] == []


def test_an_unknown_suffix_needs_the_form(run, weights) -> None:
    result = run(weights, "--out", "w.bin")
    assert result.exit_code == 1
    assert_names(result.stderr, "error", "--out", "w.bin", "--to")


@pytest.mark.parametrize(
    ("source", "form", "out", "lost"),
    [
        ("w.pth", "msra", "w.pth", "w.pth"),
        ("w.pth", "defrcn", "link.pth", "link.pth"),
        ("run", "run", "run", "run/model_final.pth"),
        ("run/model_final.pth", "run", "run", "run/model_final.pth"),
        ("run", "safetensors", "run/model_final.pth", "run/model_final.pth"),
        ("run", "safetensors", "run/run.json", "run/run.json"),
    ],
)
def test_a_checkpoint_is_never_written_over_the_one_that_is_read(run, weights, source, form, out, lost) -> None:
    Path("link.pth").symlink_to("w.pth")
    assert run(weights, "--to", "run", "--out", "run").exit_code == 0
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    result = run(source, "--to", form, "--out", out)
    assert result.exit_code == 1
    assert result.stderr == f"error: --out {lost} would overwrite an input; choose another name\n"
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before


def test_a_target_that_cannot_be_written_is_told_before_the_checkpoint_is_read(run, weights) -> None:
    Path("folder.pth").mkdir()
    result = run("missing.pth", "--out", "folder.pth")
    assert (result.exit_code, result.stderr) == (1, "error: folder.pth: is a folder; name a file in it\n")
