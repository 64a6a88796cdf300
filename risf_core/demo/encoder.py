"""A tiny image-text encoder in open_clip's form, trained on shapes on the spot; it never sees the example's photos."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from risf_core.demo.shapes import CLASSES, draw_shape
from risf_core.files import write_json
from risf_core.rescore.open_clip_model import create_untrained
from risf_core.rescore.prompts import DEFAULT_BACKGROUND, DEFAULT_TEMPLATE

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
_SIDE = 32
_MEAN, _STD = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD


def train_encoder(folder: Path, *, steps: int, generator: np.random.Generator) -> tuple[Path, Path]:
    """Train on drawn crops and their prompts; the paths of the config JSON and of the weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = folder / "shapes-clip.json", folder / "shapes-clip.safetensors"
    write_json(config, CONFIG)
    open_clip.add_model_config(config)
    torch.manual_seed(int(generator.integers(2**31)))
    model = create_untrained("shapes-clip")
    names = [*CLASSES, DEFAULT_BACKGROUND]
    tokens = open_clip.tokenize([DEFAULT_TEMPLATE.format(name) for name in names], context_length=16)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    for _ in range(steps):
        crops, labels = _batch(128, generator)
        images = model.encode_image(crops, normalize=True)
        logits = 100 * images @ model.encode_text(tokens, normalize=True).T  # CLIP's own temperature
        loss = functional.cross_entropy(logits, labels, label_smoothing=0.1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimiser.step()
        schedule.step()
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, weights)
    return config, weights


def _batch(count: int, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops (count, 3, 32, 32), normalised, of single shapes or of nothing, and their labels (count,)."""
    labels = generator.integers(0, len(CLASSES) + 1, count)
    crops = np.empty((count, _SIDE, _SIDE, 3), dtype=np.float32)
    for crop, label in zip(crops, labels.tolist(), strict=True):
        coarse = generator.integers(60, 200, (3, 3, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)
        if label < len(CLASSES):
            x, y = generator.uniform(-3, 3, 2)
            side = _SIDE + generator.uniform(-4, 4)
            draw_shape(image, (x, y, side, side), label, generator)
        crop[:] = np.clip(np.asarray(image) + generator.normal(0, 8, (_SIDE, _SIDE, 3)), 0, 255) / 255
    pixels = (crops - np.array(_MEAN, dtype=np.float32)) / np.array(_STD, dtype=np.float32)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.from_numpy(labels)
