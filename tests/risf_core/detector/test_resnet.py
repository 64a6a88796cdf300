"""The backbone against plain torch layers: a convolution, then batch norm."""

from __future__ import annotations

import torch
from torch.nn import functional

from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.resnet import C4Backbone, NormedConv


def test_a_normed_convolution_is_a_convolution_and_a_batch_norm() -> None:
    torch.manual_seed(0)
    layer = NormedConv(3, 5, kernel=3, stride=2)
    norm = layer.norm
    for buffer in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        buffer.copy_(torch.rand(5) + 0.5)
    x = torch.randn(2, 3, 9, 7)
    plain = functional.conv2d(x, layer.weight, stride=2, padding=1)
    expected = functional.batch_norm(plain, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=1e-5)
    torch.testing.assert_close(layer(x), expected)


def test_a_fresh_norm_is_exactly_the_identity() -> None:
    scale, shift = NormedConv(3, 4, kernel=1).norm.scale_and_shift()
    assert (scale.tolist(), shift.tolist()) == ([1.0] * 4, [0.0] * 4)


def test_features_have_stride_16_and_their_sizes_are_rounded_up() -> None:
    backbone = C4Backbone(ARCHITECTURES["small"])
    with torch.no_grad():
        assert backbone(torch.zeros(2, 3, 161, 96)).shape == (2, 128, 11, 6)


def test_a_stage_strides_in_its_first_one_by_one_convolution() -> None:
    backbone = C4Backbone(ARCHITECTURES["small"])
    for stage, stride in ((backbone.res2, 1), (backbone.res3, 2), (backbone.res4, 2)):
        block = stage[0]
        assert block.conv1.stride == block.shortcut.stride == (stride, stride)
        assert block.conv2.stride == block.conv3.stride == (1, 1)
