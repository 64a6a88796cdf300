"""Reading weights in every form that people have them, under the network's own names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from risf_core.choices import CheckpointForm
from risf_core.detector.architecture import TIMM, Architecture, TimmC4, architecture_named
from risf_core.detector.checkpoint_names import (
    AFFINES,
    CLASS_LAYER,
    DETECTRON2_POOLER,
    architecture_of,
    block_counts_of,
    class_count_of,
    foreign_names,
    from_caffe2,
    identity_affines,
    identity_statistics,
    wrapper_prefix,
)
from risf_core.detector.pickles import load_torch_or_pickle
from risf_core.detector.runs import RUN_FILE, RUN_WEIGHTS_PREFIX, RunDescription, description_of_json, read_run
from risf_core.errors import CheckpointError
from risf_core.unpickling import fault_of_text
from risf_core.vocabulary import ClassVocabulary

METADATA_KEY = "risf"  # where our own files state architecture and classes of the weights

# Under which keys trainers put the network, the first that is there
_NESTED = ("model", "blobs", "state_dict", "model_state_dict", "model_state", "net", "weights", "model_ema", "ema")
_KNOWN_FORMS = (
    "risf reads DeFRCN's .pth, the MSRA ImageNet .pkl, detectron2's COCO C4 models, timm's weights, "
    "safetensors and its own run folders"
)


@dataclass(frozen=True)
class Checkpoint:
    """Weights under the network's names, and what else their file said."""

    source: Path  # the file they were in
    form: CheckpointForm
    state: Mapping[str, Tensor]  # as in the file, number type included
    architecture: Architecture
    vocabulary: ClassVocabulary | None  # None: the file does not name its classes
    left_out: tuple[str, ...] = ()  # in the file, but of no use to the network
    implied: tuple[str, ...] = ()  # not in the file, but implied by its format: identity affines, norms' statistics

    @property
    def class_count(self) -> int | None:
        """How many classes its head has; None: it has no head (ImageNet weights)."""
        return class_count_of(self.state)


def read_checkpoint(path: Path, *, allow_pickle: bool = False, architecture: str | None = None) -> Checkpoint:
    """The weights of a file or of a run folder.

    Forms: published DeFRCN (.pth), MSRA ImageNet (.pkl, Caffe2's names), detectron2's COCO C4 (.pkl or .pth, without
    affines: they are the identity then, and RoIs are pooled to 14x14), safetensors, our run folders. A file in a
    run folder is of the run's architecture and classes. Raises CheckpointError.

    Args:
        architecture: of a file that does not name it; one with timm's names needs it (``timm/NAME``).
    """
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such checkpoint; check the path")
    source, run = path, None
    if path.is_dir():
        run = read_run(path)
        source = run.weights_in(path)
    elif path.name.startswith(RUN_WEIGHTS_PREFIX) and (path.parent / RUN_FILE).is_file():
        run = read_run(path.parent)
    if _is_safetensors(source):
        found, description = _read_safetensors(source)
        form: CheckpointForm = "safetensors"
        left_out: tuple[str, ...] = ()
    else:
        found, form, left_out, description = _read_torch_or_pickle(source, allow_pickle=allow_pickle)
    if path.is_dir():
        form = "run"
    stated = run or description
    network = stated.architecture if stated is not None else _timm_network(found, architecture)
    if isinstance(network, TimmC4):
        state, left_out, form = _timm_state(source, form, found, left_out, network)
        return Checkpoint(source, form, state, network, None if stated is None else stated.vocabulary, left_out)
    return _completed(source, form, found, left_out, stated)


def _timm_network(found: Mapping[str, Tensor], architecture: str | None) -> Architecture | None:
    """The network of timm that a file is said to be of, where it is not one of ours."""
    if architecture is None or not architecture.startswith(TIMM) or wrapper_prefix(found) is not None:
        return None
    return None if "conv1_w" in found else architecture_named(architecture)


def _timm_state(
    source: Path, form: CheckpointForm, found: Mapping[str, Tensor], left_out: tuple[str, ...], network: TimmC4
) -> tuple[dict[str, Tensor], tuple[str, ...], CheckpointForm]:
    """The arrays of a network of timm by our names, what is not of it, and the form: ours, or timm's own."""
    plain = {name.replace("_orig_mod.", "").removeprefix("module."): value for name, value in found.items()}
    state = {name: value for name, value in plain.items() if _is_parameter(name)}
    if state:
        return state, (*left_out, *(name for name in plain if name not in state)), form
    from risf_core.detector.timm_weights import detector_names

    state, others = detector_names(plain, network, source)
    return state, (*left_out, *others), "timm"


def _completed(
    source: Path,
    form: CheckpointForm,
    found: Mapping[str, Tensor],
    left_out: tuple[str, ...],
    description: RunDescription | None,
) -> Checkpoint:
    """The checkpoint of a file's arrays: named as the network's, with what its form implies."""
    state: dict[str, Tensor] = {}
    prefix = wrapper_prefix(found) or ""
    for name, value in found.items():
        bare = name.replace("_orig_mod.", "")  # as torch.compile names a module
        plain = bare.removeprefix(prefix) if bare.startswith(prefix) else ""
        ours = from_caffe2(name) if form == "msra" else plain if _is_parameter(plain) else None
        if ours is None or value.ndim == 0:  # the network has no single numbers
            left_out = (*left_out, name)
        else:
            state[ours] = value
    if "backbone.res2.0.conv1.weight" not in state:
        raise CheckpointError(f"{source}: {foreign_names(found)}; {_KNOWN_FORMS}")
    implied = identity_statistics(state)
    whole = CLASS_LAYER in state
    if whole and not any(name in state for name in AFFINES):
        last = state.get("backbone.res4.0.conv3.weight")
        if last is None:
            raise CheckpointError(f"{source}: lacks backbone.res4.0.conv3.weight; pass a whole checkpoint")
        implied |= identity_affines(len(last))
        form = "detectron2" if form == "defrcn" else form
    state |= implied
    if description is not None:
        architecture: Architecture | None = description.architecture
    else:
        pooler = DETECTRON2_POOLER if whole and form == "detectron2" else 7
        architecture = architecture_of(state, pooler_resolution=pooler)
    if architecture is None:
        raise CheckpointError(
            f"{source}: has {'-'.join(map(str, block_counts_of(state)))} blocks in res2 to res5, which is not an "
            "architecture of risf (R-50: 3-4-6-3, R-101: 3-4-23-3)"
        )
    vocabulary = description.vocabulary if description is not None else None
    return Checkpoint(source, form, state, architecture, vocabulary, left_out, tuple(implied))


def _is_parameter(name: str) -> bool:
    """Whether the network has such a parameter at all; anchors, pixel means and counters are none."""
    return name.startswith(
        ("backbone.", "proposal_generator.rpn_head.", "roi_heads.res5.", "roi_heads.box_predictor.", "affine_")
    ) and not name.endswith("num_batches_tracked")


def _is_safetensors(path: Path) -> bool:
    try:
        with open(path, "rb") as handle:
            start = handle.read(9)
    except OSError as error:
        raise CheckpointError(f"{path}: the checkpoint cannot be read: {error.strerror or error}") from None
    return path.suffix == ".safetensors" or start[8:9] == b"{"


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], RunDescription | None]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        damage = f"is cut short or damaged ({' '.join(str(error).split())[:120]}); copy or download it again"
        raise CheckpointError(f"{path}: {fault_of_text(path) or damage}") from None
    return state, _description(metadata.get(METADATA_KEY), path)


def _read_torch_or_pickle(
    path: Path, *, allow_pickle: bool
) -> tuple[dict[str, Tensor], CheckpointForm, tuple[str, ...], RunDescription | None]:
    content = load_torch_or_pickle(path, allow_pickle=allow_pickle)
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds {type(content).__name__}, not named arrays; {_KNOWN_FORMS}")
    description = _description(content.get(METADATA_KEY), path)
    inner, beside = _innermost(content)
    arrays = {str(name): _tensor(value) for name, value in inner.items()}
    state = {name: value for name, value in arrays.items() if value is not None}
    others = tuple(name for name, value in arrays.items() if value is None and name != METADATA_KEY)
    if content.get("__author__") == "torchvision" or content.get("matching_heuristics") or "stem.conv1.weight" in state:
        raise CheckpointError(
            f"{path}: is a model converted from torchvision: it wants RGB with torchvision's mean and std and strides "
            "elsewhere, so DeFRCN's network would compute wrong features from it; take the MSRA R-50.pkl or R-101.pkl"
        )
    form: CheckpointForm = "msra" if "conv1_w" in state else "detectron2" if "__author__" in content else "defrcn"
    return state, form, (*beside, *others), description


def _innermost(content: dict[Any, Any]) -> tuple[dict[Any, Any], tuple[str, ...]]:
    """The dict of arrays in a checkpoint, at most two levels down, and the keys beside it.

    Where several hold the network, the one under the first known key: averaged weights (EMA) last.
    """
    waiting: list[tuple[dict[Any, Any], tuple[str, ...], int]] = [(content, (), 0)]
    for inner, beside, depth in waiting:  # grows on the way
        if wrapper_prefix(map(str, inner)) is not None or "conv1_w" in inner:
            return inner, beside
        nested = [key for key, value in inner.items() if isinstance(value, dict) and key != METADATA_KEY]
        for key in sorted(nested, key=lambda key: _NESTED.index(key) if key in _NESTED else len(_NESTED)):
            if depth < 2:
                others = (str(other) for other in inner if other not in (key, METADATA_KEY))
                waiting.append((inner[key], (*beside, *others), depth + 1))
    known = [inner for inner, _, _ in waiting if any(_tensor(value) is not None for value in inner.values())]
    return (known or [content])[0], ()


def _tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiu":
        return torch.from_numpy(np.ascontiguousarray(value.astype(value.dtype.newbyteorder("="), copy=True)))
    return None


def _description(stated: Any, path: Path) -> RunDescription | None:
    if stated is None:
        return None
    try:
        content = json.loads(stated) if isinstance(stated, str) else stated
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: its {METADATA_KEY!r} note is not JSON; write the file again") from None
    return description_of_json(content, path)
