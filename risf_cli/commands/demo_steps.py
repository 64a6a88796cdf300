"""The steps of `risf demo`: the command lines of the public commands, said and run one after the other."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from risf_cli.app import load_command
from risf_cli.render import say

if TYPE_CHECKING:
    from risf_core.demo.settings import DemoSettings

LOSSES = {"cross-entropy": "cross-entropy", "paper": "bnrl"}  # the preset's name -> the name of its files

_SCALE = (
    "--set",
    "data.short_sides=[288]",
    "--set",
    "data.long_side=480",
    "--set",
    "solver.scale_schedule=false",
    "--set",
    "solver.batch=4",
    "--set",
    "solver.images_per_step=4",
    "--workers",
    "0",
)


class DemoFolder:
    """Where each file of the demo is."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.photos, self.train, self.test = root / "photos", root / "train.json", root / "instances.json"
        self.first, self.novel = root / "first", root / "novel.txt"
        self.split, self.runs = root / "split", root / "runs"
        self.clip_config, self.clip_weights = root / "made-clip.json", root / "made-clip.safetensors"
        self.backbone = root / "made-backbone.safetensors"

    def detections(self, loss: str, seed: int, *, rescored: bool = False) -> Path:
        """The detections after finetuning with a loss on the shots of a seed."""
        return self.root / f"seed{seed}" / f"{LOSSES[loss]}{'-clip' if rescored else ''}.json"


def run_step(arguments: Sequence[object]) -> None:
    """Say a command line and run it; what it prints goes to stderr."""
    words = [str(word) for word in arguments]
    say(f"\n$ risf {shlex.join(words)}")
    with contextlib.redirect_stdout(sys.stderr):
        code = load_command(words[0]).main(words[1:], prog_name=f"risf {words[0]}", standalone_mode=False)
    if code:  # 130 where the person interrupted
        raise typer.Exit(code)


def first_steps(folder: DemoFolder, settings: DemoSettings, *, device: str) -> Iterator[list[object]]:
    """Re-scoring of the detections that come with the package, and what it did."""
    before, after = folder.first / "detections.json", folder.first / "rescored.json"
    truth = folder.first / "instances.json"
    yield _rescoring(folder, before, after, ["--annotations", truth, "--images", folder.first / "photos"], device)
    yield [
        "evaluate",
        before,
        after,
        "--annotations",
        truth,
        "--novel",
        folder.novel,
        "--bootstrap",
        settings.resamples,
        "--out",
        folder.first / "figures.json",
    ]


def training_steps(
    folder: DemoFolder, settings: DemoSettings, *, seeds: Sequence[int], device: str
) -> Iterator[list[object]]:
    """The split and base training, which all seeds share."""
    listed = ",".join(map(str, seeds))
    warmup = min(20, settings.base_iterations // 10)
    yield [
        "prepare-splits",
        "--coco",
        folder.train,
        "--novel",
        folder.novel,
        "--shots",
        settings.shots,
        "--seeds",
        listed,
        "--out",
        folder.split,
        "--force",
    ]
    yield [
        "base-train",
        "--split",
        folder.split,
        "--images",
        folder.photos,
        "--weights",
        folder.backbone,
        "--out",
        folder.runs / "base",
        "--force",
        "--device",
        device,
        *_SCALE,
        "--set",
        "model.architecture=small",
        "--set",
        f"solver.warmup_iterations={warmup}",
        *_schedule(settings.base_iterations, rate=0.05),
    ]


def seed_steps(folder: DemoFolder, settings: DemoSettings, *, seed: int, device: str) -> Iterator[list[object]]:
    """Finetuning with both losses on the shots of a seed, prediction, CM-CLIP."""
    data = ["--annotations", folder.test, "--images", folder.photos]
    for loss, name in LOSSES.items():
        run = folder.runs / f"{name}-seed{seed}"
        yield [
            "finetune",
            "--generalised",
            "--shots",
            settings.shots,
            "--split-seed",
            seed,
            "--seed",
            seed,
            "--split",
            folder.split,
            "--images",
            folder.photos,
            "--weights",
            folder.runs / "base",
            "--out",
            run,
            "--force",
            "--device",
            device,
            *_SCALE,
            "--loss",
            loss,
            "--set",
            "model.classifier_dropout=0.2",
            *_schedule(settings.few_shot_iterations, rate=0.1),
        ]
        before, after = folder.detections(loss, seed), folder.detections(loss, seed, rescored=True)
        yield ["predict", "--weights", run, *data, "--device", device, "--batch-size", 4, "--out", before]
        yield _rescoring(folder, before, after, data, device)


def evaluation_steps(folder: DemoFolder, settings: DemoSettings, *, seed: int) -> Iterator[tuple[list[object], Path]]:
    """The evaluations of a seed's detections, each compared with the first of its files; and where the JSON goes."""
    first, second = ([folder.detections(loss, seed, rescored=done) for done in (False, True)] for loss in LOSSES)
    for name, files in (("figures", [*first, *second]), ("figures-bnrl", second)):
        out = folder.root / f"seed{seed}" / f"{name}.json"
        yield (
            [
                "evaluate",
                *files,
                "--annotations",
                folder.test,
                "--novel",
                folder.novel,
                "--bootstrap",
                settings.resamples,
                "--out",
                out,
            ],
            out,
        )


def report_step(folder: DemoFolder, *, seed: int) -> tuple[list[object], Path]:
    """The page on what CM-CLIP did to BNRL's detections, and where it goes."""
    from risf_core.demo.settings import QUICK

    before, after = (folder.detections("paper", seed, rescored=done) for done in (False, True))
    page = folder.root / f"seed{seed}" / "report.html"
    return [
        "report",
        before,
        after,
        "--annotations",
        folder.test,
        "--images",
        folder.photos,
        "--novel",
        folder.novel,
        "--bootstrap",
        QUICK.resamples,
        "--out",
        page,
    ], page


def _rescoring(folder: DemoFolder, before: Path, after: Path, data: list[object], device: str) -> list[object]:
    return [
        "rescore",
        before,
        *data,
        "--novel",
        folder.novel,
        "--rescore-classes",
        "novel",
        "--clip-config",
        folder.clip_config,
        "--clip-weights",
        folder.clip_weights,
        "--precision",
        "fp32",
        "--device",
        device,
        "--cache",
        "none",
        "--out",
        after,
    ]


def _schedule(iterations: int, *, rate: float) -> list[object]:
    return [
        "--set",
        f"solver.iterations={iterations}",
        "--set",
        f"solver.steps=[{round(0.8 * iterations)}]",
        "--set",
        f"solver.learning_rate={rate}",
        "--set",
        f"solver.log_every={max(1, iterations // 5)}",
        "--set",
        f"solver.checkpoint_every={iterations}",
    ]
