"""Prompts through open_clip's text towers: the embeddings of whole contexts, from as many tokens as the texts have."""

from __future__ import annotations

import copy
from pathlib import Path

import open_clip
import pytest
import torch

from risf_core.encoder.open_clip_model import encode_prompts
from tests.tiny_encoder import TINY, save_tiny


@pytest.mark.parametrize(
    ("form", "top", "text", "tokens_read"),
    [
        ("clip", {}, {}, 8),  # start, six words, end
        ("custom", {"custom_text": True}, {}, 8),
        ("seeing-all", {"custom_text": True}, {"no_causal_mask": True}, 20),
        ("with-class-token", {"custom_text": True}, {"embed_cls": True, "pad_id": 0}, 20),
        ("first-end-mark", {"custom_text": True}, {"pool_type": "eos", "eos_id": 49407}, 20),
    ],
)
def test_short_prompts_are_read_only_as_far_as_they_go(
    tmp_path: Path, form: str, top: dict, text: dict, tokens_read: int
) -> None:
    config = {**copy.deepcopy(TINY), **top}
    config["text_cfg"] = {**config["text_cfg"], **text}
    save_tiny(tmp_path, f"tiny-text-{form}", config)
    model = open_clip.create_model(f"tiny-text-{form}").eval()
    tokens = open_clip.tokenize(["a cat", "a photo of a big dog", "zebra"], context_length=20)
    read = []
    embedding = (model.text if hasattr(model, "text") else model).token_embedding
    with torch.inference_mode():
        expected = model.encode_text(tokens, normalize=True)
        embedding.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].shape[1]))
        found = encode_prompts(model, tokens)
    assert read == [tokens_read]
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-6)
