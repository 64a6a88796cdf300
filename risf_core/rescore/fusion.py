"""The formulas of CM-CLIP: class probabilities of embeddings, and their fusion with a detector's scores."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import FusionRule

_MARGIN = 1e-6  # how near to 0 and 1 a probability may come before its logarithm is taken


def class_probabilities(
    embeddings: NDArray[np.float32], text: NDArray[np.float32], temperature: float
) -> NDArray[np.float64]:
    """softmax_c(temperature * cos(embedding, text_c)), (N, C); CM-CLIP, RISF section 3.3.

    Args:
        embeddings: (N, D) image embeddings of unit length.
        text: (C, D) prompt embeddings of unit length.
        temperature: the factor of the cosine; CLIP's own logit scale is 100.
    """
    logits = temperature * (embeddings.astype(np.float64) @ text.astype(np.float64).T)  # (N, C)
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    probabilities: NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def fuse(
    scores: NDArray[np.float64], probabilities: NDArray[np.float64], *, alpha: float, rule: FusionRule = "linear"
) -> NDArray[np.float64]:
    """The detector's scores s and the encoder's probabilities q of the same class as one score, (N,), in 0..1.

    linear (RISF): alpha s + (1 - alpha) q; geometric: s^alpha q^(1 - alpha);
    log-odds: sigmoid(alpha logit s + (1 - alpha) logit q). The last two clip s and q to 1e-6 from 0 and 1.

    >>> fuse(np.array([0.5]), np.array([1.0]), alpha=0.7).round(3).tolist()
    [0.65]
    """
    if rule == "linear":
        return np.clip(alpha * scores + (1 - alpha) * probabilities, 0.0, 1.0)
    s = np.clip(scores, _MARGIN, 1 - _MARGIN)
    q = np.clip(probabilities, _MARGIN, 1 - _MARGIN)
    if rule == "geometric":
        return np.asarray(s**alpha * q ** (1 - alpha))
    log_odds = alpha * np.log(s / (1 - s)) + (1 - alpha) * np.log(q / (1 - q))
    return np.asarray(1 / (1 + np.exp(-log_odds)))
