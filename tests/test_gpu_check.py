"""The check of a GPU runs to its end without one: its comparisons on the CPU, and its files."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check

COMPARED = ("rescore", "predict", "training")


def rows_of(folder: Path) -> list[dict[str, str]]:
    return json.loads((folder / "gpu_check.json").read_text())["rows"]


def test_each_comparison_runs_in_both_formats_of_a_cpu(tmp_path: Path) -> None:
    gpu_check.main(["--out", str(tmp_path), "--short", "--device", "cpu", "--checks", *COMPARED, "out of memory"])
    rows = rows_of(tmp_path)
    full = [row for row in rows if "fp32" in row["check"]]
    assert [row["verdict"] for row in full] == ["pass"] * len(COMPARED)  # the CPU equals itself
    assert [row["verdict"] for row in rows if "bf16" in row["check"]] != ["error"] * len(COMPARED)
    assert len(rows) == 2 * len(COMPARED) + 1
    assert rows[-1]["verdict"] == "no GPU"
    table = (tmp_path / "gpu_check.md").read_text().splitlines()
    assert len(table) == 4 + len(rows)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_every_check_says_so(tmp_path: Path) -> None:
    gpu_check.main(["--out", str(tmp_path)])
    assert [(row["check"], row["verdict"]) for row in rows_of(tmp_path)] == [
        (name, "no GPU") for name in gpu_check.CHECKS
    ]


def test_a_check_that_fails_leaves_the_others_running(tmp_path: Path, monkeypatch) -> None:
    def broken(place):
        raise RuntimeError("CUDA error: no kernel image\nis available")
        yield

    monkeypatch.setitem(gpu_check.CHECKS, "predict", broken)
    gpu_check.main(["--out", str(tmp_path), "--short", "--device", "cpu", "--checks", "predict", "out of memory"])
    assert [row["verdict"] for row in rows_of(tmp_path)] == ["error", "no GPU"]
    assert rows_of(tmp_path)[0]["figure"] == "RuntimeError: CUDA error: no kernel image"


def test_rows_are_found_again_by_image_class_and_box() -> None:
    def row(image: int, category: int, x: float, score: float) -> dict:
        return {"image_id": image, "category_id": category, "bbox": [x, 0, 100, 100], "score": score}

    expected = [row(1, 1, 0, 0.5), row(1, 2, 0, 0.5), row(2, 1, 0, 0.5), row(1, 1, 200, 0.5)]
    found = [row(1, 1, 2, 0.75), row(1, 2, 20, 0.5), row(1, 1, 200, 0.5)]  # 98/102 and 80/120 of each other; the same
    assert gpu_check.score_differences(expected, found).tolist() == [0.25, 0.0]


def test_the_script_hands_its_words_on(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    script = Path(gpu_check.__file__).with_name("gpu_check.sh")
    environment = {**os.environ, "PYTHON": str(python), "WHEELS": str(tmp_path / "none")}
    done = subprocess.run(
        [script, "out", "--short"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"-m benchmarks.gpu_check --out {tmp_path}/out --short\n"
