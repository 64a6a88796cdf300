"""What README shows runs as it stands there, in a folder where the demo has been made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from typer.testing import Result

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    return found


@pytest.fixture(scope="module")
def made_folder(short_demo: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder after a short `risf demo`."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(short_demo[0], folder / "demo")
    return folder


def with_risf_on_path() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def test_the_pipeline_of_readme_runs(made_folder: Path) -> None:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("sh")],
        cwd=made_folder, env=with_risf_on_path(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["detections"] == "stdin"
    assert result["rows"] > 0
    assert 0 <= result["metrics"]["AP"] < 1


def test_the_python_of_readme_does_what_the_commands_do(
    made_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = made_folder / "demo"
    expected = [row["score"] for row in json.loads((demo / "seed0/bnrl-clip.json").read_text())]
    monkeypatch.chdir(made_folder)
    exec(block("python"), {"__name__": "__main__"})
    printed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert printed == ["demo/seed0/bnrl.json", "demo/rescored.json"]
    found = [row["score"] for row in json.loads((demo / "rescored.json").read_text())]
    detector = [row["score"] for row in json.loads((demo / "seed0/bnrl.json").read_text())]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found != pytest.approx(detector, abs=5e-2)


def test_every_option_that_readme_names_exists() -> None:
    from risf_cli.app import COMMANDS, load_command

    known = {"--help", "--nproc-per-node"} | {  # the second is torchrun's
        word for name in COMMANDS for parameter in load_command(name).params for word in parameter.opts
    }
    assert set(re.findall(r"--[a-z][a-z-]+", README)) <= known


def test_docs_show_the_parts_for_detectron2_as_make_test_detectron2_runs_them() -> None:
    root = Path(__file__).parent.parent
    page = (root / "docs/how-to/detectron2.md").read_text(encoding="utf-8")
    docstring = (root / "risf_core/engines/detectron2/__init__.py").read_text(encoding="utf-8").split('"""')[1]
    assert textwrap.dedent(docstring.partition("::\n\n")[2]).rstrip() in page
