"""Which parameters train in which stage."""

from __future__ import annotations

from torch import nn

from risf_core.detector.model import Detector


def freeze_for_base(model: Detector) -> list[str]:
    """Let all train but the first stages, as many as the architecture's `freeze_at`; returns the frozen names."""
    model.requires_grad_(True)
    for stage in model.backbone.first_stages[: model.architecture.freeze_at]:
        stage.requires_grad_(False)
    return frozen_names(model)


def freeze_for_few_shot(model: Detector) -> list[str]:
    """Freeze base training's stages and the RoI stage; the third stage and the RPN train on, as in DeFRCN.

    Returns the frozen names.
    """
    freeze_for_base(model)
    model.roi_heads.res5.requires_grad_(False)
    return frozen_names(model)


def frozen_names(model: nn.Module) -> list[str]:
    """The parameters that do not train. The four numbers of each frozen norm are not parameters and never train."""
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]
