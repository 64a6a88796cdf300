"""The optimiser that a solver's settings name, over the parameters that train."""

from __future__ import annotations

import re

import torch
from torch import nn

from risf_core.config import SolverConfig
from risf_core.detector.backbone import Stage
from risf_core.errors import ConfigError

# Beside vectors (norms, biases, layer scales): the affines of the decoupling, and how Swin knows places in a window
_UNDECAYED = re.compile(r"^affine_|relative_position_bias_table$|\.logit_scale$|\.cpb_mlp\.")
RATE_SHARE = "rate_share"  # key of a group: its part of the learning rate
_SECOND_MOMENT = 0.999  # AdamW's second beta, of every Swin detector


def optimizer_of(model: nn.Module, solver: SolverConfig) -> torch.optim.Optimizer:
    """SGD that decays all weights alike, or AdamW that decays matrices and kernels alone.

    Parameters are in the order of their names: the engines define their layers in different ones, and read each
    other's momenta. With `solver.layer_decay` there is a group for each share of the rate. Raises ConfigError where
    the network has no blocks to count.
    """
    trained = {name: each for name, each in sorted(model.named_parameters()) if each.requires_grad}
    shares = _rate_shares(model, solver.layer_decay) if solver.layer_decay < 1 else {}
    is_adamw = solver.optimizer == "adamw"
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for name, each in trained.items():
        decayed = not is_adamw or (each.ndim > 1 and not _UNDECAYED.search(name))
        groups.setdefault((shares.get(name, 1.0), decayed), []).append(each)
    settings = [
        {"params": own, "weight_decay": solver.weight_decay if decayed else 0.0}
        | ({RATE_SHARE: share} if shares else {})
        for (share, decayed), own in groups.items()
        if own or is_adamw
    ]
    if not is_adamw:
        return torch.optim.SGD(settings, lr=solver.learning_rate, momentum=solver.momentum)
    return torch.optim.AdamW(settings, lr=solver.learning_rate, betas=(solver.momentum, _SECOND_MOMENT))


def _rate_shares(model: nn.Module, decay: float) -> dict[str, float]:
    """Parameter of backbone or RoI stage -> decay ** (blocks from it to the heads); what is before a block is below it.

    Raises ConfigError where no block is found, as in detectron2's networks.
    """
    blocks = {block for module in model.modules() if isinstance(module, Stage) for block in module}
    if not blocks:
        raise ConfigError("`solver.layer_decay` counts blocks, which this engine does not name; leave it out")
    begun = 0
    layer_of: dict[str, int] = {}
    for name, module in model.named_modules():
        begun += module in blocks
        if name.startswith(("backbone.", "roi_heads.res5.")):
            layer_of |= {f"{name}.{own}": begun for own, _ in module.named_parameters(recurse=False)}
    return {name: decay ** (len(blocks) + 1 - layer) for name, layer in layer_of.items()}
