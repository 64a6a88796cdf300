"""Logistic regression with an offset, pulled towards changing nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from risf_core.errors import ConfigError
from risf_core.rescore.fitted import sigmoid


def fit_offset_logistic(
    design: NDArray[np.float64],
    targets: NDArray[np.float64],
    *,
    offset: NDArray[np.float64],
    penalties: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The coefficients d (P,) of P(right) = sigmoid(offset + design @ d), likeliest under a normal prior around 0.

    They minimise sum_i (log(1 + exp z_i) - t_i z_i) + 1/2 sum_p penalty_p d_p^2 with z = offset + design @ d. The
    sum is strictly convex, so there is one minimum, found by Newton steps in a trust region (Nocedal and Wright,
    Numerical Optimization, 2006, chapter 4). With the detector's log-odds for the offset, d = 0 is its own score.

    Args:
        design: (N, P) columns.
        targets: (N,) in 0..1.
        penalties: (P,) above 0: the inverse variances of the prior.
    """
    from scipy.optimize import minimize  # takes a second to import: faults of the input are reported without it

    if not (np.isfinite(design).all() and np.isfinite(offset).all()):
        raise ValueError("design and offset must be finite numbers")
    if not (penalties > 0).all():
        raise ConfigError(f"the strength of the penalty must be above 0, got {penalties.min():g}")

    def loss(d: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        z = offset + design @ d
        value = (np.logaddexp(0.0, z) - targets * z).sum() + 0.5 * penalties @ d**2
        return float(value), design.T @ (sigmoid(z) - targets) + penalties * d

    def hessian(d: NDArray[np.float64]) -> NDArray[np.float64]:
        p = sigmoid(offset + design @ d)
        curved: NDArray[np.float64] = (design.T * (p * (1 - p))) @ design + np.diag(penalties)
        return curved

    start = np.zeros(design.shape[1])
    options = {"gtol": 1e-8 * (1 + len(targets)), "initial_trust_radius": 10.0}
    found = minimize(loss, start, jac=True, hess=hessian, method="trust-exact", options=options)
    coefficients: NDArray[np.float64] = found.x
    return coefficients
