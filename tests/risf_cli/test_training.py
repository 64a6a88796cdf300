"""`risf base-train` and `risf finetune` as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from risf_core.choices import Layout
from risf_core.config import published_config
from risf_core.datasets.voc import read_voc_dataset
from risf_core.splits import SplitSettings, prepare_splits
from risf_core.splits.folder import find_split
from risf_core.splits.manifest import Manifest, write_manifest
from risf_core.training.metrics_log import read_metrics
from risf_core.training.plan import published_config_name
from risf_core.vocabulary import NOVEL_SETS, VOC_CLASSES, ClassVocabulary
from tests.conftest import Run
from tests.messages import assert_names
from tests.risf_core.training.shapes import NOVEL, write_shapes

BARE_LINE = (
    "risf prepare-splits && risf base-train && risf finetune --shots 5 && risf predict "
    "&& risf rescore detections.json && risf evaluate"
)
SMALL = ["data.short_sides=[96]", "data.long_side=160", "solver.batch=2", "solver.scale_schedule=false",
         "solver.iterations=8", "solver.steps=[6]", "solver.log_every=4"]  # fmt: skip
TRAIN = [*SMALL, "model.architecture=small", "solver.warmup_iterations=2"]


@pytest.fixture
def folder(tmp_path: Path, tiny: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the published layout with made photos, and small settings in its risf.yaml."""
    data = tmp_path / "datasets"
    for name, images, photos, seed, first_id in (
        ("trainvalno5k", "train2014", 40, 1, 1), ("5k", "val2014", 6, 2, 1001)
    ):  # fmt: skip
        made = write_shapes(tmp_path / "made", name=name, photos=photos, seed=seed, first_id=first_id)
        (data / "cocosplit/datasplit").mkdir(parents=True, exist_ok=True)
        made.rename(data / "cocosplit/datasplit" / f"{name}.json")
        (data / "coco").mkdir(exist_ok=True)
        (tmp_path / "made/photos").rename(data / "coco" / images)
    config, weights = tiny
    settings = {
        "novel": list(NOVEL),
        "clip_config": str(config),
        "clip_weights": str(weights),
        "device": "cpu",
        "precision": "fp32",
        "workers": 0,
        "prepare-splits": {"shots": 5, "seeds": 0},
        "base-train": {"set": TRAIN},
        "finetune": {"set": SMALL},
        "predict": {"min_score": 0.0, "max_dets": 5},
        "rescore": {"out": "rescored.json", "cache": "none", "min_score": 0.0},
        "evaluate": {"detections": ["detections.json", "rescored.json"]},
    }
    (tmp_path / "risf.yaml").write_text(yaml.safe_dump(settings))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_bare_line_goes_from_labelled_boxes_to_figures(risf: Run, folder: Path) -> None:
    stdout = stderr = ""
    for command in BARE_LINE.split(" && "):
        done = risf(*command.split()[1:])
        assert done.exit_code == 0, done.stderr
        stdout, stderr = stdout + done.stdout, stderr + done.stderr
    assert stdout.split()[:4] == ["datasets/risfsplit/own", "runs/base", "runs/fsod", "detections.json"]
    assert "nAP" in stdout
    assert "4 classes" in stderr  # of base training
    assert "runs/base/model_final.pth: head of 2 classes: fresh" in stderr
    assert "batch 2 = 1 process x 2 images x 1 portion; 8 iterations" in stderr
    assert [line["iteration"] for line in read_metrics(folder / "runs/fsod")] == [4, 8]
    before, after = (json.loads((folder / name).read_text()) for name in ("detections.json", "rescored.json"))
    assert [row["bbox"] for row in before] == [row["bbox"] for row in after]
    assert before
    config = json.loads((folder / "runs/fsod/run.json").read_text())["config"]
    assert (config["loss"]["preset"], config["data"]["shots"], config["model"]["freeze_res5"]) == ("paper", 5, True)


def test_the_lines_of_the_script_end_in_figures_and_it_goes_on_where_it_stopped(risf: Run, folder: Path) -> None:
    variables = {"NOVEL": ",".join(NOVEL), "SHOTS": "5", "SETTINGS": "gfsod", "SEEDS": "0"}
    lines = lines_of_script(folder / "dry", **variables)
    commands = ["prepare-splits", "base-train", "finetune", "predict", "rescore", "evaluate", "evaluate"]
    assert [line[0] for line in lines] == commands
    for line in lines:
        done = risf(*line)
        assert done.exit_code == 0, done.stderr
    place = folder / "runs" / ",".join(NOVEL) / "gfsod/5shot"
    for name in ("detector", "rescored"):
        assert "nAP" in json.loads((place / f"{name}.json").read_text())["aggregate"]["metrics"]
    (place / "seed0/rescored.json").unlink()
    assert [line[0] for line in lines_of_script(folder, **variables)] == ["rescore", "evaluate", "evaluate"]


def lines_of_script(folder: Path, **variables: str) -> list[list[str]]:
    """The words of each `risf` line of configs/reproduce.sh; a shell function writes the files instead."""
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/risf").write_text(
        f"""#!/bin/sh
        printf '%s\\t' "$@" >> {folder}/lines
        echo >> {folder}/lines
        while [ $# -gt 1 ]; do [ "$1" = --out ] && out=$2; shift; done
        case $out in
        *.json) : > "$out" ;;
        *) mkdir -p "$out" && : > "$out/model_final.pth" ;;
        esac
        """
    )
    (folder / "bin/risf").chmod(0o755)
    environment = {**os.environ, **variables, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    script = Path(__file__).parents[2] / "configs/reproduce.sh"
    subprocess.run([script], cwd=folder, env=environment, check=True, timeout=60)
    return [line.split("\t")[:-1] for line in (folder / "lines").read_text().splitlines()]


def values_of(words: list[str], *options: str) -> list[str | None]:
    return [words[words.index(option) + 1] if option in words else None for option in options]


@pytest.mark.parametrize("setting", ["fsod", "gfsod"])
def test_the_script_asks_the_encoder_for_the_novel_classes_alone(tmp_path: Path, setting: str) -> None:
    lines = lines_of_script(tmp_path, SETTINGS=setting, SHOTS="1", SEEDS="0 1", NOVEL="voc2")
    rescored = [line for line in lines if line[0] == "rescore"]
    assert [values_of(line, "--rescore-classes", "--novel") for line in rescored] == [["novel", "voc2"]] * 2


@pytest.mark.parametrize(
    ("variables", "place", "seeds"),
    [
        # few-shot figures in papers: seed 0, trained several times; generalised ones: seeds 0 to 9
        ({"SETTINGS": "fsod"}, "fsod-repeats", [["0", "0"], ["0", "1"], ["0", "2"]]),
        ({"SETTINGS": "fsod", "FEW_SHOT": "seeds"}, "fsod", [["0", None], ["1", None], ["2", None]]),
        ({"SETTINGS": "gfsod"}, "gfsod", [["0", None], ["1", None], ["2", None]]),
        ({"SETTINGS": "gfsod", "FEW_SHOT": "seeds"}, "gfsod", [["0", None], ["1", None], ["2", None]]),
    ],
)
def test_the_script_averages_as_the_literature_does_or_over_the_shots(
    tmp_path: Path, variables: dict[str, str], place: str, seeds: list[list[str | None]]
) -> None:
    lines = lines_of_script(tmp_path, SHOTS="5", SEEDS="0 1 2", **variables)
    trained = [line for line in lines if line[0] == "finetune"]
    runs = [f"runs/coco20/{place}/5shot/seed{number}" for number in range(3)]
    assert [values_of(line, "--split-seed", "--seed") for line in trained] == seeds
    assert [values_of(line, "--out") for line in trained] == [[run] for run in runs]
    evaluated = [line for line in lines if line[0] == "evaluate"]
    assert evaluated[0][1:4] == [f"{run}/detections.json" for run in runs]
    assert values_of(evaluated[1], "--out") == [f"runs/coco20/{place}/5shot/rescored.json"]


def test_the_script_runs_defrcn_with_its_own_loss_and_pcb_over_the_shots_it_was_trained_on(tmp_path: Path) -> None:
    lines = lines_of_script(tmp_path, METHOD="defrcn", SETTINGS="fsod gfsod", SHOTS="5", SEEDS="1", FEW_SHOT="seeds")
    trained, rescored = ([line for line in lines if line[0] == command] for command in ("finetune", "rescore"))
    assert [values_of(line, "--loss", "--split-seed", "--shots") for line in trained] == [
        ["cross-entropy", "1", "5"]
    ] * 2
    options = ("--preset", "--support", "--shots", "--split-seed", "--rescore-classes")
    expected = ["pcb", "datasets/risfsplit/coco20", "5", "1", "novel"]
    assert [values_of(line, *options) for line in rescored] == [expected] * 2
    assert values_of(rescored[0], "--out") == ["runs/coco20/defrcn-fsod/5shot/seed1/rescored.json"]
    repeated = lines_of_script(tmp_path / "repeats", METHOD="defrcn", SETTINGS="fsod", SHOTS="5", SEEDS="1")
    (rescored,) = ([line for line in repeated if line[0] == "rescore"],)
    assert values_of(rescored[0], "--split-seed", "--seed") == ["0", None]
    plain = lines_of_script(tmp_path / "risf", SETTINGS="fsod", SHOTS="5", SEEDS="1")
    assert not any("--preset" in line or "--loss" in line for line in plain)


@pytest.fixture
def call(risf: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Calls `risf ...` in this process in an empty folder; returns its exit code and its error line."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str]:
        done = risf(*arguments)
        return done.exit_code, done.stderr.strip()

    return run


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("base-train",),
            "base training needs --weights: MSRA's R-101.pkl, in the published layout "
            "datasets/ImageNetPretrained/MSRA/R-101.pkl; --weights none starts from fresh weights",
        ),
        (
            ("base-train", "--set", "model.architecture=small"),
            "there is nothing to train on: give --split (what risf prepare-splits wrote) or --coco, "
            "or write `split: ...` into risf.yaml of the working folder",
        ),
        (("finetune",), "fine-tuning needs --shots, one of the counts that the split holds"),
        (
            ("finetune", "--shots", 5),
            "fine-tuning needs --weights to start from; run risf base-train first (its run in "
            "runs/base is found by itself), or name a checkpoint",
        ),
        (
            ("finetune", "--config", "coco/base", "--shots", 5),
            "the config is of the base setting; risf base-train runs that",
        ),
        (("base-train", "--config", "coco/fsod"), "the config is of the few-shot setting; risf finetune runs that"),
        (
            ("finetune", "--shots", 5, "--loss", "papr"),
            "--loss: [loss] preset: expected cross-entropy or paper or released (did you mean 'paper'?), got \"papr\"",
        ),
        (
            ("base-train", "--set", "solver.batch=0", "--set", "los.alpha=1", "--set", "data.flip=x"),
            "--set los.alpha=1: there is no section 'los' (did you mean 'loss'?); "
            "--set: [solver] batch: expected int >= 1, got 0; --set: [data] flip: expected float, got \"x\"",
        ),
        (("base-train", "--config", "coco/bse"), "there is no config 'coco/bse' (did you mean 'coco/base' or "),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_one_line(call, arguments: tuple[object, ...], message: str) -> None:
    code, line = call(*arguments)
    assert code == 1
    assert line.startswith(f"error: {message}")
    assert "\n" not in line


@pytest.fixture
def voc_splits(tmp_path: Path) -> Path:
    """A working folder with splits of Pascal VOC's first two novel sets (their manifests: nothing is trained)."""
    for name in ("voc1", "voc2"):
        place = tmp_path / "datasets/risfsplit" / name
        place.mkdir(parents=True)
        base = [own for own in VOC_CLASSES if own not in NOVEL_SETS[name]]
        manifest = Manifest(
            benchmark="voc", novel_set=name, vocabulary=ClassVocabulary.from_names([*base, *NOVEL_SETS[name]])
            .with_novel(NOVEL_SETS[name]), kind="voc", source_paths=(tmp_path / "datasets",), source_sha256=("",),
            held_out=None, published=False, shots=(1,), seeds=(0,), layouts=("risf",), drawn_classes=VOC_CLASSES,
            at_least=False, drop_images_with_novel=False,
        )  # fmt: skip
        write_manifest(place, manifest, at=place)
    return tmp_path


@pytest.mark.parametrize(
    ("settings", "options", "split"),
    [
        ("", (), "voc1"),
        ("", ("--novel", "voc2"), "voc2"),
        ("", ("--novel=voc2",), "voc2"),
        ("novel: voc1", ("--novel", "voc2"), "voc2"),
        ("novel: voc2", (), "voc2"),
        ("novel: voc2", ("--split", "datasets/risfsplit/voc2"), "voc2"),
    ],
)
def test_finetune_takes_the_split_of_the_novel_set_in_force(
    voc_splits: Path, call, monkeypatch: pytest.MonkeyPatch, settings: str, options: tuple[str, ...], split: str
) -> None:
    (voc_splits / "risf.yaml").write_text(settings)
    trained = []
    monkeypatch.setattr(
        "risf_cli.commands.finetune.run_training", lambda plan, **_: trained.append(plan.config.values.data)
    )
    assert call("finetune", "--shots", 1, "--weights", "base.pth", *options) == (0, "")
    assert [data.split for data in trained] == [Path("datasets/risfsplit", split)]


def test_the_seed_is_what_all_but_the_shots_is_drawn_from(
    voc_splits: Path, call, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []
    monkeypatch.setattr(
        "risf_cli.commands.finetune.run_training",
        lambda plan, **_: seeds.append((plan.config.values.data.seed, plan.config.values.solver.seed)),
    )
    for options in ((), ("--seed", 3), ("--split-seed", 2, "--seed", 3), ("--split-seed", 2)):
        assert call("finetune", "--shots", 1, "--weights", "base.pth", *options) == (0, "")
    assert seeds == [(0, 0), (0, 3), (2, 3), (2, 0)]


@pytest.mark.parametrize(
    "options", [("--novel", "voc1"), ("--set", "data.novel=voc1"), ("--novel", "bird,bus,cow,motorbike,sofa")]
)
def test_a_novel_set_that_is_not_the_splits_is_refused(voc_splits: Path, call, options: tuple[str, ...]) -> None:
    novel = options[1].removeprefix("data.novel=")
    split = ("--split", "datasets/risfsplit/voc2")
    code, line = call("finetune", "--shots", 1, "--weights", "base.pth", *split, *options)
    assert code == 1
    assert_names(line, "datasets/risfsplit/voc2", "--novel", "risf.yaml", novel, novel, f"--novel {novel}")


def test_resume_and_force_exclude_each_other(call, tmp_path: Path) -> None:
    code, line = call("base-train", "--set", "model.architecture=small", "--split", "s", "--resume", "--force")
    assert (code, line) == (1, "error: --resume continues a run and --force replaces it; give one of them")


def test_published_configs_stand_where_the_command_looks_for_them() -> None:
    assert published_config("coco/gfsod").is_file()


OWN_NAMES = "bird,bus,cow,motorbike,sofa"  # voc1's classes by their names


@pytest.mark.parametrize("novel", ["voc1", OWN_NAMES, None])
@pytest.mark.parametrize("file", ["box_1shot_bird_train.txt", "seed3/box_1shot_bird_train.txt"])
def test_a_split_of_tfas_voc_lists_is_trained_as_voc(tmp_path: Path, novel: str | None, file: str) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("datasets/VOC2007/JPEGImages/000028.jpg\n")
    assert published_config_name(find_split(tmp_path), novel, "fsod") == "voc/fsod"


@pytest.mark.parametrize("novel", ["coco20", "voc1", None])
def test_a_split_of_tfas_coco_files_is_trained_as_coco(tmp_path: Path, novel: str | None) -> None:
    (tmp_path / "full_box_1shot_bird_trainval.json").write_text("{}")
    assert published_config_name(find_split(tmp_path), novel, "gfsod") == "coco/gfsod"


@pytest.mark.parametrize("layout", ["risf", "tfa"])
def test_pascal_voc_is_trained_as_voc_with_novel_classes_of_ones_own_too(tmp_path: Path, layout: Layout) -> None:
    with tarfile.open(Path(__file__).parents[1] / "data/expected_splits/voc_like.tar.gz") as packed:
        packed.extractall(tmp_path / "voc", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    dataset = read_voc_dataset(tmp_path / "voc")
    for novel in ("voc2", "bird,bus"):
        settings = SplitSettings(novel=novel, shots=(1,), seeds=(1,), layouts=(layout,))
        prepare_splits(dataset, tmp_path / novel, settings=settings)
        assert published_config_name(find_split(tmp_path / novel), None, "base") == "voc/base"


def test_without_a_split_the_novel_set_says_what_is_trained() -> None:
    assert published_config_name(None, "voc3", "fsod") == "voc/fsod"
    assert published_config_name(None, None, "fsod") == published_config_name(None, "coco20", "fsod") == "coco/fsod"


def test_a_coco_file_that_is_named_beats_the_split_of_the_folder(risf: Run, folder: Path) -> None:
    settings = yaml.safe_load((folder / "risf.yaml").read_text())
    data = "datasets/cocosplit/datasplit/trainvalno5k.json"
    stated = {**settings, "split": "datasets/no-such-split", "base-train": {"set": TRAIN, "coco": [data]}}
    (folder / "risf.yaml").write_text(yaml.safe_dump(stated))
    done = risf("base-train", "--weights", "none", "--images", "datasets/coco/train2014", "--quiet")
    assert done.exit_code == 0, done.stderr
    assert json.loads((folder / "runs/base/run.json").read_text())["config"]["data"]["split"] is None


def test_two_processes_train_one_detector(risf: Run, folder: Path) -> None:
    """The same command under torchrun: half of each batch a process, one run folder, one word on stdout."""
    data = ["--coco", "datasets/cocosplit/datasplit/trainvalno5k.json", "--images", "datasets/coco/train2014"]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = in_a_process(folder, "base-train", "--weights", "none", *data, "--out", "run", before=torchrun)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "run\n"
    assert done.stderr.count("batch 2 = 2 processes x 1 image x 1 portion; 8 iterations") == 1
    assert [line["iteration"] for line in read_metrics(folder / "run")] == [4, 8]
    assert risf("predict", "--weights", "run", "--out", "found.json").exit_code == 0
    assert json.loads((folder / "found.json").read_text())


def in_a_process(folder: Path, *arguments: str, before: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """`risf ...` in the folder, or under what comes before it."""
    command = [sys.executable, *before, "-m", "risf_cli", *arguments]
    environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
