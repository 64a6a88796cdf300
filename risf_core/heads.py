"""Surgery on a detector's two predictor layers: other classes, as pure functions from state dict to state dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from risf_core.errors import CheckpointError, DataError, counted, listing

PREDICTOR = "roi_heads.box_predictor"  # as published DeFRCN checkpoints name it
CLASS_WEIGHT, CLASS_BIAS = f"{PREDICTOR}.cls_score.weight", f"{PREDICTOR}.cls_score.bias"  # (K+1, D), (K+1,)
BOX_WEIGHT, BOX_BIAS = f"{PREDICTOR}.bbox_pred.weight", f"{PREDICTOR}.bbox_pred.bias"  # (4K, D), (4K,)
HEAD_KEYS = (CLASS_WEIGHT, CLASS_BIAS, BOX_WEIGHT, BOX_BIAS)

CLASS_STD = 0.01  # of freshly drawn class rows (detectron2's and DeFRCN's start)
BOX_STD = 0.001  # of freshly drawn box rows of a new head
ADDED_BOX_STD = 0.01  # of the box rows added to a kept head (TFA's surgery draws both layers alike)


def drop_head(state: Mapping[str, Tensor], *, class_count: int, generator: torch.Generator) -> dict[str, Tensor]:
    """The state with a fresh head of `class_count` classes; nothing of the old one is kept (few-shot, novel only)."""
    head_class_count(state)
    like = state[CLASS_WEIGHT]
    width = like.shape[1]
    return {
        **state,
        CLASS_WEIGHT: _drawn(class_count + 1, width, std=CLASS_STD, like=like, generator=generator),
        CLASS_BIAS: like.new_zeros(class_count + 1),
        BOX_WEIGHT: _drawn(4 * class_count, width, std=BOX_STD, like=like, generator=generator),
        BOX_BIAS: like.new_zeros(4 * class_count),
    }


def extend_head(
    state: Mapping[str, Tensor], *, old: Sequence[str], new: Sequence[str], generator: torch.Generator
) -> dict[str, Tensor]:
    """The state with a head for the classes `new`, in their order (generalised few-shot).

    A class that is also among `old` keeps its class row, its bias and its block of four box rows, wherever it moves;
    the background row stays last. The other classes' rows are drawn from N(0, 0.01) in both layers, with bias 0.

    Args:
        old: the names of the present head's classes, in its order.
        new: the names of the wanted classes, in their order.

    Raises CheckpointError where `old` is not as long as the head, DataError where a name stands twice.
    """
    count = head_class_count(state)
    if count != len(old):
        raise CheckpointError(
            f"the checkpoint's head has {counted(count, 'class')}, but {len(old)} class names were given for it; "
            "give the classes it was trained on, in their order"
        )
    for names in (old, new):
        twice = sorted({name for name in names if list(names).count(name) > 1})
        if twice:
            raise DataError(f"class {listing([repr(name) for name in twice])} is in the list twice; keep one")
    like = state[CLASS_WEIGHT]
    width = like.shape[1]
    class_weight = _drawn(len(new) + 1, width, std=CLASS_STD, like=like, generator=generator)
    box_weight = _drawn(4 * len(new), width, std=ADDED_BOX_STD, like=like, generator=generator)
    class_bias, box_bias = like.new_zeros(len(new) + 1), like.new_zeros(4 * len(new))
    place = {name: position for position, name in enumerate(old)}
    kept = [(there, place[name]) for there, name in enumerate(new) if name in place]
    for there, here in [*kept, (len(new), len(old))]:  # background is the last row
        class_weight[there] = state[CLASS_WEIGHT][here]
        class_bias[there] = state[CLASS_BIAS][here]
    for there, here in kept:
        box_weight[4 * there : 4 * there + 4] = state[BOX_WEIGHT][4 * here : 4 * here + 4]
        box_bias[4 * there : 4 * there + 4] = state[BOX_BIAS][4 * here : 4 * here + 4]
    return {
        **state,
        CLASS_WEIGHT: class_weight,
        CLASS_BIAS: class_bias,
        BOX_WEIGHT: box_weight,
        BOX_BIAS: box_bias,
    }


def head_class_count(state: Mapping[str, Tensor]) -> int:
    """How many classes a state dict's head has. Raises CheckpointError where it has no head or one of another form."""
    absent = [key for key in HEAD_KEYS if key not in state]
    if absent:
        raise CheckpointError(f"the checkpoint has no {listing(absent)}, so it has no head that surgery could change")
    count = len(state[CLASS_WEIGHT]) - 1
    if len(state[BOX_WEIGHT]) != 4 * count:
        raise CheckpointError(
            f"the checkpoint's head scores {count} classes but predicts {len(state[BOX_WEIGHT])} box numbers, "
            f"not 4 for each class ({4 * count}); a head with one box for all classes is not DeFRCN's"
        )
    return count


def _drawn(rows: int, width: int, *, std: float, like: Tensor, generator: torch.Generator) -> Tensor:
    # drawn on the CPU in float32, so that the same seed gives the same head on every device
    return (torch.randn(rows, width, generator=generator) * std).to(like)
