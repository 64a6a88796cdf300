"""`risf doctor` as a person runs it."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.conftest import Run


@pytest.fixture
def doctor(risf: Run, tiny, tmp_path, monkeypatch):
    """Runs `risf doctor` with the tiny encoder in an empty folder."""
    monkeypatch.chdir(tmp_path)
    encoder = ["--clip-config", tiny[0], "--clip-weights", tiny[1], "--cache", tmp_path / "kept", "--device", "cpu"]
    return partial(risf, "doctor", *encoder)


def test_a_usable_machine_ends_with_0_and_says_so(doctor):
    done = doctor()
    assert done.exit_code == 0, done.output
    assert done.stdout.rstrip().endswith("risf is usable here")
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["ok", "python"] for line in lines)
    assert any(line.split()[:3] == ["note", "settings", "no"] for line in lines)
    assert max(map(len, lines)) <= 120


def test_json_holds_every_finding(doctor):
    content = json.loads(doctor("--json").stdout)
    assert content["usable"] is True
    assert {"python", "risf", "torch", "cpu", "device", "precision", "evaluator", "encoder", "detectron2"} <= {
        finding["name"] for finding in content["findings"]
    }
    assert {finding["status"] for finding in content["findings"]} <= {"ok", "note"}


def test_a_fault_ends_with_1_and_is_named_last(doctor, tmp_path):
    done = doctor("--clip-weights", tmp_path / "gone.pt")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[-1] == "faults: encoder"
    assert json.loads(doctor("--json", "--clip-weights", tmp_path / "gone.pt").stdout)["usable"] is False


def test_a_broken_risf_yaml_is_a_finding_and_not_the_end(doctor, tmp_path):
    (tmp_path / "risf.yaml").write_text("rescore: {alhpa: 0.5}\n")
    done = doctor("--json")
    assert done.exit_code == 1
    (found,) = [own for own in json.loads(done.stdout)["findings"] if own["name"] == "settings"]
    assert found["verdict"] == "[rescore] has no option 'alhpa' (did you mean 'alpha' or 'alias'?)"
    (tmp_path / "risf.yaml").write_text("rescore: {alpha: 0.5}\n")
    assert doctor().exit_code == 0
