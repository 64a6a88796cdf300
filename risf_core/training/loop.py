"""The training loop: step by step from where a run is to its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from risf_core.choices import Precision
from risf_core.config import Config
from risf_core.detector.model import Detector
from risf_core.detector.prediction import PredictionSettings
from risf_core.detector.runs import RUN_FILE, RunDescription
from risf_core.devices import is_out_of_memory
from risf_core.errors import CheckpointError, ConfigError, RisfError
from risf_core.evaluation import UNDEFINED
from risf_core.files import write_json
from risf_core.processes import Processes
from risf_core.records import RecordSet
from risf_core.training.distributed import wait_for_all, with_shared_gradients
from risf_core.training.held_out import HeldOutSet, held_out_metrics
from risf_core.training.loading import training_steps
from risf_core.training.meter import Meter, RunStatus
from risf_core.training.metrics_log import MetricsLog
from risf_core.training.optimizer import optimizer_of
from risf_core.training.order import OrderState
from risf_core.training.run_folder import folder_until_checkpoint, replace_run
from risf_core.training.saving import BEST, FINAL, LAST, TrainingState, load_state, save_state, save_weights
from risf_core.training.schedule import Schedule, accumulation_of
from risf_core.training.stepping import LossNotFinite, SamplerOf, Stepper, seeded_samplers


@dataclass(frozen=True)
class Hooks:
    """What a caller wants to hear, and what tests put in place of chance."""

    on_progress: Callable[[RunStatus], None] = lambda status: None
    on_evaluation: Callable[[int, dict[str, float]], None] = lambda iteration, figures: None
    on_resumed: Callable[[int], None] = lambda iteration: None
    sampler_of: SamplerOf | None = None  # None: drawn from the seed
    detectron2: tuple[Any, ...] = ()  # hooks of detectron2's trainer (HookBase), for its engine. Any: may be absent


@dataclass(frozen=True)
class Job:
    """All that a loop needs beside the model."""

    folder: Path
    records: RecordSet
    config: Config
    schedule: Schedule
    description: RunDescription
    device: torch.device
    precision: Precision
    processes: Processes
    held_out: HeldOutSet | None = None
    hooks: Hooks = field(default_factory=Hooks)
    run: str = ""  # the digest of what was asked for; the first process checks it
    replaces: bool = False  # the folder holds another run, which stays until the first checkpoint


def run_loop(model: Detector, job: Job, *, resume: bool) -> None:
    """Train the model to the end of its schedule; the first process writes checkpoints, metrics and final weights.

    Every random draw depends on the seed and on a count that the checkpoint holds, so a run that was killed and is
    resumed ends with the weights of an undisturbed one. Raises RisfError where the loss is NaN or infinite,
    ConfigError where the memory does not suffice, OutputError where a disk is full; the last checkpoint stays whole.
    """
    run = RunInProgress(model, job, resume=resume)
    while not run.is_done:
        run.step()
        run.after_step()
    run.finish()


class RunInProgress:
    """A run between two of its iterations, for whichever engine's loop."""

    def __init__(self, model: Detector, job: Job, *, resume: bool) -> None:
        """Put the model on its device and begin, or continue from the folder's checkpoint."""
        solver = job.config.solver
        self.job = job
        self._own = model.to(
            job.device, memory_format=torch.channels_last if solver.channels_last else torch.preserve_format
        )  # type: ignore[call-overload]
        model.train()
        self.optimizer = optimizer_of(model, solver)
        group_size, self._accumulation = accumulation_of(solver, job.processes.count)
        self.model = with_shared_gradients(model, job.processes, job.device)
        self._stepper = Stepper(
            self.model,
            self.optimizer,
            inputs=model.architecture.inputs,
            device=job.device,
            precision=job.precision,
            channels_last=solver.channels_last,
            most_gradient=solver.clip_gradients,
            sampler_of=job.hooks.sampler_of or seeded_samplers(solver.seed),
        )
        self.iteration = 0  # steps that are done
        self._order = OrderState()
        self._best: float | None = None
        if resume:
            self._restore()
        self.steps = training_steps(
            job.records.records,
            job.config.data,
            seed=solver.seed,
            group_size=group_size,
            accumulation=self._accumulation,
            processes=job.processes,
            state=self._order,
            pin_memory=job.device.type == "cuda",
        )
        self._folder = folder_until_checkpoint(job.folder, replaces=job.replaces)
        self._log = MetricsLog(self._folder, iteration=self.iteration) if job.processes.is_first else None
        self._meter = Meter(job.schedule.iterations, device=job.device, processes=job.processes)

    @property
    def is_done(self) -> bool:
        """Whether the schedule is at its end."""
        return self.iteration >= self.job.schedule.iterations

    @property
    def waited(self) -> float:
        """Seconds of waiting for images since the last line of metrics."""
        return self._meter.waited

    def step(self) -> Tensor:
        """One optimiser step; returns the mean of each loss, (4,) as LOSS_NAMES."""
        job, solver = self.job, self.job.config.solver
        rate = job.schedule.rate_at(self.iteration)
        try:
            with self._meter.loading():
                step = next(self.steps)
            seed = (solver.seed * 1_000_003 + self.iteration) * job.processes.count + job.processes.rank
            losses = self._stepper.step(self._meter.timed(step.groups), count=self._accumulation, rate=rate, seed=seed)
        except LossNotFinite as fault:
            raise RisfError(_save_batch(fault, job, iteration=self.iteration, rate=rate)) from None
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise ConfigError(_memory_advice(job, self.iteration)) from None
            raise
        self._meter.add(losses)
        self._order = step.state
        self.iteration += 1
        return losses

    def after_step(self) -> None:
        """Whatever is due after an iteration: a line of metrics, an evaluation, a checkpoint."""
        job, solver, done = self.job, self.job.config.solver, self.iteration
        if self.is_done or done % solver.log_every == 0:
            progress = self._meter.report(done, job.schedule.rate_at(done - 1))
            if self._log is not None:
                self._log.write(done, progress.figures())
                job.hooks.on_progress(progress)
        if _is_due(done, solver.evaluate_every, self.is_done) and job.held_out is not None:
            with self._meter.paused():
                self._best = self._evaluate(done)
        if self._log is not None and _is_due(done, solver.checkpoint_every, self.is_done):
            save_state(self._folder, self._state(), job.description)
            if self._folder != job.folder:
                self._log.close()
                replace_run(job.folder)
                self._folder = job.folder
                self._log = MetricsLog(job.folder, iteration=done)

    def finish(self) -> None:
        """Write the final weights."""
        if self._log is not None:
            save_weights(self.job.folder / FINAL, _weights(self._own), self.job.description)
            self._log.close()
        wait_for_all(self.job.processes)

    def _restore(self) -> None:
        path = self.job.folder / LAST
        state = load_state(self.job.folder)
        if self.job.processes.is_first and state.run != self.job.run:
            raise CheckpointError(f"{path}: is of another run than {RUN_FILE}; start again with `force`")
        if state.iteration > self.job.schedule.iterations:
            raise CheckpointError(
                f"{path}: is at iteration {state.iteration} of a run of {self.job.schedule.iterations}, so it is of "
                "another run; start again with `force`"
            )
        try:
            self._own.load_state_dict(state.model)
            self.optimizer.load_state_dict(dict(state.optimizer))
            self._stepper.scaler.load_state_dict(dict(state.scaler))
        except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
            fault = " ".join(str(error).split())[:200]
            raise CheckpointError(f"{path}: does not fit the run ({fault}); start again with `force`") from None
        self.iteration, self._order, self._best = state.iteration, state.order, state.best
        if self.job.processes.is_first:
            self.job.hooks.on_resumed(state.iteration)

    def _state(self) -> TrainingState:
        return TrainingState(
            iteration=self.iteration,
            model=_weights(self._own),
            optimizer=self.optimizer.state_dict(),
            scaler=self._stepper.scaler.state_dict(),
            order=self._order,
            best=self._best,
            run=self.job.run,
        )

    def _evaluate(self, iteration: int) -> float | None:
        """Evaluate on the first process while the others wait; the best AP so far, whose weights are written."""
        job, best = self.job, self._best
        if self._log is not None:
            assert job.held_out is not None
            settings = PredictionSettings(device=str(job.device), precision=job.precision)
            figures = held_out_metrics(self._own, job.held_out, settings)
            self._log.write(iteration, {f"held_out/{name}": value for name, value in figures.items()})
            job.hooks.on_evaluation(iteration, figures)
            score = figures.get("nAP", UNDEFINED) if job.config.data.setting != "base" else UNDEFINED
            if score == UNDEFINED:  # no groups, or no box of a novel class among these images
                score = figures["AP"]
            if score != UNDEFINED and (best is None or score > best):
                best = score
                save_weights(self._folder / BEST, _weights(self._own), job.description)
        wait_for_all(job.processes)
        return best


def _is_due(iteration: int, every: int, last: bool) -> bool:
    return every > 0 and (last or iteration % every == 0)


def _weights(model: Detector) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}


def _save_batch(fault: LossNotFinite, job: Job, *, iteration: int, rate: float) -> str:
    """Write the images that the network saw and what they were; returns the message."""
    from PIL import Image

    folder = job.folder / f"bad_loss_iteration_{iteration}"
    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, example in enumerate(fault.examples):
        name = f"{number}_{example.path.stem}.png"
        Image.fromarray(example.pixels.flip(0).permute(1, 2, 0).contiguous().numpy()).save(folder / name)  # BGR to RGB
        target = {"boxes": example.target.boxes.tolist(), "labels": example.target.labels.tolist()}
        images.append({"saved_as": name, "path": str(example.path), **target})
    losses = {name: str(value) for name, value in fault.losses.items()}  # JSON has no NaN
    write_json(
        folder / "batch.json", {"iteration": iteration, "learning_rate": rate, "losses": losses, "images": images}
    )
    parts = ", ".join(f"{name} {value:.4g}" for name, value in fault.losses.items())
    return (
        f"the loss is NaN or infinite at iteration {iteration}, learning rate {rate:.4g} ({parts}); the images of the "
        f"batch are in {folder}; look at their boxes, lower solver.learning_rate or lengthen solver.warmup_iterations"
    )


def _memory_advice(job: Job, iteration: int) -> str:
    solver, data = job.config.solver, job.config.data
    images, _ = accumulation_of(solver, job.processes.count)
    ways = [f"solver.images_per_step (now {images}; the batch stays {solver.batch})"] if images > 1 else []
    ways.append(f"data.short_sides (now up to {max(data.short_sides)}) with data.long_side (now {data.long_side})")
    half = ", or set solver.precision=bf16" if job.precision == "fp32" and job.device.type == "cuda" else ""
    again = "" if job.config.model.activation_checkpointing else ", or set model.activation_checkpointing=true"
    return f"out of memory on {job.device} at iteration {iteration}: lower {' or '.join(ways)}{half}{again}"
