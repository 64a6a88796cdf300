"""`risf demo` in a tiny setting: every public command in turn, one table, the same figures again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import Result

from tests.conftest import SHORT_DEMO, Run

COMMANDS = ["rescore", "evaluate",
            "prepare-splits", "base-train", "finetune", "predict", "rescore", "finetune", "predict", "rescore",
            "evaluate", "evaluate", "report"]  # fmt: skip


def test_it_runs_the_public_commands_and_says_each_line(short_demo: tuple[Path, Result]) -> None:
    folder, result = short_demo
    lines = re.findall(r"^\$ risf (\S+) (.*)$", result.stderr, flags=re.MULTILINE)
    assert [name for name, _ in lines] == COMMANDS
    losses = [re.search(r"--loss (\S+)", words) for name, words in lines if name == "finetune"]
    assert [found[1] for found in losses if found] == ["cross-entropy", "paper"]
    for run, loss in (("cross-entropy-seed0", "cross-entropy"), ("bnrl-seed0", "paper")):
        config = json.loads((folder / "runs" / run / "run.json").read_text())["config"]
        assert (config["loss"]["preset"], config["data"]["setting"]) == (loss, "generalised")


def test_it_says_what_it_will_do_and_begins_with_detections_that_come_with_it(short_demo: tuple[Path, Result]) -> None:
    folder, result = short_demo
    lines = result.stderr.splitlines()
    assert lines[0] == "1. re-score and evaluate detections of 40 synthetic scenes: a few seconds"
    assert lines[1].startswith("2. draw 52 scenes, train a small detector, finetune it on 1 shot with two losses")
    assert re.fullmatch(rf"about \d+ min on this machine; everything is written to {folder}", lines[2])
    before, after = (json.loads((folder / f"first/{name}.json").read_text()) for name in ("detections", "rescored"))
    assert len(before) == 1998
    assert [row["bbox"] for row in before] == [row["bbox"] for row in after]
    nap = [
        100 * found["metrics"]["nAP"] for found in json.loads((folder / "first/figures.json").read_text())["results"]
    ]
    assert nap == pytest.approx([5.25, 13.52], abs=0.05)
    (said,) = [line for line in lines if line.startswith("first result")]
    assert said == f"first result: re-scoring moved novel AP from {nap[0]:.2f} to {nap[1]:.2f}"
    assert lines.index(said) < next(n for n, line in enumerate(lines) if "prepare-splits" in line)


def test_only_scores_of_novel_classes_move_in_rescoring(short_demo: tuple[Path, Result]) -> None:
    folder, _ = short_demo
    dataset = json.loads((folder / "instances.json").read_text())
    novel = set(json.loads((folder / "seed0/figures.json").read_text())["novel"])
    novel_ids = {category["id"] for category in dataset["categories"] if category["name"] in novel}
    assert len(novel_ids) == 8
    assert json.loads((folder / "seed0/bnrl.json").read_text())
    for name in ("cross-entropy", "bnrl"):
        before, after = (json.loads((folder / f"seed0/{name}{end}.json").read_text()) for end in ("", "-clip"))
        assert [row["bbox"] for row in before] == [row["bbox"] for row in after]
        assert all(
            a["score"] == b["score"] for a, b in zip(before, after, strict=True) if a["category_id"] not in novel_ids
        )


def test_the_table_says_what_the_evaluations_say(short_demo: tuple[Path, Result]) -> None:
    folder, result = short_demo
    figures = json.loads((folder / "seed0/figures.json").read_text())["results"]
    ways = ["cross-entropy ", "cross-entropy + CM-CLIP", "BNRL ", "BNRL + CM-CLIP"]
    for way, measured in zip(ways, figures, strict=True):
        (line,) = [line for line in result.stdout.splitlines() if line.strip().startswith(way)][:1]
        numbers = re.findall(r"[+-]?\d+\.\d\d", line)
        metrics, intervals = measured["metrics"], measured["intervals"]["metrics"]
        shown = []
        for name in ("nAP", "bAP"):
            shown += [f"{100 * metrics[name]:.2f}", f"{100 * (intervals[name][1] - intervals[name][0]) / 2:.2f}"]
        assert numbers[:4] == shown
    assert "paired bootstrap" in result.stdout
    assert f"what CM-CLIP moved: {folder / 'seed0/report.html'}" in result.stdout
    assert (folder / "seed0/report.html").read_text().startswith("<!DOCTYPE html>")


def test_the_same_seed_gives_the_same_figures_and_several_give_intervals(
    risf: Run, short_demo: tuple[Path, Result], tmp_path: Path
) -> None:
    folder, _ = short_demo
    result = risf("demo", *SHORT_DEMO, "--out", tmp_path, "--seeds", "0-1")
    assert result.exit_code == 0, result.output
    assert "mean over 2 seeds" in result.stdout
    for name in ("bnrl", "cross-entropy-clip"):
        assert (tmp_path / f"seed0/{name}.json").read_bytes() == (folder / f"seed0/{name}.json").read_bytes()
    assert (tmp_path / "seed1/bnrl.json").is_file()


def test_a_folder_that_no_demo_made_is_left_alone(risf: Run, tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text("mine")
    result = risf("demo", *SHORT_DEMO, "--out", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == (
        f"error: --out {tmp_path} holds files that no demo made; name a new folder, or that of an earlier demo\n"
    )
    assert (tmp_path / "train.json").read_text() == "mine"


def test_an_interrupted_step_ends_the_demo(risf: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("risf_core.splits.run.prepare_splits", interrupted)
    result = risf("demo", *SHORT_DEMO, "--out", tmp_path / "new")
    assert result.exit_code == 130
    assert "$ risf base-train" not in result.stderr
