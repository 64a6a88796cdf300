"""The optimiser that a solver's settings name, over the parameters that train."""

from __future__ import annotations

import re

import torch
from torch import nn

from risf_core.config import SolverConfig

# Beside vectors (norms, biases, layer scales): the affines of the decoupling, and how Swin knows places in a window
_UNDECAYED = re.compile(r"^affine_|relative_position_bias_table$|\.logit_scale$|\.cpb_mlp\.")
_SECOND_MOMENT = 0.999  # AdamW's second beta, of every Swin detector


def optimizer_of(model: nn.Module, solver: SolverConfig) -> torch.optim.Optimizer:
    """SGD that decays all weights alike, or AdamW that decays matrices and kernels alone.

    Parameters are in the order of their names: the engines define their layers in different ones, and read each
    other's momenta.
    """
    trained = {name: each for name, each in sorted(model.named_parameters()) if each.requires_grad}
    if solver.optimizer == "sgd":
        return torch.optim.SGD(
            trained.values(), lr=solver.learning_rate, momentum=solver.momentum, weight_decay=solver.weight_decay
        )
    decayed = {name for name, each in trained.items() if each.ndim > 1 and not _UNDECAYED.search(name)}
    groups = [
        {"params": [each for name, each in trained.items() if name in decayed], "weight_decay": solver.weight_decay},
        {"params": [each for name, each in trained.items() if name not in decayed], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=solver.learning_rate, betas=(solver.momentum, _SECOND_MOMENT))
