"""Remakes the weights that the demo's base training starts from: ``python -m risf_core.demo.train_backbone``.

They are to the demo what ImageNet weights are to the published detectors: a backbone and res5 that have learnt what
things look like, here by detecting them with batch norm and Adam. The scenes have a seed of their own and show no novel
class of the demo; RPN and heads are left out of the file.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from risf_core.demo.scenes import Scene, SceneSettings, draw_scene
from risf_core.demo.things import NOVEL, THINGS
from risf_core.detector.architecture import RESNETS, InputSettings, ResNetC4
from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.checkpoint_writing import write_checkpoint
from risf_core.detector.inputs import batch_of, network_pixels, resized_size
from risf_core.detector.matching import RandomSampler, Target
from risf_core.detector.model import Detector, build_detector
from risf_core.detector.resnet import NormedConv

NAME = "made-backbone.safetensors"
SEED = 20_240_002  # far from the demo's: 0, 1, 2 ...
ARCHITECTURE: ResNetC4 = replace(
    RESNETS["small"],
    block_counts=(1, 1, 1, 2),  # boxes are read from res5: one block of it is too few
    freeze_at=3,  # as published: what was learnt before stays
    inputs=InputSettings(short_side=288, long_side=480),
    anchor_sizes=(32, 64, 112, 192),
    proposals_test=(400, 60),  # made scenes hold at most seven things
    rois_per_image=40,
)
_NAMES = tuple(name for name in THINGS if name not in NOVEL)
_BATCH = 6  # scenes
_LEARNING_RATE = 2e-3

_logger = logging.getLogger(__name__)


def train_backbone(folder: Path, *, scenes: int, steps: int) -> Path:
    """Write `made-backbone.safetensors` (half precision), which `risf base-train --weights` takes; returns its path."""
    generator = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    settings = SceneSettings(_NAMES, (1.0,) * len(_NAMES))
    drawn = [draw_scene(settings, generator) for _ in range(scenes)]
    _logger.info("%d scenes of %d things", scenes, len(_NAMES))
    architecture = replace(ARCHITECTURE, freeze_at=0, roi_positive_fraction=0.5)
    model = build_detector(
        architecture, class_count=len(_NAMES), rpn_gradient_scale=1.0, rcnn_gradient_scale=1.0
    ).train()
    norms = _with_batch_norms(model)
    optimiser = torch.optim.AdamW([*model.parameters(), *norms.parameters()], lr=_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_LEARNING_RATE, total_steps=steps)
    for step in range(steps):
        losses = _losses(model, [drawn[place] for place in generator.integers(scenes, size=_BATCH)], generator)
        optimiser.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        schedule.step()
        if step % 25 == 0 or step == steps - 1:
            _logger.info("step %d: %s", step, ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items()))
    _freeze_norms(model, norms)
    path = folder / NAME
    state = {
        name: value.half()
        for name, value in model.state_dict().items()
        if name.startswith(("backbone.", "roi_heads.res5."))
    }
    write_checkpoint(Checkpoint(path, "safetensors", state, ARCHITECTURE, None), path, form="safetensors")
    return path


def _losses(model: Detector, scenes: Sequence[Scene], generator: np.random.Generator) -> dict[str, Tensor]:
    """The detector's four losses on scenes, all of them mirrored or not."""
    mirrored = generator.random() < 0.5
    pixels, targets, samplers = [], [], []
    for scene in scenes:
        width, height = scene.image.size
        inputs = model.architecture.inputs
        size = resized_size((height, width), short_side=inputs.short_side, long_side=inputs.long_side)
        image = network_pixels(np.asarray(scene.image), size)
        boxes = scene.boxes_xywh * np.tile([size[1] / width, size[0] / height], 2)
        boxes[:, 2:] += boxes[:, :2]
        if mirrored:
            image = image.flip(2)
            boxes = np.stack([size[1] - boxes[:, 2], boxes[:, 1], size[1] - boxes[:, 0], boxes[:, 3]], axis=1)
        pixels.append(image)
        labels = torch.tensor([_NAMES.index(name) for name in scene.names], dtype=torch.int64)
        targets.append(Target(torch.from_numpy(boxes.astype(np.float32)), labels))
        samplers.append(RandomSampler(torch.Generator().manual_seed(int(generator.integers(2**62)))))
    found: dict[str, Tensor] = model(batch_of(pixels, model.architecture.inputs, device="cpu"), targets, samplers)
    return found


def _with_batch_norms(model: Detector) -> nn.ModuleList:
    """A batch norm behind each convolution in place of its frozen one; returns them in the order of `_convolutions`."""
    norms = nn.ModuleList()
    for convolution in _convolutions(model):
        norm = nn.BatchNorm2d(convolution.out_channels)
        convolution.forward = _normed(convolution, norm)  # type: ignore[assignment, method-assign]
        norms.append(norm)
    return norms


def _normed(convolution: NormedConv, norm: nn.BatchNorm2d) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        plain = functional.conv2d(x, convolution.weight, None, convolution.stride, convolution.padding)
        return norm(plain)  # type: ignore[no-any-return]

    return forward


def _freeze_norms(model: Detector, norms: nn.ModuleList) -> None:
    """Write what the batch norms have learnt into the frozen ones."""
    for convolution, norm in zip(_convolutions(model), norms, strict=True):
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(convolution.norm, name).copy_(getattr(norm, name).detach())


def _convolutions(model: Detector) -> list[NormedConv]:
    return [module for module in model.modules() if isinstance(module, NormedConv)]


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder of the file")
    parser.add_argument("--scenes", type=int, default=600, help="made scenes to learn from")
    parser.add_argument("--steps", type=int, default=480, help="optimiser steps of 6 scenes")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train_backbone(given.out, scenes=given.scenes, steps=given.steps)


if __name__ == "__main__":
    main()
