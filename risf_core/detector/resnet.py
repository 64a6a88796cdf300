"""ResNet in its Caffe form: stride in a stage's first 1x1 convolution, frozen batch norm, parameter names of DeFRCN."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from risf_core.detector.architecture import ResNetC4
from risf_core.detector.backbone import Backbone, Stage

NORM_EPSILON = 1e-5  # batch norm's, in every published ResNet
PIXEL_SPREAD = 58.0  # standard deviation of ImageNet's pixels in 0..255


class C4Backbone(Backbone):
    """Stem and res2 to res4: pixels (B, 3, H, W) to features (B, C, H/16, W/16)."""

    def __init__(self, architecture: ResNetC4) -> None:
        super().__init__()
        self.stem = Stem(architecture.stem_channels)
        self.res2 = residual_stage(architecture, 2)
        self.res3 = residual_stage(architecture, 3)
        self.res4 = residual_stage(architecture, 4)

    @property
    def first_stages(self) -> tuple[nn.Module, ...]:
        """The stem, res2, res3 and res4."""
        return self.stem, self.res2, self.res3, self.res4

    def forward(self, pixels: Tensor) -> Tensor:
        return self.res4(self.res3(self.res2(self.stem(pixels))))  # type: ignore[no-any-return]


def residual_stage(architecture: ResNetC4, number: int) -> Stage:
    """The bottlenecks of res2 to res5; all but res2 halve the resolution in their first block."""
    doubling = 2 ** (number - 2)
    bottleneck, output = architecture.bottleneck_channels * doubling, architecture.stage_channels * doubling
    first_input = architecture.stem_channels if number == 2 else output // 2
    return Stage(
        *(
            Bottleneck(
                first_input if block == 0 else output,
                bottleneck=bottleneck,
                output=output,
                stride=2 if block == 0 and number > 2 else 1,
            )
            for block in range(architecture.block_counts[number - 2])
        )
    )


class Stem(nn.Module):
    """7x7 convolution and max pooling: stride 4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = NormedConv(3, channels, kernel=7, stride=2)
        self.conv1.norm.weight /= PIXEL_SPREAD  # so that a network without pretrained weights can train at all

    def forward(self, pixels: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu_(self.conv1(pixels)), kernel_size=3, stride=2, padding=1)


class Bottleneck(nn.Module):
    """1x1 (strided), 3x3, 1x1, and a projected shortcut where the shape changes."""

    def __init__(self, channels: int, *, bottleneck: int, output: int, stride: int) -> None:
        super().__init__()
        self.conv1 = NormedConv(channels, bottleneck, kernel=1, stride=stride)
        self.conv2 = NormedConv(bottleneck, bottleneck, kernel=3)
        self.conv3 = NormedConv(bottleneck, output, kernel=1)
        self.shortcut = NormedConv(channels, output, kernel=1, stride=stride) if channels != output else None

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu_(self.conv1(x))
        y = functional.relu_(self.conv2(y))
        y = self.conv3(y)
        y += x if self.shortcut is None else self.shortcut(x)
        return functional.relu_(y)


class NormedConv(nn.Conv2d):
    """A convolution without bias and the frozen norm behind it, computed as one convolution."""

    def __init__(self, channels: int, output: int, *, kernel: int, stride: int = 1) -> None:
        super().__init__(channels, output, kernel, stride=stride, padding=kernel // 2, bias=False)
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")
        self.norm = FrozenNorm(output)

    def forward(self, x: Tensor) -> Tensor:
        # Scaling the weights is cheap compared with a pass over the activations, and stores none for backward.
        scale, shift = self.norm.scale_and_shift()
        return functional.conv2d(x, self.weight * scale[:, None, None, None], shift, self.stride, self.padding)


class FrozenNorm(nn.Module):
    """Batch norm whose four rows of numbers never change; it starts as the identity."""

    weight: Tensor  # (C,) scale
    bias: Tensor  # (C,) shift
    running_mean: Tensor  # (C,)
    running_var: Tensor  # (C,)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels) - NORM_EPSILON)

    def scale_and_shift(self) -> tuple[Tensor, Tensor]:
        """What the norm multiplies by and adds, each (C,)."""
        scale = self.weight * (self.running_var + NORM_EPSILON).rsqrt()
        return scale, self.bias - self.running_mean * scale
