"""The gradient decoupled layer: identity forward, a scaled gradient backward."""

from __future__ import annotations

import pytest
import torch

from risf_core.detector.decouple import Affine, scale_gradient


@pytest.mark.parametrize("scale", [1.0, 0.75, 0.01])
def test_the_features_pass_unchanged_and_their_gradient_is_scaled(scale: float) -> None:
    features = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    passed = scale_gradient(features, scale)
    assert torch.equal(passed, features)
    (passed**2).sum().backward()
    torch.testing.assert_close(features.grad, 2 * features.detach() * scale)


def test_at_scale_0_the_features_get_no_gradient_while_the_affine_learns() -> None:
    features = torch.ones(1, 3, 2, 2, requires_grad=True)
    affine = Affine(3)
    affine(scale_gradient(features, 0.0)).sum().backward()
    assert features.grad is None
    assert affine.weight.grad.flatten().tolist() == [4.0] * 3
    assert affine.bias.grad.flatten().tolist() == [4.0] * 3


def test_an_affine_starts_as_the_identity_and_scales_each_channel() -> None:
    affine, features = Affine(2), torch.ones(1, 2, 1, 1)
    assert torch.equal(affine(features), features)
    affine.load_state_dict({"weight": torch.tensor([2.0, 3.0]).reshape(1, 2, 1, 1), "bias": torch.ones(1, 2, 1, 1)})
    assert affine(features).flatten().tolist() == [3.0, 4.0]
