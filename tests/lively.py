"""Detectors with random weights that find many things all the same, and photos for them."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import torch

from risf_core.detector.architecture import ARCHITECTURES, Architecture
from risf_core.detector.inputs import batch_of, network_pixels
from risf_core.detector.model import Detector, build_detector

CLASSES = 20


def random_photo(size: tuple[int, int], seed: int) -> np.ndarray:
    """A photo (H, W, 3) RGB of coloured rectangles and noise."""
    random = np.random.default_rng(seed)
    photo = random.integers(0, 255, (*size, 3)) * 0.3
    for _ in range(12):
        y, x = random.integers(0, size[0] - 20), random.integers(0, size[1] - 20)
        height, width = random.integers(15, 150, 2)
        photo[y : y + height, x : x + width] += random.integers(0, 180, 3)
    return np.clip(photo, 0, 255).astype(np.uint8)


def lively_detector(
    architecture: str | Architecture, *, classes: int = CLASSES, seed: int = 0, random_affines: bool = True
) -> Detector:
    """Our detector with seeded random weights, scaled so that it finds many things; every kind of number is in use."""
    if isinstance(architecture, str):
        architecture = ARCHITECTURES[architecture]
    measured = replace(architecture, proposals_test=(200, 40), rois_per_image=64)  # enough to measure a spread
    with torch.device("meta"):
        model = build_detector(architecture, class_count=classes).eval()
    model.load_state_dict(_lively_state(measured, classes, seed, random_affines), assign=True)
    return deepcopy(model)  # of the kept weights


@cache
def _lively_state(architecture: Architecture, classes: int, seed: int, random_affines: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    model = build_detector(architecture, class_count=classes).eval()
    generator = torch.Generator().manual_seed(seed)
    state = model.state_dict()
    for name, tensor in state.items():
        draw = torch.rand(tensor.shape, generator=generator)
        if name.endswith("norm.weight"):
            residual = ".conv3." in name
            tensor.copy_((draw + 0.5) * (0.35 if residual else 1.0))
        elif name.endswith("norm.running_var"):
            tensor.copy_(draw + 0.5)
        elif name.endswith(("norm.bias", "norm.running_mean")) or (name.endswith(".bias") and "affine" not in name):
            tensor.copy_((draw - 0.5) * 0.2)
        elif random_affines and name.startswith("affine"):
            tensor.copy_(draw + 0.5 if name.endswith("weight") else draw - 0.5)
    state["backbone.stem.conv1.norm.weight"] /= 60  # pixels of 0..255
    model.load_state_dict(state)
    _scale_outputs(model, seed)
    return model.state_dict()


def _scale_outputs(model: Detector, seed: int) -> None:
    """Scale each output of the last layers so that logits and deltas spread as a trained detector's do."""
    photo = network_pixels(random_photo((240, 320), seed), (240, 320))
    seen: dict[str, torch.Tensor] = {}
    spreads = {
        model.proposal_generator.rpn_head.objectness_logits: 2.0,
        model.proposal_generator.rpn_head.anchor_deltas: 0.05,
        model.roi_heads.box_predictor.cls_score: 1.2,
        model.roi_heads.box_predictor.bbox_pred: 1.0,
    }
    for layer, spread in spreads.items():  # in turn: each decides what the next one sees
        hook = layer.register_forward_hook(lambda module, inputs, output: seen.update(output=output))
        model.detect(batch_of([photo], model.architecture.inputs))
        hook.remove()
        rows = seen["output"].movedim(1, 0).flatten(1)  # (outputs, places)
        scale = spread / rows.std(dim=1)
        with torch.no_grad():
            layer.weight *= scale.reshape(-1, *[1] * (layer.weight.dim() - 1))
            layer.bias.copy_((layer.bias - rows.mean(dim=1)) * scale)
