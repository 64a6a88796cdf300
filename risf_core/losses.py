"""The classification losses of the two training stages, all of them one formula with other numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from risf_core.errors import ConfigError, did_you_mean

ClassificationLoss: TypeAlias = Callable[[Tensor, Tensor], Tensor]  # logits (N, C+1), targets (N,) -> scalar


@dataclass(frozen=True)
class BnrlSettings:
    """The four numbers of `bnrl_loss`. Raises ConfigError where one is outside its range."""

    alpha: float
    gamma: float
    epsilon: float
    background_weight: float

    def __post_init__(self) -> None:
        if not 0 <= self.alpha <= 1:
            raise ConfigError(f"alpha of the classification loss must lie in 0..1, got {self.alpha}")
        for name in ("gamma", "epsilon", "background_weight"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise ConfigError(f"{name} of the classification loss must be 0 or more, got {value}")


LOSS_PRESETS: Mapping[str, BnrlSettings] = {
    # RISF paper, few-shot configs
    "paper": BnrlSettings(alpha=0.2, gamma=4.0, epsilon=1.0, background_weight=0.2),
    # What the authors' public code trains, where three of the four numbers never reach the loss
    "released": BnrlSettings(alpha=1.0, gamma=0.0, epsilon=0.0, background_weight=0.2),
    "cross-entropy": BnrlSettings(alpha=1.0, gamma=0.0, epsilon=0.0, background_weight=1.0),
}


def classification_loss(preset: str) -> ClassificationLoss:
    """The loss of a preset's name. Raises ConfigError where there is none of that name."""
    if preset not in LOSS_PRESETS:
        raise ConfigError(
            f"there is no loss {preset!r}{did_you_mean(preset, LOSS_PRESETS)}; presets are {', '.join(LOSS_PRESETS)}"
        )
    return bnrl_of(LOSS_PRESETS[preset])


def bnrl_of(settings: BnrlSettings) -> ClassificationLoss:
    """`bnrl_loss` with its four numbers filled in."""
    return partial(bnrl_loss, **asdict(settings))


def bnrl_loss(
    logits: Tensor,
    targets: Tensor,
    *,
    alpha: float,
    gamma: float,
    epsilon: float,
    background_weight: float,
) -> Tensor:
    """The Background Negative Re-scale Loss, a scalar (RISF, CVIU 2024).

    For RoI i with p = softmax(logits_i), label y, w_c = 1 for foreground and `background_weight` for background::

        L_i = alpha (1 - p_y)^gamma w_y (-log p_y) + (1 - alpha) sum_{c != y} w_c p_c^epsilon (-log(1 - p_c))
        L   = sum_i L_i / N

    alpha 1, epsilon 0, gamma 0, weight 1 is plain cross-entropy. Computed in float32 at least, inside autocast too.

    Args:
        logits: (N, C+1), background last. N = 0 gives 0 that still has a gradient path.
        targets: (N,) int64 in 0..C.
    """
    if not len(logits):
        return logits.sum() * 0.0
    with torch.autocast(logits.device.type, enabled=False):
        logits = logits if logits.dtype == torch.float64 else logits.float()
        class_weights = torch.ones(logits.shape[1], dtype=logits.dtype, device=logits.device)  # (C+1,)
        class_weights[-1] = background_weight
        log_p = torch.log_softmax(logits, dim=1)  # (N, C+1)
        log_not_p = _log_of_complement(logits, log_p)  # (N, C+1)
        label = targets[:, None]
        weighted = -log_p.gather(1, label) * class_weights[label]  # (N, 1)
        total = alpha * (weighted * torch.exp(gamma * log_not_p.gather(1, label))).sum()
        if alpha < 1:
            negatives = -log_not_p * torch.exp(epsilon * log_p) * class_weights  # (N, C+1)
            total = total + (1 - alpha) * negatives.scatter(1, label, 0.0).sum()
        return total / len(logits)


def _log_of_complement(logits: Tensor, log_p: Tensor) -> Tensor:
    """log(1 - p) of every class, (N, C+1), exact where p rounds to 1.

    Only a row's largest class can have p > 1/2; there 1 - p loses its digits, so its log is taken as
    logsumexp(the other logits) - logsumexp(all logits).
    """
    p = log_p.exp()
    near_one = p > 0.5  # at most one class a row
    largest = logits.argmax(dim=1, keepdim=True)  # (N, 1)
    shifted = logits - logits.gather(1, largest).detach()  # the difference below does not see the shift
    others = torch.logsumexp(shifted.scatter(1, largest, float("-inf")), dim=1, keepdim=True)
    exact = others - torch.logsumexp(shifted, dim=1, keepdim=True)  # (N, 1)
    # p is replaced before log1p, not after: the gradient of log1p(-1) is infinite even where it is not used
    return torch.where(near_one, exact, torch.log1p(-p.masked_fill(near_one, 0.0)))
