"""Mutated files of every kind: each ends in a result or in one line of risf's own errors that names the file.

RISF_FUZZ_CASES says how many in all; RISF_FUZZ_SEED draws others.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from risf_cli.app import COMMANDS, load_command
from risf_cli.defaults import defaults_of
from risf_core.config import DataConfig, read_config
from risf_core.datasets.held_out import read_held_out
from risf_core.datasets.reading import read_ground_truth
from risf_core.datasets.yolo import read_yolo_dataset
from risf_core.detector.checkpoint import read_checkpoint
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.open_clip_model import build_model, preprocessing_of
from risf_core.encoder.weights import find_encoder
from risf_core.errors import RisfError
from risf_core.evaluation import read_detections_for
from risf_core.evaluation.run import EvaluationSettings, evaluate_files
from risf_core.images import decode_rgb
from risf_core.rescore.fusion_file import read_fusion
from risf_core.rescore.inputs import read_inputs
from risf_core.rescore.record import fitted_to, names_other_input, read_record
from risf_core.rescore.support import read_shots
from risf_core.splits.check import check_split
from risf_core.splits.folder import open_split
from risf_core.training.data_sets import read_training_data
from risf_core.training.metrics_log import read_metrics
from risf_core.training.saving import load_state
from risf_core.vocabulary import read_class_names
from tests.mutations import mutate
from tests.sound_files import WRITTEN, write_sound_files

CASES = int(os.environ.get("RISF_FUZZ_CASES", "2000"))
SEED = int(os.environ.get("RISF_FUZZ_SEED", "0"))
MOST_SECONDS = 20  # a case, on a busy machine

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's and torch's remarks on damaged files


class Hang(BaseException):
    pass


@dataclass(frozen=True)
class Kind:
    """A kind of file: one that is sound, and whatever a command does to read it."""

    file: str  # below the folder; of a folder its first file
    read: Callable[[Path], Any]


def evaluated(folder: Path, detections: str = "dets.json", annotations: str = "gt.json") -> Any:
    return evaluate_files(
        [folder / detections], annotations=folder / annotations, settings=EvaluationSettings(bootstrap=0)
    ).to_json()


def training_data(folder: Path, **settings: Any) -> Any:
    return read_training_data(DataConfig(images=(folder / "photos",), **settings)).records.vocabulary


def yolo_read(folder: Path) -> Any:
    return read_yolo_dataset(folder / "yolo/data.yaml").boxes.tolist()


def split_trained_on(folder: Path) -> Any:
    return training_data(folder, setting="few-shot", split=folder / "split", shots=1)


def form_read(folder: Path, name: str) -> Any:
    truth = read_ground_truth(folder / "gt.json")
    (detections,) = (folder / "forms" / name).iterdir()
    return read_detections_for(detections, truth).detections.boxes_xywh.tolist()


def encoder_built(folder: Path, weights: str) -> Any:
    source = find_encoder(weights=folder / "encoder" / weights, config=folder / "encoder/fuzzed.json")
    return len(build_model(source).state_dict())


def split_checked(folder: Path, name: str = "split") -> Any:
    return check_split(open_split(folder / name)).to_json()


def inputs_of_rescore(folder: Path, **given: Any) -> Any:
    given = given or {"annotations": folder / "gt.json"}
    return len(read_inputs(folder / "dets.json", images=[folder / "photos"], **given).file.detections)


def project(folder: Path) -> Any:
    before = Path.cwd()
    os.chdir(folder)
    try:
        return {
            name: defaults_of(load_command(name), arguments=(), commands=list(COMMANDS))
            for name in ("rescore", "evaluate")
        }
    finally:
        os.chdir(before)


def cache_read(folder: Path) -> Any:
    cache = EmbeddingCache(folder / "cache")
    try:
        found = cache.read([bytes([n]) * 16 for n in range(4)])
        return [row.tolist() for row in found.values()], cache.info().crops
    finally:
        cache.close()
        for path in (folder / "cache").glob("*damaged*"):
            path.unlink()


def encoder_found(folder: Path) -> Any:
    source = find_encoder(weights=folder / "w.safetensors", config=folder / "model.json")
    return vars(preprocessing_of(source, "squash"))


def report_read(folder: Path) -> Any:
    record = read_record(folder / "dets.json")
    return (
        None
        if record is None
        else (fitted_to(record, folder / "gt.json"), names_other_input(record, folder / "gt.json"))
    )


def checkpoint(folder: Path, name: str) -> Any:
    return len(read_checkpoint(folder / name).state)


def shots_read(folder: Path, name: str) -> Any:
    return read_shots(folder / name).name


KINDS: dict[str, Kind] = {
    "annotations": Kind("gt.json", evaluated),
    "detections": Kind("dets.json", evaluated),
    "annotations of rescore": Kind("gt.json", inputs_of_rescore),
    "detections of rescore": Kind("dets.json", inputs_of_rescore),
    "classes of rescore": Kind("names.txt", lambda folder: inputs_of_rescore(folder, classes=folder / "names.txt")),
    "photo": Kind("photos/1.jpg", lambda folder: decode_rgb(folder / "photos/1.jpg").shape),
    "class list": Kind("names.txt", lambda folder: read_class_names(folder / "names.txt")),
    "class list in YAML": Kind("names.yaml", lambda folder: read_class_names(folder / "names.yaml")),
    "VOC annotation": Kind("voc/Annotations/1.xml", lambda folder: evaluated(folder, "vocdets.json", "voc")),
    "VOC list": Kind("voc/ImageSets/Main/test.txt", lambda folder: evaluated(folder, "vocdets.json", "voc")),
    "YOLO data.yaml": Kind("yolo/data.yaml", yolo_read),
    "YOLO labels": Kind("yolo/labels/train/1.txt", yolo_read),
    "training COCO": Kind("gt.json", lambda folder: training_data(folder, setting="base", coco=(folder / "gt.json",))),
    "training split": Kind("split/split.json", split_trained_on),
    "split manifest": Kind("split/split.json", split_checked),
    "split seed": Kind("split/shots/seed0.json", split_checked),
    "split of TFA": Kind("tfa/full_box_1shot_cat_trainval.json", lambda folder: split_checked(folder, "tfa")),
    "support": Kind("split/shots/seed0.json", lambda folder: shots_read(folder, "split")),
    "support COCO": Kind("gt.json", lambda folder: shots_read(folder, "gt.json")),
    "held-out list": Kind("held.txt", lambda folder: read_held_out(folder / "held.txt").path),
    "held-out COCO": Kind("gt.json", lambda folder: read_held_out(folder / "gt.json").path),
    "config": Kind("c.yaml", lambda folder: read_config(folder / "c.yaml").values.to_json()),
    "risf.yaml": Kind("risf.yaml", project),
    "fusion": Kind("fusion.json", lambda folder: read_fusion(folder / "fusion.json").fusion),
    "record": Kind("dets.json.record.json", report_read),
    "model config": Kind("model.json", encoder_found),
    "encoder weights": Kind("encoder/fuzzed.safetensors", partial(encoder_built, weights="fuzzed.safetensors")),
    "encoder weights of torch": Kind("encoder/w.pt", partial(encoder_built, weights="w.pt")),
    "embedding cache": Kind("cache/embeddings.sqlite", cache_read),
    "run description": Kind("run/run.json", lambda folder: checkpoint(folder, "run")),
    "metrics": Kind("run/metrics.jsonl", lambda folder: read_metrics(folder / "run")),
    "weights": Kind("run/model_final.pth", lambda folder: checkpoint(folder, "run/model_final.pth")),
    "weights in a pickle": Kind("w.pkl", lambda folder: checkpoint(folder, "w.pkl")),
    "weights in safetensors": Kind("w.safetensors", lambda folder: checkpoint(folder, "w.safetensors")),
    "state of a run": Kind("run/model_last.pth", lambda folder: load_state(folder / "run").iteration),
}  # fmt: skip


KINDS |= {
    f"detections as {form.name}": Kind(f"forms/{form.name}", partial(form_read, name=form.name)) for form in WRITTEN
}


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sound files of all kinds."""
    folder = tmp_path_factory.mktemp("sound")
    write_sound_files(folder)
    return folder


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    def end(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def holds_nan(value: Any) -> bool:
    if isinstance(value, float):
        return math.isnan(value)
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(map(holds_nan, parts))


def fault_of(kind: Kind, folder: Path) -> str | None:
    """What is wrong with how a file ends; None where all is well."""
    try:
        with limited(MOST_SECONDS):
            result = kind.read(folder)
    except RisfError as error:
        message = str(error)
        names = (str(folder), *Path(kind.file).parts, Path(kind.file).stem)
        if "\n" in message or len(message) > 3000:
            return f"not one line: {message[:300]!r}"
        return None if any(name in message for name in names) else f"names no file: {message[:300]!r}"
    except Hang:
        return f"no end in {MOST_SECONDS} s\n{traceback.format_exc(limit=-4)}"
    except Exception:
        return traceback.format_exc(limit=-6)
    return "NaN in the result" if holds_nan(result) else None


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="no alarms to end a case that hangs")
@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_end_in_a_result_or_in_one_line(name: str, sound: Path, tmp_path: Path) -> None:
    kind, faults = KINDS[name], []
    folder = tmp_path / "f"
    shutil.copytree(sound, folder)
    file = folder / kind.file
    if file.is_dir():
        file = min(path for path in file.rglob("*") if path.is_file())
    original = file.read_bytes()
    assert fault_of(kind, folder) is None, "the sound file is refused"
    for number in range(max(1, CASES // len(KINDS))):
        file.write_bytes(original)
        mutate(file, random.Random(f"{SEED} {name} {number}"))
        fault = fault_of(kind, folder)
        if fault is not None:
            faults.append(f"case {number}: {fault}")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:20])
