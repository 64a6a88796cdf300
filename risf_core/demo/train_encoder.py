"""Remakes the demo's image-text encoder: ``python -m risf_core.demo.train_encoder``, about two minutes on a core.

It learns from pictures and captions of made scenes with seeds of its own, never from a photo or a box of the demo, and
is stopped early, trained on captions of which a part is wrong, as those of the web are: it is to be right on 50 to 70 %
of the demo's ground-truth crops, as real encoders are on real ones.
"""

from __future__ import annotations

import argparse
import logging
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from risf_core.demo.dataset import make_dataset
from risf_core.demo.pictures import Caption, Pictures, draw_caption, draw_pictures
from risf_core.demo.weights import share_right
from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.open_clip_model import create_untrained
from risf_core.encoder.weights import find_encoder
from risf_core.files import write_json

CONFIG: dict[str, Any] = {  # Any: open_clip's form
    "embed_dim": 64,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
NAME = "made-clip"
SEED = 20_240_001  # far from the demo's: 0, 1, 2 ...
_TEMPERATURE = 100.0  # at which CM-CLIP reads the cosines
_BATCH = 128
_LEARNING_RATE = 2e-3
_TEST_PHOTOS = 200
_SHIFT = 2  # pixels that a picture is moved by at most

_logger = logging.getLogger(__name__)


def train_encoder(folder: Path, *, scenes: int, steps: int, wrong_captions: float) -> tuple[Path, Path]:
    """Write `made-clip.json` and `made-clip.safetensors` (half precision); returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    config, weights = folder / f"{NAME}.json", folder / f"{NAME}.safetensors"
    write_json(config, CONFIG)
    open_clip.add_model_config(config)
    generator = np.random.default_rng(SEED)
    torch.manual_seed(SEED)
    model = create_untrained(NAME).train()
    tokenizer = open_clip.get_tokenizer(NAME)
    pictures = draw_pictures(scenes, side=CONFIG["vision_cfg"]["image_size"] + 2 * _SHIFT, generator=generator)
    _logger.info("%d pictures", len(pictures.pixels))
    optimiser = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=_LEARNING_RATE, total_steps=steps)
    for step in range(steps):
        chosen = generator.integers(len(pictures.pixels), size=_BATCH)
        captions = _captions(pictures, chosen, wrong=wrong_captions, generator=generator)
        images = model.encode_image(_crops(pictures, chosen, generator), normalize=True)
        texts = model.encode_text(tokenizer([caption.text for caption in captions]), normalize=True)
        fits = torch.tensor([[caption.fits(other) for caption in captions] for other in captions])  # (B, B)
        loss = _contrastive_loss(_TEMPERATURE * images @ texts.T, fits.float())
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            _logger.info("step %d: loss %.3f", step, loss.item())
    state = {name: _half(value) for name, value in model.state_dict().items()}
    state["logit_scale"] = torch.tensor(math.log(_TEMPERATURE))  # in float32: half of it is another scale
    save_file(state, weights)
    note = {
        "remade by": "python -m risf_core.demo.train_encoder",
        "right on ground-truth crops": f"{_share_right(config, weights):.3f}",
    }
    save_file(state, weights, metadata=note)
    return config, weights


def _share_right(config: Path, weights: Path) -> float:
    """Of ground-truth crops of scenes that are neither the encoder's nor the demo's, over the demo's class names."""
    encoder = OpenClipEncoder(find_encoder(config=config, weights=weights))
    with tempfile.TemporaryDirectory() as folder:
        made = make_dataset(Path(folder), train_photos=1, test_photos=_TEST_PHOTOS, seed=SEED)
        return share_right(encoder, made)


def _captions(pictures: Pictures, chosen: np.ndarray, *, wrong: float, generator: np.random.Generator) -> list[Caption]:
    """A caption for each picture, some of them that of another."""
    shown = np.where(generator.random(len(chosen)) < wrong, generator.permutation(chosen), chosen)
    return [draw_caption(pictures.names[place], pictures.colours[place], generator) for place in shown.tolist()]


def _crops(pictures: Pictures, chosen: np.ndarray, generator: np.random.Generator) -> Tensor:
    """The pictures (B, 3, side, side), normalised, each moved a little, all of them mirrored or not."""
    side = CONFIG["vision_cfg"]["image_size"]
    batch = np.empty((len(chosen), side, side, 3), dtype=np.float32)
    for crop, place in zip(batch, chosen.tolist(), strict=True):
        x, y = generator.integers(2 * _SHIFT + 1, size=2)
        crop[:] = pictures.pixels[place, y : y + side, x : x + side]
    if generator.random() < 0.5:
        batch = batch[:, :, ::-1]
    mean, std = (np.array(of, dtype=np.float32) for of in (open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD))
    return torch.from_numpy((batch / 255 - mean) / std).permute(0, 3, 1, 2)


def _contrastive_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """CLIP's loss, from picture to caption and back, where several captions fit a picture; both (B, B)."""
    return (_soft_cross_entropy(logits, fits) + _soft_cross_entropy(logits.T, fits.T)) / 2


def _soft_cross_entropy(logits: Tensor, fits: Tensor) -> Tensor:
    return functional.cross_entropy(logits, fits / fits.sum(dim=1, keepdim=True), label_smoothing=0.05)


def _half(value: Tensor) -> Tensor:
    return (value.half() if value.is_floating_point() else value).contiguous()


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="the folder of the two files")
    parser.add_argument("--scenes", type=int, default=1200, help="made scenes that pictures are cut from")
    parser.add_argument("--steps", type=int, default=300, help="optimiser steps of 128 pictures")
    parser.add_argument("--wrong-captions", type=float, default=0.3, help="share of captions of another picture")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train_encoder(given.out, scenes=given.scenes, steps=given.steps, wrong_captions=given.wrong_captions)


if __name__ == "__main__":
    main()
