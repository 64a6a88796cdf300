"""Model configs in open_clip's form: those that open_clip comes with, and those of files."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from risf_core.documents import typed
from risf_core.errors import EncoderError

PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")
_Positive = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(ge=1, le=20_000)]
_Layers = Annotated[int, Meta(ge=1, le=1000)]


@dataclass(frozen=True)
class _VisionConfig:
    # lists, not tuples: msgspec 0.22 crashes on a bounded number or a tuple of a fixed length
    image_size: _Count | list[_Count] = 224  # pixels
    layers: _Layers | list[_Layers] = 12
    width: _Count = 768


@dataclass(frozen=True)
class _TextConfig:
    context_length: _Count = 77  # tokens
    vocab_size: Annotated[int, Meta(ge=1, le=10_000_000)] = 49408
    width: _Count = 512
    layers: _Layers = 12
    hf_tokenizer_name: str | None = None


@dataclass(frozen=True)
class _ModelConfig:
    """What is read of a model's config here; open_clip reads the rest."""

    embed_dim: _Count
    vision_cfg: _VisionConfig
    text_cfg: _TextConfig


@dataclass(frozen=True)
class _PreprocessConfig:
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[_Positive, _Positive, _Positive] = (1.0, 1.0, 1.0)
    interpolation: str = ""
    resize_mode: str = ""


def parts_of_config(content: Any, path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A model's config and preprocessing, from either form that open_clip writes."""
    way_out = "pass a model config in open_clip's form"
    stated: dict[str, Any] = {}
    if isinstance(content, dict) and "model_cfg" in content:
        stated, content = content.get("preprocess_cfg") or {}, content["model_cfg"]
    typed(stated, _PreprocessConfig, source=path, way_out=way_out, fault=EncoderError)
    typed(content, _ModelConfig, source=path, way_out=way_out, fault=EncoderError)
    return content, {key: stated[key] for key in PREPROCESS_KEYS if key in stated}


def model_config_of(name: str) -> dict[str, Any] | None:
    """open_clip's config of a model, None where it knows none; read beside open_clip where that is not loaded yet."""
    if "open_clip" in sys.modules:
        import open_clip

        known: dict[str, Any] | None = open_clip.get_model_config(name)
        return known
    path = _config_folder() / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def model_names() -> list[str]:
    return sorted(path.stem for path in _config_folder().glob("*.json"))


def _config_folder() -> Path:
    spec = find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "model_configs"
