"""The diagnosis where everything is there, and where one thing or another is missing or broken."""

from __future__ import annotations

import os
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from risf_core import doctor
from risf_core.doctor import Finding, examine
from risf_core.errors import ConfigError, EncoderError


@pytest.fixture
def examined(tiny, tmp_path):
    """Findings by name, with the tiny encoder; keywords are those of `examine`."""

    def run(**options) -> dict[str, Finding]:
        config, weights = tiny
        defaults = {"clip": "ViT-L-14-336-quickgelu:openai", "clip_config": config, "clip_weights": weights}
        findings = list(examine(**{**defaults, "cache": tmp_path / "cache", "device": "cpu", **options}))
        assert all("\n" not in finding.verdict for finding in findings)
        return {finding.name: finding for finding in findings}

    return run


def without_package(monkeypatch, name: str) -> None:
    """As if the package were not installed."""
    version = metadata.version

    def refuse(wanted: str) -> str:
        if wanted == name:
            raise metadata.PackageNotFoundError(wanted)
        return version(wanted)

    monkeypatch.setattr(metadata, "version", refuse)


def test_all_is_well_where_all_is_there(examined, tiny, tmp_path):
    findings = examined()
    assert not [finding for finding in findings.values() if finding.status == "fault"]
    assert findings["torch"].value == metadata.version("torch")
    assert findings["torch"].verdict == "fits >=2.3"
    assert findings["device"].value == "cpu"
    assert findings["precision"].value in ("fp32", "bf16")
    assert findings["evaluator"].value == "ultrafast-pycocotools"
    assert findings["libraries"].verdict == "load together"
    assert findings["encoder"].status == "ok"
    assert findings["encoder"].verdict.startswith(f"{tiny[1]} (")
    assert findings["cache"] == Finding("cache", str(tmp_path / "cache"), "ok", "can be written, holds 0 MB")
    assert not (tmp_path / "cache").exists()
    required = {Requirement(line).name for line in metadata.requires("risf") if "extra ==" not in line}
    assert "open-clip-torch" in required
    assert required <= set(findings)


def test_a_missing_package_is_a_fault_with_the_command_that_mends_it(examined, monkeypatch):
    without_package(monkeypatch, "plotly")
    found = examined()["plotly"]
    assert (found.value, found.status) == ("missing", "fault")
    assert found.verdict.startswith('risf needs it: pip install "plotly>=')


def test_an_old_package_is_a_fault(examined, monkeypatch):
    version = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.13.1" if name == "torch" else version(name))
    assert examined()["torch"] == Finding("torch", "1.13.1", "fault", 'risf needs >=2.3: pip install "torch>=2.3"')


@pytest.mark.parametrize("module", ["torchvision.ops", "open_clip"])
def test_a_library_that_cannot_be_loaded_is_a_fault(examined, monkeypatch, module):
    loaded = doctor.importlib.import_module

    def broken(name: str):
        if name == module:
            raise RuntimeError("operator torchvision::nms does not exist\nand so on")
        return loaded(name)

    monkeypatch.setattr(doctor.importlib, "import_module", broken)
    found = examined()["libraries"]
    assert (found.value, found.status) == (module.partition(".")[0], "fault")
    assert found.verdict == "it cannot be loaded (operator torchvision::nms does not exist); install it again"


def test_without_torch_there_is_a_diagnosis_too(examined, monkeypatch):
    without_package(monkeypatch, "torch")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("torch", "open_clip")]:
        monkeypatch.setitem(sys.modules, name, None)  # importing it raises ImportError
    findings = examined(clip="ViT-B-32:openai", clip_config=None, clip_weights=None)
    for name in ("torch", "device", "libraries", "encoder"):
        assert findings[name].status == "fault"
    assert findings["encoder"].verdict.startswith("it cannot be looked for (")
    assert findings["cache"].status == "ok"


def test_the_slow_evaluator_is_good_enough_and_none_is_a_fault(examined, monkeypatch):
    monkeypatch.setitem(sys.modules, "ultrafast_pycocotools", None)
    assert examined()["evaluator"].status == "note"
    monkeypatch.setitem(sys.modules, "pycocotools.cocoeval", None)
    assert examined()["evaluator"].status == "fault"


def test_an_encoder_that_is_not_here_is_a_note_with_where_to_fetch_it(examined, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("risf_core.encoder.weights.in_hub_cache", lambda *_: None)

    def refuse(*_, **__):
        raise AssertionError("a diagnosis must not reach for the network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", refuse)
    found = examined(clip="ViT-B-32-quickgelu:openai", clip_config=None, clip_weights=None)["encoder"]
    assert (found.value, found.status) == ("ViT-B-32-quickgelu:openai", "note")
    assert found.verdict.startswith("its weights are not here yet; the first risf rescore downloads them, or fetch ")
    assert "`clip_weights`" in found.verdict
    assert "HF_HUB_OFFLINE" not in os.environ


def test_an_encoder_that_cannot_be_is_a_fault(examined, tmp_path):
    found = examined(clip_weights=tmp_path / "gone.pt")["encoder"]
    assert (found.status, found.verdict) == ("fault", f"`clip_weights={tmp_path / 'gone.pt'}`: there is no such file")
    assert examined(clip="ViT-B-23:openai", clip_config=None, clip_weights=None)["encoder"].verdict.startswith(
        "`clip=ViT-B-23` is not a model of open_clip (did you mean "
    )


def test_a_device_that_is_not_here_is_a_fault(examined, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    found = examined(device="cuda")["device"]
    assert (found.status, found.verdict) == (
        "fault", "`device=cuda`: torch sees no CUDA GPU here; give cpu or auto",
    )  # fmt: skip


def test_a_cache_that_cannot_be_written_is_a_fault_and_none_is_a_note(examined, tmp_path, monkeypatch):
    def refuse(**_):
        raise PermissionError(13, "Permission denied")

    assert examined(cache=None)["cache"].status == "note"
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    found = examined()["cache"]
    assert (found.status, found.verdict) == (
        "fault", "cannot be written: Permission denied; give `cache` another folder, or none",
    )  # fmt: skip


@pytest.mark.parametrize("present", [True, False])
def test_detectron2_is_never_needed(examined, monkeypatch, present):
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object() if present else None)
    monkeypatch.setattr(doctor, "require_engine", lambda engine: None)
    found = examined()["detectron2"]
    assert found.value == ("unknown version" if present else "not installed")
    assert found.status == ("ok" if present else "note")


def test_a_detectron2_that_does_not_load_is_at_fault(examined, monkeypatch):
    def refuse(engine):
        raise ConfigError("detectron2 cannot be imported (undefined symbol)")

    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(doctor, "require_engine", refuse)
    found = examined()["detectron2"]
    assert (found.status, found.verdict) == ("fault", "detectron2 cannot be imported (undefined symbol)")


def test_an_error_of_the_search_itself_is_told(examined, monkeypatch):
    def fail(*_, **__):
        raise EncoderError("the folder has no weights")

    monkeypatch.setattr("risf_core.encoder.weights.find_encoder", fail)
    assert examined()["encoder"].verdict == "the folder has no weights"
