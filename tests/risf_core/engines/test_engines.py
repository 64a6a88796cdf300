"""Choosing an engine, and what is said where detectron2 is not there."""

from __future__ import annotations

import importlib.machinery
import sys
from pathlib import Path

import pytest

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.engines import on_engine, require_engine, require_network
from risf_core.errors import ConfigError
from tests.conftest import Run
from tests.lively import lively_detector
from tests.messages import assert_names

WAY_OUT = (
    "install it from https://github.com/facebookresearch/detectron2 (INSTALL.md there, for your torch), "
    "or take `engine=torchvision`, which runs the same weights to the same boxes"
)

SHOWN_WAY_OUT = WAY_OUT.replace("`engine=torchvision`", "--engine torchvision")


@pytest.fixture
def without_detectron2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "detectron2", None)


@pytest.mark.usefixtures("without_detectron2")
def test_a_missing_detectron2_is_named_with_its_official_source_and_the_way_out() -> None:
    with pytest.raises(ConfigError) as caught:
        require_engine("detectron2")
    assert_names(str(caught.value), "`engine=detectron2`", WAY_OUT, "installed")
    require_engine("torchvision")


def test_a_detectron2_that_another_torch_cannot_load_says_why(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "detectron2").mkdir()
    (tmp_path / "detectron2/__init__.py").write_text("raise ImportError('_C.so: undefined symbol: _ZN2at')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in [name for name in sys.modules if name.partition(".")[0] == "detectron2"]:
        monkeypatch.delitem(sys.modules, name)
    assert importlib.machinery.PathFinder.find_spec("detectron2").origin.startswith(str(tmp_path))
    with pytest.raises(ConfigError) as caught:
        require_engine("detectron2")
    assert_names(str(caught.value), "`engine=detectron2`", "_C.so", WAY_OUT)


def test_detectron2_is_refused_for_networks_of_timm() -> None:
    with pytest.raises(ConfigError) as caught:
        require_network("detectron2", ARCHITECTURES["small-swin"])
    assert_names(str(caught.value), "`engine=detectron2`", "`engine=torchvision`", "network")
    require_network("detectron2", ARCHITECTURES["r101"])
    require_network("torchvision", ARCHITECTURES["small-swin"])


def test_the_default_engine_is_the_model_itself() -> None:
    model = lively_detector("small")
    assert on_engine(model, "torchvision") is model


@pytest.mark.usefixtures("without_detectron2")
@pytest.mark.parametrize(
    "words",
    [
        ("base-train", "--coco", "a.json", "--weights", "none", "--set", "model.architecture=small"),
        ("finetune", "--coco", "a.json", "--weights", "w.pth"),
        ("predict", "--weights", "w.pth", "--images", "photos"),
    ],
)
def test_each_command_says_it_in_one_line(risf: Run, words: tuple[str, ...], tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.jpg").write_bytes(b"")
    (tmp_path / "w.pth").write_bytes(b"")
    done = risf(*words, "--engine", "detectron2")
    assert done.exit_code == 1
    assert_names(done.stderr, "--engine", SHOWN_WAY_OUT, "installed")
    assert done.stdout == ""


def test_another_engine_is_refused_with_the_nearest_one(risf: Run, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = risf("base-train", "--set", "solver.engine=detectron")
    assert done.exit_code == 1
    assert "[solver] engine: expected torchvision or detectron2 (did you mean 'detectron2'?), got" in done.stderr
