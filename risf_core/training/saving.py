"""A training run's checkpoints: the last one with all that resuming needs, the best and the final weights."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from risf_core.detector.checkpoint import METADATA_KEY
from risf_core.detector.checkpoint_writing import write_torch_file
from risf_core.detector.pickles import load_torch_or_pickle
from risf_core.detector.runs import RunDescription
from risf_core.documents import typed
from risf_core.errors import CheckpointError
from risf_core.training.order import OrderState

LAST, BEST, FINAL = "model_last.pth", "model_best.pth", "model_final.pth"
TRAINING_KEY = "training"
_START_AGAIN = "start again with `force`"


@dataclass(frozen=True)
class TrainingState:
    """All of a run after an iteration. Every random draw depends on the seed and on what this counts."""

    iteration: int  # optimiser steps that are done
    model: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]  # Any: torch's state dict
    scaler: Mapping[str, Any]  # Any: likewise
    order: OrderState
    best: float | None  # the best AP of the evaluations so far
    run: str = ""  # the digest of what the run was asked for


def save_state(folder: Path, state: TrainingState, description: RunDescription) -> None:
    """Write the last checkpoint, whole or not at all; it serves as weights too. Raises OutputError on a full disk."""
    training = {
        "iteration": state.iteration,
        "optimizer": state.optimizer,
        "scaler": state.scaler,
        "order": state.order.to_json(),
        "best": state.best,
        "run": state.run,
    }
    write_torch_file(folder / LAST, {"model": dict(state.model), TRAINING_KEY: training, **_note(description)})


def save_weights(path: Path, model: Mapping[str, Tensor], description: RunDescription) -> None:
    """Write weights alone, whole or not at all."""
    write_torch_file(path, {"model": dict(model), **_note(description)})


def load_state(folder: Path) -> TrainingState:
    """The last checkpoint of a run folder. Raises CheckpointError where there is none."""
    path = folder / LAST
    if not path.is_file():
        raise CheckpointError(f"{folder}: has no {LAST} to resume from; start again with `force`")
    content = load_torch_or_pickle(path)
    if not isinstance(content, dict):
        content = {}
    stated = typed(content.get(TRAINING_KEY), _Training, source=path, way_out=_START_AGAIN, fault=CheckpointError)
    model = typed(content.get("model"), dict[str, Any], source=path, way_out=_START_AGAIN, fault=CheckpointError)
    return TrainingState(model=model, **vars(stated))


@dataclass(frozen=True)
class _Training:
    iteration: int
    optimizer: dict[str, Any]  # Any: torch's state dict
    scaler: dict[str, Any]
    order: OrderState
    best: float | None
    run: str


def _note(description: RunDescription) -> dict[str, str]:
    return {METADATA_KEY: json.dumps(description.to_json())}
