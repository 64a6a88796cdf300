"""Putting weights into a model, with a report in which nothing is silent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from risf_core.detector.checkpoint import Checkpoint
from risf_core.detector.checkpoint_names import CLASS_LAYER, block_counts_of
from risf_core.detector.model import Detector, build_detector
from risf_core.detector.roi_heads import TestSettings
from risf_core.errors import CheckpointError, listing
from risf_core.losses import ClassificationLoss


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint's parameters, each list in the order of the model or of the file."""

    loaded: tuple[str, ...]
    implied: tuple[str, ...]  # of `loaded`, those that the file does not hold but its form means
    missing: tuple[str, ...]  # of the model, not in the checkpoint: as the model had them
    unexpected: tuple[str, ...]  # in the checkpoint, of no use to the model
    reshaped: tuple[
        tuple[str, tuple[int, ...], tuple[int, ...]], ...
    ]  # name, shape in the file, in the model: not loaded

    def lines(self) -> list[str]:
        """The report for people, one line a list that is not empty."""
        said = [f"loaded {len(self.loaded)} parameters"]
        if self.implied:
            said.append(f"{len(self.implied)} of them by the file's form: {listing(self.implied, most=4)}")
        if self.missing:
            said.append(f"missing, left as they were: {len(self.missing)}: {listing(self.missing, most=4)}")
        if self.unexpected:
            said.append(f"in the file and not used: {len(self.unexpected)}: {listing(self.unexpected, most=4)}")
        if self.reshaped:
            shown = [
                f"{name} {_by(there)} in the file, {_by(here)} in the model" for name, there, here in self.reshaped
            ]
            said.append(f"of another shape, left as they were: {len(shown)}: {listing(shown, most=2)}")
        return said


def detector_of(
    checkpoint: Checkpoint,
    *,
    test: TestSettings | None = None,
    rcnn_gradient_scale: float = 0.75,
    classifier_dropout: float = 0.0,
    loss: ClassificationLoss | None = None,
) -> tuple[Detector, LoadReport]:
    """The whole detector that a checkpoint is of. Raises CheckpointError where it holds no whole one."""
    if checkpoint.class_count is None:
        raise CheckpointError(
            f"{checkpoint.source}: holds a backbone without RPN and heads (ImageNet weights), which detects nothing; "
            "train with it, or name a detector's checkpoint"
        )
    with torch.device("meta"):  # no fresh weights are drawn only to be overwritten
        model = build_detector(
            checkpoint.architecture,
            class_count=checkpoint.class_count,
            rcnn_gradient_scale=rcnn_gradient_scale,
            classifier_dropout=classifier_dropout,
            loss=loss,
            test=test,
        )
    model._apply(lambda tensor: torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor)  # type: ignore[no-untyped-call]
    return model, load_weights(model, checkpoint, require="all")


def load_weights(model: Detector, checkpoint: Checkpoint, *, require: Literal["all", "backbone"]) -> LoadReport:
    """Copy a checkpoint's parameters into the model wherever name and shape are the same.

    Args:
        require: "all" raises where any parameter of the model is missing or of another shape; "backbone" only where
            one of the backbone is (a start from ImageNet, or from a detector of other classes).

    Raises CheckpointError where the depths differ, or what is required is not there.
    """
    own = model.state_dict()
    depth, wanted = block_counts_of(checkpoint.state), block_counts_of(own)
    if any(there and there != here for there, here in zip(depth, wanted, strict=True)):
        raise CheckpointError(
            f"{checkpoint.source}: is {_depth(depth)}, the model is {_depth(wanted)}; "
            "take a checkpoint of the same depth, or build the model that it is of"
        )
    loaded, reshaped = [], []
    for name, parameter in own.items():
        value = checkpoint.state.get(name)
        if value is None:
            continue
        if value.shape == parameter.shape:
            parameter.copy_(value)
            loaded.append(name)
        else:
            reshaped.append((name, tuple(value.shape), tuple(parameter.shape)))
    report = LoadReport(
        loaded=tuple(loaded),
        implied=tuple(name for name in checkpoint.implied if name in own),
        missing=tuple(name for name in own if name not in checkpoint.state),
        unexpected=(*(name for name in checkpoint.state if name not in own), *checkpoint.left_out),
        reshaped=tuple(reshaped),
    )
    _check(report, checkpoint, model, require)
    return report


def _check(report: LoadReport, checkpoint: Checkpoint, model: Detector, require: Literal["all", "backbone"]) -> None:
    if require == "all" and any(name == CLASS_LAYER for name, _, _ in report.reshaped):
        raise CheckpointError(
            f"{checkpoint.source}: detects {checkpoint.class_count} classes, the model {model.class_count}; "
            "name the classes that it was trained on, or let `risf finetune` give it another head"
        )
    prefix = "" if require == "all" else "backbone."
    shapes = [
        f"{name} is {_by(there)} in the file and {_by(here)} in the model"
        for name, there, here in report.reshaped
        if name.startswith(prefix)
    ]
    if shapes:
        raise CheckpointError(f"{checkpoint.source}: is of another architecture: {listing(shapes, most=2)}")
    missing = [name for name in report.missing if name.startswith(prefix)]
    if missing:
        raise CheckpointError(f"{checkpoint.source}: lacks {len(missing)} parameters: {listing(missing, most=3)}")


def _depth(blocks: tuple[int, ...]) -> str:
    shown = "-".join(map(str, blocks))
    name = {"3-4-6": "R-50", "3-4-23": "R-101"}.get("-".join(map(str, blocks[:3])))
    return f"a network of {shown} blocks" if name is None else f"{name} ({shown} blocks)"


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a number"
