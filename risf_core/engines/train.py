"""A training run from its settings to its folder."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from risf_core.choices import Engine
from risf_core.config import Config, ConfigInForce
from risf_core.detector.runs import RunDescription
from risf_core.devices import choose_device, choose_precision
from risf_core.engines import require_engine, require_network
from risf_core.errors import ConfigError, counted, listing
from risf_core.files import sha256_of
from risf_core.processes import Processes, started_processes
from risf_core.training.data_sets import TrainingData, read_training_data
from risf_core.training.distributed import training_group, wait_for_all
from risf_core.training.held_out import HeldOutSet
from risf_core.training.loop import Hooks, Job, run_loop
from risf_core.training.run_folder import OpenedRun, RunRecord, open_run, run_folder
from risf_core.training.saving import FINAL, LAST
from risf_core.training.schedule import PUBLISHED_BATCH, accumulation_of, schedule_of, with_published_schedule
from risf_core.training.starting import starting_model


@dataclass(frozen=True)
class TrainedRun:
    """What a run left behind."""

    folder: Path
    weights: Path


def train(
    config: ConfigInForce,
    folder: Path,
    *,
    data: TrainingData | None = None,
    resume: bool = False,
    force: bool = False,
    processes: Processes | None = None,
    hooks: Hooks | None = None,
    on_note: Callable[[str], None] = lambda line: None,
) -> TrainedRun:
    """Train as a config says, in a folder: base training or the few-shot stage, as ``data.setting`` says.

    Args:
        data: the config's, where they are read already.
        resume: continue the run that the folder holds, where it holds one.
        force: replace it, once the new run has its first checkpoint.
        processes: who takes part; default: those that torchrun started.
        on_note: is called with lines on what was read, chosen and scaled.

    Raises ConfigError, DataError, CheckpointError and so on, in one line, where something asked for cannot be.
    """
    processes = processes or started_processes()
    with run_folder(folder, resume=resume, force=force) if processes.is_first else contextlib.nullcontext():
        return _train(config, folder, data, resume, force, processes, hooks or Hooks(), on_note)


def _train(
    config: ConfigInForce,
    folder: Path,
    data: TrainingData | None,
    resume: bool,
    force: bool,
    processes: Processes,
    hooks: Hooks,
    on_note: Callable[[str], None],
) -> TrainedRun:
    require_engine(config.values.solver.engine)
    data = data or read_training_data(config.values.data)
    if config.values.data.setting != "base" and config.values.data.shots is None:
        config = config.with_values({"data.shots": data.fewest_boxes}, origin="the rarest class of the file")
    config, schedule_note = with_published_schedule(config)
    solver = config.values.solver
    schedule = schedule_of(solver)
    group_size, accumulation = accumulation_of(solver, processes.count)
    device = torch.device(choose_device(solver.device))
    precision = choose_precision(solver.precision, str(device))
    held_out = _held_out(config, data)
    start = starting_model(config.values, data.records.vocabulary, whole=data.whole)
    require_network(solver.engine, start.model.architecture)
    description = RunDescription(start.model.architecture, data.records.vocabulary)
    run: OpenedRun | None = None
    if processes.is_first:  # the others must not look: they would see what the first has begun
        record = RunRecord(config, _inputs(config.values, data, held_out))
        run = open_run(folder, record, description, resume=resume, force=force)
        records, vocabulary = data.records, data.records.vocabulary
        boxes = sum(map(len, records.records))
        classes = f"{counted(len(vocabulary), 'class')}: {listing(vocabulary.names, 4)}"
        on_note(f"{counted(boxes, 'box')} in {counted(len(records), 'record')} of {classes}")
        for note in (*(() if run.resumes else start.notes), *([schedule_note] if schedule_note else [])):
            on_note(note)
        if schedule.iterations != solver.iterations:
            on_note(
                f"{solver.iterations} iterations at learning rate {solver.learning_rate:g} are meant for batches of "
                f"{PUBLISHED_BATCH}: {schedule.iterations} at {schedule.learning_rate:g} for batches of {solver.batch} "
                "(`solver.scale_schedule=false` takes them as they are)"
            )
        on_note(
            f"batch {solver.batch} = {counted(processes.count, 'process')} x {counted(group_size, 'image')} x "
            f"{counted(accumulation, 'portion')}; "
            f"{schedule.iterations} iterations at learning rate {schedule.learning_rate:g}, a tenth at "
            f"{listing(schedule.steps) or 'no step'}; {precision} on {device}"
            f"{'' if solver.engine == 'torchvision' else f', engine {solver.engine}'}"
        )
    job = Job(
        folder=folder,
        records=data.records,
        config=config.values,
        schedule=schedule,
        description=description,
        device=device,
        precision=precision,
        processes=processes,
        held_out=held_out,
        hooks=replace(hooks, on_resumed=lambda iteration: on_note(f"continues after iteration {iteration}")),
        run=run.record.digest if run else "",
        replaces=run is not None and run.replaces,
    )
    with training_group(processes, device):
        wait_for_all(processes)
        resumes = run.resumes if run else resume and not force and (folder / LAST).is_file()
        _loop_of(solver.engine)(start.model, job, resume=resumes)
    return TrainedRun(folder, folder / FINAL)


def _loop_of(engine: Engine) -> Callable[..., None]:
    if engine == "torchvision":
        return run_loop
    from risf_core.engines.detectron2.trainer import run_trainer

    return run_trainer


def _held_out(config: ConfigInForce, data: TrainingData) -> HeldOutSet | None:
    if not config.values.solver.evaluate_every:
        return None
    held_out = data.held_out(config.values.data.held_out_images)
    if held_out is None:
        raise ConfigError(
            "solver.evaluate_every asks for evaluations, but there are no test images with boxes; "
            "give `held_out`, a COCO JSON"
        )
    return held_out


def _inputs(config: Config, data: TrainingData, held_out: HeldOutSet | None) -> dict[str, str]:
    """What the run reads -> its SHA-256."""
    inputs = dict(data.inputs)
    if held_out is not None:
        inputs["held_out"] = held_out.sha256
    weights, classes = config.model.weights, config.model.weights_classes
    if weights is not None:
        inputs["weights"] = sha256_of(RunDescription.weights_in(weights) if weights.is_dir() else weights)
    if classes is not None and classes.is_file():  # not needed where the classes of the weights are known
        inputs["weights_classes"] = sha256_of(classes)
    return inputs
