"""Every shell and Python block of the documentation runs as it is, or says in a comment why it cannot run here."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import Result

from risf_cli.app import COMMANDS, load_command
from tests.conftest import Run

ROOT = Path(__file__).parent.parent
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.M | re.S)
TINY_TRAINING = (
    "data.short_sides=[128]", "data.long_side=200", "model.classifier_dropout=0.2", "solver.batch=2",
    "solver.images_per_step=2", "solver.scale_schedule=false", "solver.iterations=2", "solver.steps=[2]",
    "solver.warmup_iterations=0",
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    """A block of code of a page."""

    language: str
    code: str
    reason: str | None  # why it is not run


def blocks(page: Path) -> Iterator[Block]:
    for found in BLOCK.finditer(page.read_text(encoding="utf-8")):
        yield Block(found["language"], found["code"], found["reason"])


@pytest.fixture(scope="module")
def demo_folder(short_demo: tuple[Path, Result], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder after a short `risf demo`, with its files under the names that the documentation uses."""
    folder = tmp_path_factory.mktemp("docs")
    demo = folder / "demo"
    shutil.copytree(short_demo[0], demo)
    names = {
        "photos": "photos", "instances.json": "annotations.json labelled.json", "train.json": "train.json mine.json",
        "novel.txt": "novel.txt", "split/classes/all.txt": "names.txt", "split/shots/seed0.json": "shots.json",
        "split": "splits/mine", "made-clip.json": "model.json", "made-clip.safetensors": "model.safetensors",
        "made-backbone.safetensors": "backbone.safetensors", "runs/base": "runs/base", "runs/bnrl-seed0": "runs/mine",
        "runs/bnrl-seed0/model_final.pth": "coco_c4.pth", "seed0/bnrl.json": "detections.json seed0.json",
        "seed0/bnrl-clip.json": "rescored.json seed1.json",
    }  # fmt: skip
    for source, targets in names.items():
        for target in targets.split():
            (folder / target).parent.mkdir(exist_ok=True)
            copy = shutil.copytree if (demo / source).is_dir() else shutil.copyfile
            copy(demo / source, folder / target)
    rows = json.loads((folder / "detections.json").read_text(encoding="utf-8"))
    (folder / "proposals.json").write_text(json.dumps([{**row, "category_id": 1} for row in rows]), encoding="utf-8")
    settings = ", ".join(f'"{setting}"' for setting in TINY_TRAINING)
    (folder / "risf.yaml").write_text(
        "clip_config: model.json\nclip_weights: model.safetensors\nprecision: fp32\n"
        f'base-train: {{set: [{settings}, "model.architecture=small"], workers: 0, force: true}}\n'
        f"finetune: {{set: [{settings}], workers: 0, force: true}}\n"
        "prepare-splits: {force: true}\n"
    )
    return folder


def run(command: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stderr[-3000:]}"


def run_commands(risf: Run, lines: list[str]) -> None:
    """Run `risf ...` lines in this process: loading torch anew for each would take longer than the work."""
    for line in lines:
        _, *arguments = shlex.split(line)
        done = risf(*arguments)
        assert done.exit_code == 0, f"{line}\n{done.output[-3000:]}\n{done.exception!r}"


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT / "docs")) for page in PAGES])
@pytest.mark.filterwarnings("default")
def test_the_blocks_of_a_page_run_one_after_the_other(
    risf: Run, page: Path, demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_run = [block for block in blocks(page) if block.language in ("sh", "python") and block.reason is None]
    if not to_run:
        return
    folder = tmp_path / "work"
    shutil.copytree(demo_folder, folder)
    monkeypatch.chdir(folder)
    for block in to_run:
        lines = block.code.replace("\\\n", " ").splitlines()
        if block.language == "python":
            exec(compile(block.code, page.name, "exec"), {"__name__": "__main__"})
        elif all(re.fullmatch(r"risf [^|&<>;]*", line) for line in lines):
            run_commands(risf, lines)
        else:
            run(["bash", "-euo", "pipefail", "-c", block.code], folder)


@pytest.mark.filterwarnings("default")
def test_the_notebook_runs(demo_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    shutil.copytree(demo_folder / "demo", tmp_path / "demo")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(ROOT / "docs/start.ipynb", as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert (tmp_path / "rescored.json").exists()


def test_every_block_has_a_language_that_the_runner_knows() -> None:
    known = {"sh", "python", "text", "json", "yaml", "bibtex"}
    unknown = {(page.name, block.language) for page in PAGES for block in blocks(page)} - {
        (page.name, language) for page in PAGES for language in known
    }
    assert not unknown


def test_every_option_that_the_documentation_names_exists() -> None:
    known = {"--help", "--split-seed"} | {
        "--nproc-per-node", "--nnodes", "--rdzv-endpoint", "--rdzv-backend",  # torchrun's
        "--nodes", "--ntasks-per-node", "--gpus-per-node",  # Slurm's
    } | {word for name in COMMANDS for parameter in load_command(name).params for word in parameter.opts}  # fmt: skip
    for page in PAGES:
        named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text(encoding="utf-8").replace("<!--", "")))
        assert named <= known, page.name
