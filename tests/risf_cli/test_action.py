"""The GitHub Action: its shell step on files that are better, worse and alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ACTION = Path(__file__).parents[2] / ".github/actions/evaluate/action.yml"
IMAGES = 30


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images with a box each, detections that find all, and detections that find every third."""
    boxes = [
        {"id": n + 1, "image_id": n, "category_id": 1, "bbox": [5, 5, 40, 40], "area": 1600} for n in range(IMAGES)
    ]
    dataset = {
        "images": [{"id": n, "file_name": f"{n}.jpg", "height": 60, "width": 60} for n in range(IMAGES)],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    rows = [{"image_id": n, "category_id": 1, "bbox": [5, 5, 40, 40], "score": 0.9} for n in range(IMAGES)]
    (tmp_path / "all.json").write_text(json.dumps(rows))
    (tmp_path / "third.json").write_text(json.dumps(rows[::3]))
    return tmp_path


def compared(folder: Path, before: str, after: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """The action's second step with these inputs."""
    stated = yaml.safe_load(ACTION.read_text())
    given = {name: own.get("default", "") for name, own in stated["inputs"].items()}
    given |= {"before": before, "after": after, "annotations": "gt.json", "bootstrap": "100", **changes}
    step = next(step for step in stated["runs"]["steps"] if step.get("id") == "compare")
    inputs = {name: given[text.split("inputs.")[1].split(" ")[0]] for name, text in step["env"].items()}
    own = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_OUTPUT": str(folder / "output.txt")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, **inputs, **own, "PATH": path}
    # as GitHub runs `shell: bash`
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.skipif(os.name == "nt", reason="the step is run by a POSIX bash")
def test_a_fall_beyond_chance_fails_and_nothing_else_does(folder: Path) -> None:
    worse = compared(folder, "all.json", "third.json")
    assert worse.returncode == 1
    assert "falls beyond chance" in worse.stderr
    content = json.loads((folder / "evaluation.json").read_text())
    assert (folder / "output.txt").read_text() == f"difference={content['results'][1]['difference']['AP']}\n"
    assert "AP50" in (folder / "summary.md").read_text()
    for before, after in (("third.json", "all.json"), ("all.json", "all.json")):
        done = compared(folder, before, after, metric="AP50")
        assert done.returncode == 0, done.stderr
        assert "does not fall beyond chance" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="the step is run by a POSIX bash")
def test_what_cannot_be_compared_fails_with_a_reason(folder: Path) -> None:
    missing = compared(folder, "all.json", "gone.json")
    assert missing.returncode != 0
    assert "gone.json" in missing.stderr
    unknown = compared(folder, "all.json", "all.json", metric="APx")
    assert unknown.returncode == 1
    assert "APx has no difference" in unknown.stderr
    novel = compared(folder, "all.json", "all.json", metric="nAP", novel="cat")
    assert novel.returncode == 0, novel.stderr
