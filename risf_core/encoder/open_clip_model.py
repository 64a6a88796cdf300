"""open_clip's models: built with the weights a person means, checked to belong together."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from safetensors import safe_open

from risf_core.choices import DEFAULT_TEMPERATURE
from risf_core.encoder.damaged import DAMAGED
from risf_core.encoder.preprocessing import Preprocessing
from risf_core.encoder.torchscript import read_torchscript
from risf_core.encoder.weights import EncoderSource, is_torchscript
from risf_core.errors import EncoderError, listing
from risf_core.unpickling import fault_of_torch_file

_POSITION_EMBEDDINGS = ("visual.positional_embedding", "positional_embedding", "text.positional_embedding")


def preprocessing_of(source: EncoderSource, crop: str) -> Preprocessing:
    """The model's own preprocessing: open_clip's defaults under what its tag or config states."""
    stated = {**vars(open_clip.transform.PreprocessCfg()), **source.preprocess}
    side = source.model_config["vision_cfg"].get("image_size", 224)
    if not isinstance(side, int):
        if len(set(side)) != 1:
            shown = "x".join(map(str, reversed(side)))
            raise EncoderError(f"{source.name} wants crops of {shown}; only square inputs are supported")
        side = int(side[0])
    if stated["interpolation"] not in ("bicubic", "bilinear"):
        raise EncoderError(f"{source.name} wants {stated['interpolation']!r} interpolation, not bicubic or bilinear")
    return Preprocessing(side, tuple(stated["mean"]), tuple(stated["std"]), stated["interpolation"], crop)


def build_model(source: EncoderSource) -> Any:  # Any: open_clip is not typed
    """The model with its weights, in float32 on the CPU. Raises EncoderError where the weights do not fit."""
    try:
        model = create_untrained(_open_clip_name(source))
    except (  # what a config of other values than open_clip has in mind ends in
        TypeError,
        RuntimeError,
        LookupError,
        ValueError,
        AttributeError,
        AssertionError,
        ArithmeticError,
        MemoryError,
    ) as error:
        raise EncoderError(f"{source.name} cannot be built by open_clip: {_first_line(error)}") from error
    misfit = f"{source.weights}: these weights are not of the model {source.name}"
    try:
        if is_torchscript(source.weights):
            stored = read_torchscript(source.weights)
            extra = ("input_resolution", "context_length", "vocab_size")  # OpenAI's archives hold these as tensors
            model.load_state_dict({key: value.float() for key, value in stored.items() if key not in extra})
        else:
            _refuse_programs(source.weights)
            _check_position_embeddings(source, model, misfit)
            open_clip.load_checkpoint(model, str(source.weights), weights_only=True)
    except RuntimeError as error:
        if "state_dict" not in str(error):
            raise EncoderError(f"{source.weights}: cannot be read as weights ({_first_line(error)})") from error
        if "vision_model." in str(error):
            raise EncoderError(
                f"{source.weights}: is CLIP in the form of Hugging Face's transformers; pass weights in "
                "open_clip's form (`clip=hf-hub:ORG/REPO`, or its open_clip_model.safetensors)"
            ) from error
        raise EncoderError(f"{misfit} ({_misfit(error)}); pass the `clip` or `clip_config` they belong to") from error
    except AssertionError as error:  # how open_clip refuses what it cannot stretch
        reason = f"{misfit} ({_first_line(error)})"
        raise EncoderError(f"{reason}; pass the `clip` or `clip_config` they belong to") from error
    except DAMAGED as error:
        raise EncoderError(
            f"{source.weights}: cannot be read as weights ({type(error).__name__}: {_first_line(error)}); "
            "pass a file of weights (safetensors, pt), or fetch it again"
        ) from error
    return model


def stored_scale(source: EncoderSource) -> tuple[float, float | None]:
    """exp(logit_scale) of a model's weights, 100 where they state none, and their logit_bias (None: none)."""
    names = ("logit_scale", "logit_bias")
    path = source.weights
    try:
        if path.suffix == ".safetensors":
            with safe_open(str(path), framework="pt") as file:
                found = {name: float(file.get_tensor(name)) for name in names if name in set(file.keys())}
        else:
            if is_torchscript(path):
                state = read_torchscript(path)
            else:
                _refuse_programs(path)
                state = open_clip.factory.load_state_dict(str(path))
            found = {name: float(state[name]) for name in names if name in state}
    except DAMAGED as error:
        raise EncoderError(f"{path}: cannot be read as weights ({_first_line(error)})") from error
    scale = math.exp(found["logit_scale"]) if "logit_scale" in found else DEFAULT_TEMPERATURE
    return float(f"{scale:.6g}"), found.get("logit_bias")  # ln 100 in float32 is meant as 100


def create_untrained(name: str) -> Any:  # Any: open_clip is not typed
    """A model that open_clip knows by name, with random weights, in float32 on the CPU."""
    with _without_log("No pretrained weights loaded"):  # it is meant so
        return open_clip.create_model(name, load_weights=False, pretrained_text=False)


class Tokenizer(Protocol):
    """What open_clip's tokenizers have in common."""

    def __call__(self, texts: list[str], /) -> torch.Tensor:
        """Token ids, (T, context length)."""
        ...


def build_tokenizer(source: EncoderSource) -> Tokenizer:
    """The tokenizer that belongs to a model."""
    try:
        tokenizer: Tokenizer = open_clip.get_tokenizer(_open_clip_name(source))
    except Exception as error:  # transformers and the hub raise what they like
        raise EncoderError(f"the tokenizer of {source.name} cannot be loaded: {_first_line(error)}") from error
    return tokenizer


def check_prompt_lengths(source: EncoderSource, tokenizer: Tokenizer, texts: Sequence[str]) -> None:
    """Refuse texts that the encoder would cut short. Raises EncoderError."""
    most = int(source.model_config["text_cfg"].get("context_length", 77))
    for text in texts:
        length = _token_count(tokenizer, text)
        if length is not None and length > most:
            raise EncoderError(
                f"the prompt {text!r} is {length} tokens long and {source.name} reads {most}; "
                "shorten `template` or give the class a shorter `alias`"
            )


def _open_clip_name(source: EncoderSource) -> str:
    """The name under which open_clip builds the model; a config that is not open_clip's own is registered for it."""
    config = _with_local_text_side(source)
    if open_clip.get_model_config(source.name) == config:
        return source.name
    content = json.dumps(config, sort_keys=True)
    name = f"{Path(source.name).name}-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    if open_clip.get_model_config(name) is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"{name}.json")
            path.write_text(content, encoding="utf-8")
            open_clip.add_model_config(path)
    return name


def _with_local_text_side(source: EncoderSource) -> dict[str, Any]:
    """The model's config; where its tokenizer's files are in a folder here, with that folder for the hub's names."""
    config = dict(source.model_config)
    folder = source.tokenizer_folder
    if folder is not None and source.needs_transformers:
        text = dict(config["text_cfg"])
        if text.get("hf_tokenizer_name"):
            text["hf_tokenizer_name"] = str(folder)
        if text.get("hf_model_name") and (folder / "config.json").is_file():
            text["hf_model_name"] = str(folder)
        config["text_cfg"] = text
    return config


@contextlib.contextmanager
def _without_log(opening: str) -> Iterator[None]:
    """Silence the records of the root logger, where open_clip writes, that open with these words."""

    def keep(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith(opening)

    root = logging.getLogger()
    root.addFilter(keep)
    try:
        yield
    finally:
        root.removeFilter(keep)


def _refuse_programs(weights: Path) -> None:
    """Refuse what torch would run when open_clip hands it over. Raises EncoderError."""
    if weights.suffix in (".safetensors", ".npz", ".npy"):  # not read by torch.load
        return
    fault = fault_of_torch_file(weights)
    if fault is not None:
        raise EncoderError(f"{weights}: {fault}; pass a file of weights (safetensors, pt), or fetch it again")


def _check_position_embeddings(source: EncoderSource, model: Any, misfit: str) -> None:
    """Refuse weights of another input size or text length, which open_clip would stretch without a word."""
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items() if name in _POSITION_EMBEDDINGS}
    stored = _stored_shapes(source.weights, wanted)
    for name, shape in stored.items():
        if shape != wanted[name]:
            length = "input size" if name.startswith("visual.") else "text length"
            what = "width" if shape[1:] != wanted[name][1:] else length
            raise EncoderError(
                f"{misfit} ({name} is {shape}, the model's {wanted[name]}: another {what}); "
                "pass the `clip` or `clip_config` they belong to"
            )


def _stored_shapes(weights: Path, names: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of those of the named parameters that a file holds."""
    if weights.suffix == ".safetensors":  # its head tells
        with safe_open(str(weights), framework="pt") as file:
            held = set(file.keys())
            return {name: tuple(file.get_slice(name).get_shape()) for name in names if name in held}
    state = open_clip.factory.load_state_dict(str(weights))
    return {name: tuple(state[name].shape) for name in names if name in state}


def _misfit(error: RuntimeError) -> str:
    """The gist of torch's account of keys that do not fit: a clause for those missing, for those too many ..."""
    clauses = []
    for line in str(error).splitlines()[1:]:
        what, colon, keys = line.strip().partition(" in state_dict: ")
        clauses.append(
            f"{what}: {listing(keys.strip('. ').split(', '), most=1)}" if colon else _shortened(line.strip())
        )
    return listing(clauses, most=2)


def _first_line(error: Exception) -> str:
    return _shortened((str(error) or type(error).__name__).splitlines()[0])


def _shortened(line: str) -> str:
    return line if len(line) <= 160 else line[:157] + "..."


def _token_count(tokenizer: Tokenizer, text: str) -> int | None:
    """How many tokens a text has, its two marks included, uncut; None where the tokenizer does not tell."""
    if isinstance(tokenizer, open_clip.SimpleTokenizer):
        return len(tokenizer.encode(text)) + 2
    inner = getattr(tokenizer, "tokenizer", None)  # a tokenizer of transformers
    return len(inner(text)["input_ids"]) if callable(inner) else None
