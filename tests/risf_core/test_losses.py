"""BNRL against a scalar double loop, against cross-entropy, and at the edges of its arithmetic."""

from __future__ import annotations

import math
from decimal import Decimal, localcontext

import pytest
import torch
from torch.nn import functional

from risf_core.errors import ConfigError
from risf_core.losses import LOSS_PRESETS, BnrlSettings, bnrl_loss, bnrl_of, classification_loss
from tests.messages import assert_names

PAPER = {"alpha": 0.2, "gamma": 4.0, "epsilon": 1.0, "background_weight": 0.2}  # FSOD configs of the paper


def scalar_bnrl(logits, targets, *, alpha, gamma, epsilon, background_weight) -> float:
    """The formula one number at a time in Python's own floats (exact for moderate logits)."""
    total = 0.0
    for row, label in zip(logits.tolist(), targets.tolist(), strict=True):
        exponentials = [math.exp(value) for value in row]
        p = [value / math.fsum(exponentials) for value in exponentials]
        weight = [1.0] * (len(row) - 1) + [background_weight]
        total += alpha * (1 - p[label]) ** gamma * weight[label] * -math.log(p[label])
        for c in range(len(row)):
            if c != label:
                total += (1 - alpha) * weight[c] * p[c] ** epsilon * -math.log(1 - p[c])
    return total / len(logits)


def rows(*, count: int = 40, classes: int = 7, scale: float = 2.0, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(count, classes + 1, generator=generator, dtype=torch.float64) * scale
    return logits, torch.randint(0, classes + 1, (count,), generator=generator)


@pytest.mark.parametrize(
    "settings",
    [
        PAPER,
        {"alpha": 0.5, "gamma": 2.0, "epsilon": 0.5, "background_weight": 0.7},
        {"alpha": 0.0, "gamma": 0.0, "epsilon": 0.0, "background_weight": 0.0},
        {"alpha": 1.0, "gamma": 0.5, "epsilon": 3.0, "background_weight": 2.0},
    ],
)
def test_bnrl_equals_a_scalar_double_loop(settings: dict[str, float]) -> None:
    logits, targets = rows()
    expected = scalar_bnrl(logits, targets, **settings)
    assert bnrl_loss(logits, targets, **settings).item() == pytest.approx(expected, rel=1e-12)
    assert bnrl_loss(logits.float(), targets, **settings).item() == pytest.approx(expected, rel=1e-5)


def test_the_identity_settings_are_cross_entropy_in_value_and_gradient() -> None:
    logits, targets = rows()
    logits.requires_grad_()
    expected = functional.cross_entropy(logits, targets)
    actual = classification_loss("cross-entropy")(logits, targets)
    torch.testing.assert_close(actual, expected)
    (gradient,) = torch.autograd.grad(actual, logits)
    (expected_gradient,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(gradient, expected_gradient)


def test_the_released_preset_is_cross_entropy_with_a_light_background_divided_by_the_row_count() -> None:
    logits, targets = rows()
    background = logits.shape[1] - 1
    each = functional.cross_entropy(logits, targets, reduction="none")
    expected = sum(float(loss) * (0.2 if t == background else 1.0) for loss, t in zip(each, targets, strict=True))
    assert classification_loss("released")(logits, targets).item() == pytest.approx(expected / len(targets), rel=1e-12)


def test_the_paper_preset_holds_the_numbers_of_the_paper() -> None:
    assert LOSS_PRESETS["paper"] == BnrlSettings(**PAPER)
    logits, targets = rows()
    assert classification_loss("paper")(logits, targets) == bnrl_loss(logits, targets, **PAPER)


@pytest.mark.parametrize("name", list(PAPER))
def test_every_setting_changes_the_value(name: str) -> None:
    logits, targets = rows()
    changed = {**PAPER, name: PAPER[name] * 0.5}
    assert abs(bnrl_loss(logits, targets, **PAPER) - bnrl_loss(logits, targets, **changed)) > 1e-3


@pytest.mark.parametrize("settings", LOSS_PRESETS.values(), ids=LOSS_PRESETS.keys())
def test_the_gradient_is_that_of_finite_differences(settings: BnrlSettings) -> None:
    logits, targets = rows(count=6, classes=4, scale=3.0)
    assert torch.autograd.gradcheck(lambda x: bnrl_of(settings)(x, targets), logits.requires_grad_())


# One row each: sure of the right class, of a wrong one, and of the background (rightly and wrongly).
SATURATED = [([1, 0, 0], 0), ([1, 0, 0], 1), ([0, 0, 1], 2), ([0, 0, 1], 1)]


def exact_bnrl(logits: list[Decimal], label: int) -> Decimal:
    """The formula with the paper's settings, with digits enough for every margin below."""
    exponentials = [value.exp() for value in logits]
    p = [value / sum(exponentials) for value in exponentials]
    weight = [Decimal(1), Decimal(1), Decimal("0.2")]
    loss = Decimal("0.2") * (1 - p[label]) ** 4 * weight[label] * -p[label].ln()
    return loss + sum(Decimal("0.8") * weight[c] * p[c] * -(1 - p[c]).ln() for c in range(3) if c != label)


@pytest.mark.parametrize(("row", "label"), SATURATED)
@pytest.mark.parametrize("margin", [8, 25, 600])  # the last two round p to 1 in float32
def test_saturated_logits_have_the_loss_and_gradient_of_exact_arithmetic(margin: int, row, label) -> None:
    with localcontext() as context:
        context.prec = 600
        values, step = [Decimal(value * margin) for value in row], Decimal("1e-30")
        expected = exact_bnrl(values, label)
        moved = [exact_bnrl([v + step * (c == k) for k, v in enumerate(values)], label) for c in range(3)]
        expected_gradient = [float((value - expected) / step) for value in moved]
    logits = torch.tensor([[float(value) for value in values]], requires_grad=True)
    loss = bnrl_loss(logits, torch.tensor([label]), **PAPER)
    loss.backward()
    assert loss.item() == pytest.approx(float(expected), rel=1e-5, abs=1e-30)
    assert logits.grad[0].tolist() == pytest.approx(expected_gradient, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_autocast_keeps_the_loss_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(8, 16, generator=generator)
    weight = (torch.randn(5, 16, generator=generator) * 30).requires_grad_()
    targets = torch.tensor([0, 1, 2, 3, 4, 0, 1, 4])
    with torch.autocast("cpu", dtype=dtype):
        logits = functional.linear(features, weight)
        assert logits.dtype == dtype
        loss = bnrl_loss(logits, targets, **PAPER)
    assert loss.dtype == torch.float32
    expected = bnrl_loss(logits.detach().double(), targets, **PAPER)
    assert logits.float().max() > 100  # saturated indeed
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    assert torch.isfinite(weight.grad).all()
    assert weight.grad.abs().max() > 0


def test_an_empty_batch_is_zero_and_still_reaches_its_weights() -> None:
    weight = torch.ones(4, 3, requires_grad=True)
    loss = bnrl_loss(torch.zeros(0, 3) @ weight.T, torch.zeros(0, dtype=torch.int64), **PAPER)
    assert loss.item() == 0.0
    loss.backward()
    assert weight.grad.tolist() == [[0.0] * 3] * 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"alpha": 1.2}, "alpha of the classification loss must lie in 0..1, got 1.2"),
        ({"gamma": -1.0}, "gamma of the classification loss must be 0 or more, got -1.0"),
        ({"epsilon": float("nan")}, "epsilon of the classification loss must be 0 or more, got nan"),
    ],
)
def test_impossible_settings_are_refused_by_name(changed: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        BnrlSettings(**{**PAPER, **changed})
    assert str(caught.value) == message


def test_an_unknown_preset_offers_the_nearest_one() -> None:
    with pytest.raises(ConfigError) as caught:
        classification_loss("papr")
    assert_names(str(caught.value), "'papr'", "'paper'", "released")
