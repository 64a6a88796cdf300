"""Writing weights in any form that `checkpoint` reads, whole or not at all."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from risf_core.choices import CheckpointForm
from risf_core.detector.architecture import TimmC4
from risf_core.detector.checkpoint import METADATA_KEY, Checkpoint
from risf_core.detector.checkpoint_names import AFFINES, TIMM_PREFIXES, identity_affines, identity_statistics, to_caffe2
from risf_core.detector.resnet import NORM_EPSILON
from risf_core.detector.runs import RunDescription, write_run
from risf_core.errors import CheckpointError
from risf_core.files import atomic_writer

RUN_WEIGHTS = "model_final.pth"


@dataclass(frozen=True)
class Written:
    """What a form could hold of a checkpoint."""

    path: Path
    parameters: int
    left_out: tuple[str, ...]  # parameters that the form has no place for
    folded: tuple[str, ...]  # norms whose statistics were worked into their scale and shift: equal but for rounding


def write_checkpoint(checkpoint: Checkpoint, target: Path, *, form: CheckpointForm) -> Written:
    """Write a checkpoint in a form; `target` is a file, or for "run" a folder.

    Every number is written as it is. "msra" holds backbone and res5 alone, with norms that are scale and shift;
    "detectron2" has no affines, and refuses a checkpoint whose affines do something; both are of ResNets. "timm" is of
    timm's networks, without RPN and heads. Raises CheckpointError where a form has no place for a checkpoint.
    """
    of_timm = isinstance(checkpoint.architecture, TimmC4)
    if form in (("detectron2", "msra") if of_timm else ("timm",)):
        raise CheckpointError(
            f"{checkpoint.source}: is {checkpoint.architecture.name}, and the form {form} has no such network"
        )
    state = {name: value.detach().cpu().contiguous() for name, value in checkpoint.state.items()}
    description = RunDescription(checkpoint.architecture, checkpoint.vocabulary)
    note = description.to_json()
    left_out: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    if form == "timm":
        plain = _timm_names(state)
        left_out = tuple(name for name in state if not name.startswith(TIMM_PREFIXES))
        _write_safetensors(target, plain)
        state = plain
    elif form == "safetensors":
        _write_safetensors(target, state, note)
    elif form == "run":
        write_torch_file(target / RUN_WEIGHTS, {"model": state, METADATA_KEY: json.dumps(note)})
        write_run(target, description)
    elif form == "defrcn":
        write_torch_file(target, {"model": state, METADATA_KEY: json.dumps(note)})
    elif form == "detectron2":
        kept = _without_affines(checkpoint, state)
        left_out = tuple(name for name in state if name not in kept)
        arrays = {name: _array(value) for name, value in kept.items()}
        _write_pickle(target, {"model": arrays, "__author__": "risf", METADATA_KEY: json.dumps(note)})
        state = kept
    else:
        plain, folded = _with_plain_norms(state)
        named = {to_caffe2(name): value for name, value in plain.items()}
        left_out = tuple(n for n in plain if to_caffe2(n) is None and not n.endswith(("running_mean", "running_var")))
        state = {name: value for name, value in named.items() if name is not None}
        _write_pickle(target, {name: _array(value) for name, value in state.items()})
    return Written(target, len(state), left_out, folded)


def write_torch_file(path: Path, content: Mapping[str, Any]) -> None:  # Any: whatever torch.save takes
    """Write a file of `torch.save`, whole or not at all. Raises OutputError on a full disk."""
    buffer = io.BytesIO()
    torch.save(dict(content), buffer)  # not to the file itself: torch's writer hides the error of a full disk
    with atomic_writer(path, "wb") as handle:
        handle.write(buffer.getbuffer())


def _write_safetensors(target: Path, state: Mapping[str, Tensor], note: Mapping[str, Any] | None = None) -> None:
    from safetensors.torch import save

    with atomic_writer(target, "wb") as handle:
        handle.write(save(dict(state), metadata=None if note is None else {METADATA_KEY: json.dumps(note)}))


def _write_pickle(target: Path, content: Mapping[str, Any]) -> None:
    with atomic_writer(target, "wb") as handle:
        pickle.dump(dict(content), handle, protocol=2)  # as the MSRA and detectron2 files are


def _array(value: Tensor) -> Any:  # Any: numpy's array type leaves its numbers open here
    return value.float().numpy() if value.dtype == torch.bfloat16 else value.numpy()  # numpy has no bfloat16


def _without_affines(checkpoint: Checkpoint, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    identity = identity_affines(checkpoint.architecture.feature_channels)
    if any(name in state and not torch.equal(state[name].float(), identity[name]) for name in AFFINES):
        raise CheckpointError(
            f"{checkpoint.source}: its affines (affine_rpn, affine_rcnn) are trained, and detectron2's own models have "
            "no place for them; write it with `to=defrcn`, safetensors or run"
        )
    return {name: value for name, value in state.items() if name not in AFFINES}


def _timm_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The backbone and the RoI stage under timm's own names."""
    return {
        name.removeprefix(prefix): value
        for name, value in state.items()
        for prefix in TIMM_PREFIXES
        if name.startswith(prefix)
    }


def _with_plain_norms(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state with every norm's mean 0 and variance 1, and the names of the norms that this changed."""
    identity = identity_statistics({name: value for name, value in state.items() if name.endswith("norm.weight")})
    plain, folded = dict(state), []
    for name in [name for name in state if name.endswith(".norm.weight")]:
        stem = name.removesuffix("weight")
        mean, variance = state[f"{stem}running_mean"], state[f"{stem}running_var"]
        if torch.equal(mean, identity[f"{stem}running_mean"]) and torch.equal(variance, identity[f"{stem}running_var"]):
            continue
        scale = state[name].double() / (variance.double() + NORM_EPSILON).sqrt()
        plain[name] = (scale * (1 + NORM_EPSILON) ** 0.5).to(state[name].dtype)  # read back with variance 1
        plain[f"{stem}bias"] = (state[f"{stem}bias"].double() - mean.double() * scale).to(state[name].dtype)
        folded.append(stem.removesuffix("."))
    return plain, tuple(folded)
