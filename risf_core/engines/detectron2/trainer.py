"""A training run in the hands of detectron2's trainer and hooks."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from detectron2.engine import HookBase, SimpleTrainer, hooks

from risf_core.detector.model import Detector
from risf_core.engines.detectron2.model import detectron2_model
from risf_core.errors import RisfError
from risf_core.training.loop import Job, RunInProgress
from risf_core.training.stepping import LOSS_NAMES


def run_trainer(model: Detector, job: Job, *, resume: bool) -> None:
    """Train as `run_loop` does, the same files and faults, with detectron2's model under detectron2's trainer.

    Custom hooks (`Hooks(detectron2=...)`) are called as in any training of its. Several processes are torchrun's.
    """
    run = RunInProgress(detectron2_model(model), job, resume=resume)
    trainer = FewShotTrainer(run)
    trainer.register_hooks([hooks.IterationTimer(), RunHook(run), *job.hooks.detectron2])
    with _faults_logged_once():
        trainer.train(run.iteration, job.schedule.iterations)


class FewShotTrainer(SimpleTrainer):  # type: ignore[misc]  # detectron2 has no types
    """`SimpleTrainer` whose step is ours: a whole batch in portions, in any number format, dropout from the seed."""

    def __init__(self, run: RunInProgress) -> None:
        super().__init__(run.model, run.steps, run.optimizer, gather_metric_period=run.job.config.solver.log_every)
        self.run = run

    def run_step(self) -> None:
        """One optimiser step; its losses go to upstream's event storage too."""
        waited = self.run.waited
        losses = self.run.step()
        self._write_metrics(dict(zip(LOSS_NAMES, losses, strict=True)), self.run.waited - waited)


class RunHook(HookBase):  # type: ignore[misc]  # likewise
    """Metrics, evaluations, checkpoints and final weights, in the forms of every run."""

    def __init__(self, run: RunInProgress) -> None:
        self.run = run

    def after_step(self) -> None:
        self.run.after_step()

    def after_train(self) -> None:
        if self.run.is_done:  # upstream calls it after a fault too
            self.run.finish()


@contextmanager
def _faults_logged_once() -> Iterator[None]:
    """Upstream logs the traceback of whatever ends a training; our errors are shown by the caller."""

    def is_news(record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], RisfError))

    logger = logging.getLogger("detectron2.engine.train_loop")
    logger.addFilter(is_news)
    try:
        yield
    finally:
        logger.removeFilter(is_news)
