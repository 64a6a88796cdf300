"""Four-stage networks of timm, cut in two: stages 1 to 3 are the backbone, the last stage is the RoI stage."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import timm
import torch
from timm.layers.norm_act import freeze_batch_norm_2d
from timm.models import is_model_in_modules, model_entrypoint
from torch import Tensor, nn
from torch.nn import functional

from risf_core.detector.architecture import TIMM, InputSettings, TimmC4
from risf_core.detector.backbone import Backbone, Stage
from risf_core.errors import ConfigError, did_you_mean, listing

# Modules of timm whose networks are a chain of four stages, each a tensor in and a tensor out
_WINDOWED = frozenset({"swin_transformer", "swin_transformer_v2"})
_FAMILIES = _WINDOWED | {"convnext", "resnet", "efficientnet"}
_STRIDES = (4, 8, 16, 32)
_Part = TypeVar("_Part", bound=nn.Module)
_LAST_NORMS = ("norm", "norm_pre")  # behind the last stage, before timm pools


def timm_architecture(name: str) -> TimmC4:
    """The architecture ``timm/NAME[.TAG]``; input and colours are those of its published weights.

    Raises ConfigError where timm has no such network or tag, or it cannot be cut after its third stage.
    """
    model = name.removeprefix(TIMM)
    base, _, tag = model.partition(".")
    _check_model(name)
    tags = [each.partition(".")[2] for each in timm.list_pretrained(f"{base}.*")]
    if tag and tag not in tags:
        raise ConfigError(f"{name}: has no weights tagged {tag!r}{did_you_mean(tag, tags)}; tags: {listing(tags)}")
    with torch.device("meta"):
        cut = _cut(base)
    if cut.strides != _STRIDES:
        raise ConfigError(f"{name}: has stages of stride {listing(cut.strides)}; needed are 4, 8, 16 and 32")
    stated: Any = timm.get_pretrained_cfg(model)  # Any: it is never None for a registered model
    return TimmC4(
        model,
        name=name,
        channels=cut.channels,
        # Swin's patch merging makes it one window, of the size that the last stage has in the weights' own input
        pooler_resolution=2 * stated.pool_size[0] if is_model_in_modules(base, _WINDOWED) else 14,
        inputs=InputSettings(mean=_in_255(stated.mean), std=_in_255(stated.std), order="rgb"),
    )


def build_backbone(architecture: TimmC4) -> TimmBackbone:
    """Everything up to the end of stage 3, with fresh weights (on the device "meta": with none, but for tables)."""
    cut = _cut_of(architecture)
    return _with_tables(TimmBackbone(cut.steps[: cut.ends[3]], ends=cut.ends[:4], is_nhwc=cut.is_nhwc))


def build_roi_stage(architecture: TimmC4) -> TimmRoiStage:
    """The last stage, and the norm behind it where timm has one before it pools, with fresh weights."""
    cut = _cut_of(architecture)
    norms = [step for step in cut.steps[cut.ends[4] :] if step.path in _LAST_NORMS]
    steps = [*cut.steps[cut.ends[3] : cut.ends[4]], *norms]
    return _with_tables(TimmRoiStage(steps, channels=cut.channels[1], is_nhwc=cut.is_nhwc))


def _check_model(name: str) -> None:
    base = name.removeprefix(TIMM).partition(".")[0]
    if not timm.is_model(base):
        near = did_you_mean(base, timm.list_models(module=list(_FAMILIES)))
        raise ConfigError(f"{name}: timm {timm.__version__} has no model {base!r}{near}")
    if not is_model_in_modules(base, _FAMILIES):
        family = model_entrypoint(base).__module__.rpartition(".")[2]
        raise ConfigError(
            f"{name}: is of timm's {family}, which is not supported; name a Swin, SwinV2, ConvNeXt, ResNet or "
            "EfficientNet"
        )


class _Step(NamedTuple):
    """A module of the chain that a network is."""

    path: str  # timm's
    module: nn.Module


class _Cut(NamedTuple):
    """A network as a chain, and where it is cut."""

    steps: Sequence[_Step]
    ends: Sequence[int]  # how many steps the stem has, and how many have run behind each stage
    strides: tuple[int, ...]  # of the stages
    channels: tuple[int, int]  # of stages 3 and 4
    is_nhwc: bool  # whether the stages take and give (B, H, W, C)


def _cut_of(architecture: TimmC4) -> _Cut:
    _check_model(f"{TIMM}{architecture.model}")
    base = architecture.model.partition(".")[0]
    return _cut(base, drop_path_rate=architecture.drop_path, **architecture.options)


def _cut(base: str, **options: Any) -> _Cut:  # Any: timm's
    """A fresh network of timm without its classifier, its batch norms frozen."""
    if is_model_in_modules(base, _WINDOWED):
        options["strict_img_size"] = False  # windows are padded, whatever the size
    network: Any = timm.create_model(base, num_classes=0, **options)
    freeze_batch_norm_2d(network)  # type: ignore[no-untyped-call]
    stages = [info for info in network.feature_info if info["reduction"] >= _STRIDES[0]]
    steps = list(_steps(network, [info["module"] for info in stages]))
    places = [next(place for place, step in enumerate(steps) if step.path == info["module"]) for info in stages]
    return _Cut(
        steps,
        ends=[places[0], *(place + 1 for place in places)],
        strides=tuple(info["reduction"] for info in stages),
        channels=(stages[-2]["num_chs"], stages[-1]["num_chs"]),
        is_nhwc=getattr(network, "output_fmt", "NCHW") == "NHWC",
    )


def _steps(network: nn.Module, stages: Sequence[str]) -> Iterator[_Step]:
    for name, module in network.named_children():
        if any(stage.startswith(f"{name}.") for stage in stages):  # a sequence of stages
            for number, stage in module.named_children():
                yield _Step(f"{name}.{number}", _block_by_block(stage))
        else:
            yield _Step(name, _block_by_block(module))


def _block_by_block(stage: nn.Module) -> nn.Module:
    """A stage whose blocks may be recomputed one by one."""
    if type(stage) is nn.Sequential:
        return Stage(OrderedDict(stage.named_children()))
    if type(getattr(stage, "blocks", None)) is nn.Sequential:
        stage.blocks = _block_by_block(stage.blocks)  # type: ignore[arg-type]
    return stage


def _with_tables(part: _Part) -> _Part:
    """The part with its computed buffers (which place in a window is how far from which), also on the device "meta"."""
    for module in part.modules():
        for name, buffer in module.named_buffers(recurse=False):
            if buffer.is_meta and name not in module.state_dict():
                module.register_buffer(name, torch.empty_like(buffer, device="cpu"), persistent=False)
        fill = getattr(module, "init_non_persistent_buffers", None)
        if callable(fill):
            fill()
    return part


def _in_255(numbers: Sequence[float]) -> tuple[float, float, float]:
    red, green, blue = (number * 255 for number in numbers)
    return red, green, blue


class _Chain(nn.Module):
    """Steps one after another, each under timm's name."""

    def __init__(self, steps: Sequence[_Step], *, is_nhwc: bool) -> None:
        super().__init__()
        self.paths = [step.path for step in steps]
        self.is_nhwc = is_nhwc  # whether the stages take and give (B, H, W, C)
        for path, module in steps:
            parent, _, name = path.rpartition(".")
            if parent and parent not in self._modules:
                self.add_module(parent, nn.Module())
            self.get_submodule(parent).add_module(name, module)

    def _run(self, x: Tensor) -> Tensor:
        """The features (B, C, h, w) behind the last step."""
        for path in self.paths:
            x = self.get_submodule(path)(x)
        return x.permute(0, 3, 1, 2) if self.is_nhwc else x


class TimmBackbone(_Chain, Backbone):
    """Stem and stages 1 to 3: pixels (B, 3, H, W), padded to whole features, to (B, C, H/16, W/16)."""

    def __init__(self, steps: Sequence[_Step], *, ends: Sequence[int], is_nhwc: bool) -> None:
        super().__init__(steps, is_nhwc=is_nhwc)
        self.ends = tuple(ends)  # of the stem and of the stages, in steps

    @property
    def first_stages(self) -> tuple[nn.Module, ...]:
        """The stem and the three stages."""
        bounds = pairwise((0, *self.ends))
        return tuple(nn.ModuleList(map(self.get_submodule, self.paths[start:end])) for start, end in bounds)

    def forward(self, pixels: Tensor) -> Tensor:
        height, width = pixels.shape[2:]
        return self._run(functional.pad(pixels, (0, -width % 16, 0, -height % 16)))


class TimmRoiStage(_Chain):
    """The last stage: features of RoIs (R, C, h, w) to (R, D, h/2, w/2)."""

    def __init__(self, steps: Sequence[_Step], *, channels: int, is_nhwc: bool) -> None:
        super().__init__(steps, is_nhwc=is_nhwc)
        self.channels = channels

    def forward(self, pooled: Tensor) -> Tensor:
        if not len(pooled):  # windows of no RoI have no shape
            return pooled.new_zeros((0, self.channels, 1, 1))
        return self._run(pooled.permute(0, 2, 3, 1) if self.is_nhwc else pooled)
