"""The names that published checkpoints give the network's parameters, and what their shapes tell of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch
from torch import Tensor

from risf_core.detector.architecture import RESNETS, ResNetC4
from risf_core.errors import listing

AFFINES = ("affine_rpn.weight", "affine_rpn.bias", "affine_rcnn.weight", "affine_rcnn.bias")
CLASS_LAYER = "roi_heads.box_predictor.cls_score.weight"

DETECTRON2_POOLER = 14  # of detectron2's own C4 models; DeFRCN's have 7

# Caffe2's names of the MSRA models: branch1 is the shortcut, branch2a to branch2c the three convolutions
_CAFFE2_BLOCK = re.compile(r"res([2-5])_(\d+)_branch(1|2a|2b|2c)_(w|bn_s|bn_b)")
_CAFFE2_CONVOLUTIONS = {"1": "shortcut", "2a": "conv1", "2b": "conv2", "2c": "conv3"}
_CAFFE2_PARTS = {"w": "weight", "bn_s": "norm.weight", "bn_b": "norm.bias"}
_CAFFE2_STEM = {
    "conv1_w": "backbone.stem.conv1.weight",
    "res_conv1_bn_s": "backbone.stem.conv1.norm.weight",
    "res_conv1_bn_b": "backbone.stem.conv1.norm.bias",
}
_OUR_BLOCK = re.compile(
    r"(?:backbone|roi_heads)\.res([2-5])\.(\d+)\.(shortcut|conv[123])\.(weight|norm\.weight|norm\.bias)"
)

_ANCHOR = "backbone.res2.0.conv1.weight"  # every detector and backbone of the network has it
_TEACHER = "modelTeacher."  # beside a student, of which it is the average: the one that is tested
TIMM_PREFIXES = ("backbone.", "roi_heads.res5.")  # before timm's names in the two parts of its networks

# Whose weights have such a name
_FOREIGN = {
    r"(module\.)?layer1\.0\.conv1\.weight": "has torchvision's names of a ResNet, whose input and strides are others "
    "(as timm's: `architecture=timm/resnet50`, or model.architecture in training)",
    r"(module\.)?(patch_embed\.proj|layers\.0\.blocks|stages\.0\.blocks|conv_stem)\..*": "is of a network of timm "
    "that it does not name (`architecture=timm/NAME`, or model.architecture in training)",
    r".*backbone\.(fpn_|bottom_up\.|fpn\.|body\.).*": "has a feature pyramid (FPN), which DeFRCN's network lacks",
    r"(backbone\.layer1|neck|bbox_head|roi_head|rpn_head)\..*": "is of mmdetection, whose network is another",
    r"(model\.)?vision_model\..*|text_model\..*": "is of transformers' CLIP, not a detector",
    r"visual\.(conv1|transformer|trunk)\..*": "is an image-text encoder of open_clip, not a detector",
    r".*(class_embed|transformer\.(encoder|decoder)\.layers).*": "is of DETR's family, whose network is another",
    r"model\.\d+\.(conv|cv1|m)\..*": "is of Ultralytics' YOLO, whose network is another",
}

_STAGES = ("backbone.res2", "backbone.res3", "backbone.res4", "roi_heads.res5")


def from_caffe2(name: str) -> str | None:
    """Our name of an MSRA model's array, or None where the network has no place for it.

    >>> from_caffe2("res5_0_branch2a_bn_s")
    'roi_heads.res5.0.conv1.norm.weight'
    """
    block = _CAFFE2_BLOCK.fullmatch(name)
    if block is None:
        return _CAFFE2_STEM.get(name)
    stage, number, branch, part = block.groups()
    return f"{_STAGES[int(stage) - 2]}.{number}.{_CAFFE2_CONVOLUTIONS[branch]}.{_CAFFE2_PARTS[part]}"


def wrapper_prefix(names: Iterable[str]) -> str | None:
    """What wrappers (DDP, torch.compile, Lightning, a teacher) put before the network's names; None: it is not there.

    >>> wrapper_prefix(["module.backbone.res2.0.conv1.weight"])
    'module.'
    """
    plain = (str(name).replace("_orig_mod.", "") for name in names)
    found = [name.removesuffix(_ANCHOR) for name in plain if name.endswith(_ANCHOR)]
    return _TEACHER if _TEACHER in found else min(found, key=len, default=None)


def foreign_names(names: Iterable[str]) -> str:
    """Whose weights these are, by their names, where they are not the network's."""
    listed = list(names)
    for pattern, whose in _FOREIGN.items():
        if any(re.fullmatch(pattern, name) for name in listed):
            return whose
    if not listed:
        return "holds no array under a name"
    return f"holds no backbone of this network (its arrays: {listing(listed, most=3)})"


def to_caffe2(name: str) -> str | None:
    """An MSRA model's name of our parameter, or None where such a model has none.

    >>> to_caffe2("backbone.res2.0.shortcut.weight")
    'res2_0_branch1_w'
    """
    block = _OUR_BLOCK.fullmatch(name)
    if block is None:
        return next((theirs for theirs, ours in _CAFFE2_STEM.items() if ours == name), None)
    stage, number, convolution, part = block.groups()
    branch = next(theirs for theirs, ours in _CAFFE2_CONVOLUTIONS.items() if ours == convolution)
    return f"res{stage}_{number}_branch{branch}_{next(t for t, ours in _CAFFE2_PARTS.items() if ours == part)}"


def identity_statistics(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The running means 0 and variances 1 of norms that a state gives a scale and shift alone, as MSRA's models do."""
    missing: dict[str, Tensor] = {}
    for name, scale in state.items():
        if name.endswith(".norm.weight"):
            stem = name.removesuffix("weight")
            missing[f"{stem}running_mean"] = torch.zeros_like(scale)
            missing[f"{stem}running_var"] = torch.ones_like(scale)
    return {name: value for name, value in missing.items() if name not in state}


def identity_affines(channels: int) -> dict[str, Tensor]:
    """DeFRCN's two affines as they are before any training: they change nothing."""
    shape = (1, channels, 1, 1)
    return {name: torch.ones(shape) if name.endswith("weight") else torch.zeros(shape) for name in AFFINES}


def class_count_of(state: Mapping[str, Tensor]) -> int | None:
    """How many classes a state's head has, or None where it has no head."""
    return len(state[CLASS_LAYER]) - 1 if CLASS_LAYER in state else None


def architecture_of(state: Mapping[str, Tensor], *, pooler_resolution: int) -> ResNetC4 | None:
    """The architecture whose blocks and widths a state has, or None where none has them."""
    blocks = block_counts_of(state)
    widths = {
        "stem_channels": "backbone.stem.conv1.weight",
        "bottleneck_channels": "backbone.res2.0.conv1.weight",
        "stage_channels": "backbone.res2.0.conv3.weight",
    }
    for architecture in RESNETS.values():
        if architecture.block_counts == blocks and all(
            key in state and len(state[key]) == getattr(architecture, name) for name, key in widths.items()
        ):
            return replace(architecture, pooler_resolution=pooler_resolution)
    return None


def block_counts_of(names: Iterable[str]) -> tuple[int, ...]:
    """How many bottlenecks res2 to res5 have.

    >>> block_counts_of(["backbone.res2.0.conv1.weight", "backbone.res2.1.conv1.weight"])
    (2, 0, 0, 0)
    """
    counts = []
    listed = list(names)
    for stage in _STAGES:
        blocks = {name[len(stage) + 1 :].split(".")[0] for name in listed if name.startswith(f"{stage}.")}
        counts.append(len(blocks))
    return tuple(counts)
