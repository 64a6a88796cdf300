"""One optimiser step: the losses of a whole batch, portion by portion, and what to do when they are not finite."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from risf_core.choices import Precision
from risf_core.detector.architecture import InputSettings
from risf_core.detector.inputs import batch_of
from risf_core.detector.matching import RandomSampler, Sampler
from risf_core.errors import RisfError
from risf_core.training.examples import Example
from risf_core.training.optimizer import RATE_SHARE
from risf_core.training.order import box_seed

SamplerOf: TypeAlias = Callable[[Example], Sampler]
LOSS_NAMES = ("loss_rpn_cls", "loss_rpn_loc", "loss_cls", "loss_box_reg")


class LossNotFinite(RisfError):
    """The loss of a portion is NaN or infinite; the weights are still those before the step."""

    def __init__(self, examples: Sequence[Example], losses: dict[str, float]) -> None:
        super().__init__("the loss is NaN or infinite")
        self.examples = examples
        self.losses = losses


def seeded_samplers(seed: int) -> SamplerOf:
    """Samplers of anchors and RoIs that depend on the image's place in the order alone."""

    def sampler_of(example: Example) -> Sampler:
        return RandomSampler(torch.Generator().manual_seed(box_seed(seed, example.place)))

    return sampler_of


class Stepper:
    """Runs optimiser steps of a model."""

    def __init__(
        self,
        model: nn.Module,  # a Detector, or one in DistributedDataParallel
        optimizer: torch.optim.Optimizer,
        *,
        inputs: InputSettings,
        device: torch.device,
        precision: Precision,
        channels_last: bool,
        most_gradient: float = 0.0,  # the largest norm of all gradients together; 0: as it is
        sampler_of: SamplerOf,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.inputs = inputs
        self.device = device
        self.precision = precision
        self.channels_last = channels_last
        self.most_gradient = most_gradient
        self.sampler_of = sampler_of
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision == "fp16" and device.type == "cuda")

    def step(self, groups: Iterator[list[Example]], *, count: int, rate: float, seed: int) -> Tensor:
        """Take one step over `count` groups at a learning rate; returns the mean of each loss, (4,) as LOSS_NAMES.

        `seed` is of the dropout. Raises LossNotFinite before any weight has changed.
        """
        for parameters in self.optimizer.param_groups:
            parameters["lr"] = rate * parameters.get(RATE_SHARE, 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.zeros(len(LOSS_NAMES), device=self.device)
        with _seeded(self.device, seed):
            for number in range(count):
                examples = next(groups)
                with self._gathering(last=number == count - 1):
                    losses = self._losses(examples)
                    total += losses.detach() / count
                    self.scaler.scale(losses.sum() / count).backward()  # type: ignore[no-untyped-call]
        if self.most_gradient:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), self.most_gradient)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return total

    def _losses(self, examples: Sequence[Example]) -> Tensor:
        batch = batch_of([example.pixels for example in examples], self.inputs, device=self.device)
        if self.channels_last:
            batch = type(batch)(batch.pixels.contiguous(memory_format=torch.channels_last), batch.sizes)
        targets = [example.target.to(self.device) for example in examples]
        with self._number_format():
            try:
                found = self.model(batch, targets, [self.sampler_of(example) for example in examples])
            except FloatingPointError:  # detectron2's own check of its proposals, before there is any loss
                raise LossNotFinite(examples, dict.fromkeys(LOSS_NAMES, float("nan"))) from None
        losses = torch.stack([found[name].float() for name in LOSS_NAMES])
        if not bool(torch.isfinite(losses).all()):
            raise LossNotFinite(examples, dict(zip(LOSS_NAMES, losses.tolist(), strict=True)))
        return losses

    def _gathering(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients are averaged over the processes once a step, with its last portion."""
        if isinstance(self.model, DistributedDataParallel) and not last:
            return self.model.no_sync()
        return contextlib.nullcontext()

    def _number_format(self) -> AbstractContextManager[object]:
        if self.precision == "fp32":
            return contextlib.nullcontext()
        half = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=half)


@contextlib.contextmanager
def _seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Dropout draws from torch's own generators, which a module cannot be given: they are seeded for the block."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        yield
