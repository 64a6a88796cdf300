"""The architectures: their numbers in one view, and which parts each network is built from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict

from msgspec import Meta

from risf_core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

    from risf_core.detector.backbone import Backbone


@dataclass(frozen=True)
class InputSettings:
    """How a photo becomes the network's input: resized by its sides, 0..255 minus the mean over the deviation."""

    short_side: int = 800  # pixels at test; training draws its own
    long_side: int = 1333  # pixels at most
    mean: tuple[float, float, float] = (103.53, 116.28, 123.675)  # of the MSRA ImageNet models
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    order: Literal["bgr", "rgb"] = "bgr"  # of the channels, also of mean and std


@dataclass(frozen=True, kw_only=True)
class Architecture(ABC):
    """What every network here is: a backbone at stride 16, an RPN on it, and a RoI stage behind RoIAlign.

    A subclass provides the two parts with weights. The defaults are the published ones (arXiv 2108.09017 and
    detectron2's C4 models).
    """

    name: str
    freeze_at: int = 3  # stages that never train: 1 the stem, 2 and the first stage (res2), 3 and the second (res3)
    pooler_resolution: int = 7  # RoIAlign's bins per side; detectron2's own C4 models have 14
    inputs: InputSettings = field(default_factory=InputSettings)

    anchor_sizes: tuple[float, ...] = (32, 64, 128, 256, 512)  # square root of the area, pixels
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height over width
    anchor_iou: tuple[float, float] = (0.3, 0.7)  # background below, foreground from
    anchors_per_image: int = 256
    anchor_positive_fraction: float = 0.5
    proposals_train: tuple[int, int] = (12000, 2000)  # before and after NMS
    proposals_test: tuple[int, int] = (6000, 1000)
    proposal_nms: float = 0.7

    rois_per_image: int = 512
    roi_positive_fraction: float = 0.25
    roi_iou: float = 0.5

    @property
    def stride(self) -> int:
        """Pixels between neighbouring features of the backbone."""
        return 16

    @property
    def anchors_per_cell(self) -> int:
        """Anchors at each feature."""
        return len(self.anchor_sizes) * len(self.anchor_ratios)

    @property
    @abstractmethod
    def block_count(self) -> int:
        """How many blocks its numbers ask for."""

    @property
    @abstractmethod
    def feature_channels(self) -> int:
        """Channels of the backbone's features."""

    @property
    @abstractmethod
    def roi_channels(self) -> int:
        """Channels of the RoI stage's features."""

    @abstractmethod
    def build_backbone(self) -> Backbone:
        """The stem and the first three stages with fresh weights: pixels (B, 3, H, W) to (B, C, H/16, W/16)."""

    @abstractmethod
    def build_roi_stage(self) -> nn.Module:
        """The last stage with fresh weights: pooled features (R, C, h, w) to (R, D, h/2, w/2)."""


@dataclass(frozen=True)
class ResNetC4(Architecture):
    """A ResNet in its Caffe form: res2 to res4 are the backbone, res5 the RoI stage."""

    block_counts: tuple[int, int, int, int]  # bottlenecks in res2, res3, res4, res5
    stem_channels: int = 64
    bottleneck_channels: int = 64  # of res2; each later stage doubles it
    stage_channels: int = 256  # that res2 puts out; each later stage doubles it

    @property
    def block_count(self) -> int:
        """How many bottlenecks there are."""
        return sum(self.block_counts)

    @property
    def feature_channels(self) -> int:
        """Channels of res4."""
        return self.stage_channels * 4

    @property
    def roi_channels(self) -> int:
        """Channels of res5."""
        return self.stage_channels * 8

    def build_backbone(self) -> Backbone:
        """Stem and res2 to res4."""
        from risf_core.detector.resnet import C4Backbone

        return C4Backbone(self)

    def build_roi_stage(self) -> nn.Module:
        """The bottlenecks of res5."""
        from risf_core.detector.resnet import residual_stage

        return residual_stage(self, 5)


_Size = Annotated[int, Meta(ge=1, le=4096)]
_Sizes = tuple[Annotated[int, Meta(ge=1, le=256)], ...]


class TimmOptions(TypedDict, total=False):
    """Numbers in place of a model's own, as timm names them; which of them a model has depends on its family."""

    img_size: _Size  # pixels that the windows are meant for; images may have any size
    embed_dim: _Size
    depths: _Sizes
    num_heads: _Sizes
    window_size: Annotated[int, Meta(ge=1, le=64)]
    dims: tuple[_Size, ...]
    layers: _Sizes


@dataclass(frozen=True)
class TimmC4(Architecture):
    """A four-stage network of timm: stages 1 to 3 are the backbone, the last one is the RoI stage."""

    model: str  # timm's name, with the tag of its weights where there is one
    channels: tuple[int, int]  # of stages 3 and 4
    options: TimmOptions = field(default_factory=TimmOptions)
    drop_path: float = 0.0  # how often a residual branch is left out in training, at the last block

    @property
    def block_count(self) -> int:
        """How many blocks there are, where the model's own number is replaced; else 0."""
        return sum(self.options.get("depths", ()))

    @property
    def feature_channels(self) -> int:
        """Channels of stage 3."""
        return self.channels[0]

    @property
    def roi_channels(self) -> int:
        """Channels of stage 4."""
        return self.channels[1]

    def build_backbone(self) -> Backbone:
        """Stem and stages 1 to 3."""
        from risf_core.detector.timm_backbone import build_backbone

        return build_backbone(self)

    def build_roi_stage(self) -> nn.Module:
        """Stage 4, and the norm behind it."""
        from risf_core.detector.timm_backbone import build_roi_stage

        return build_roi_stage(self)


RESNETS: Mapping[str, ResNetC4] = {
    "r50": ResNetC4((3, 4, 6, 3), name="r50"),
    "r101": ResNetC4((3, 4, 23, 3), name="r101"),
    # For tests and the demo: trains from nothing in a minute on a CPU, under the same parameter names
    "small": ResNetC4(
        (1, 1, 1, 1),
        name="small",
        stem_channels=16,
        bottleneck_channels=16,
        stage_channels=32,
        freeze_at=0,
        inputs=InputSettings(short_side=160, long_side=266),
        anchor_sizes=(16, 32, 64, 128),
        anchors_per_image=64,
        proposals_train=(600, 200),
        proposals_test=(600, 100),
        rois_per_image=64,
    ),
}


TIMM = "timm/"  # what the names of timm's networks begin with

ARCHITECTURES: Mapping[str, Architecture] = {
    **RESNETS,
    # The same as small, with Swin's layers
    "small-swin": TimmC4(
        "swin_tiny_patch4_window7_224",
        (64, 128),
        {"img_size": 128, "embed_dim": 16, "depths": (2, 2, 2, 2), "num_heads": (1, 2, 4, 8), "window_size": 4},
        name="small-swin",
        freeze_at=0,
        pooler_resolution=8,  # one window behind the patch merging
        inputs=InputSettings(160, 266, mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375), order="rgb"),
        anchor_sizes=(16, 32, 64, 128),
        anchors_per_image=64,
        proposals_train=(600, 200),
        proposals_test=(600, 100),
        rois_per_image=64,
        roi_positive_fraction=0.5,
    ),
}


def architecture_named(name: str) -> Architecture:
    """The architecture of that name, one of ours or ``timm/NAME``. Raises ConfigError where there is none."""
    if name.startswith(TIMM):
        from risf_core.detector.timm_backbone import timm_architecture

        return timm_architecture(name)
    if name not in ARCHITECTURES:
        raise ConfigError(
            f"there is no architecture {name!r}{did_you_mean(name, ARCHITECTURES)}; "
            f"there are {', '.join(ARCHITECTURES)} and timm/NAME"
        )
    return ARCHITECTURES[name]
