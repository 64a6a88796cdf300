"""Which model and weights a person means: a tag of open_clip, a local file, a folder or a custom config."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from risf_core.choices import DEFAULT_CLIP
from risf_core.encoder.model_configs import PREPROCESS_KEYS, model_config_of, model_names, parts_of_config
from risf_core.errors import EncoderError, RisfError, did_you_mean, listing
from risf_core.files import read_json
from risf_core.hub import hub_endpoint, in_hub_cache, in_reach
from risf_core.unpickling import fault_of_text

_WEIGHT_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_CONFIG_NAME = "open_clip_config.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")


@dataclass(frozen=True)
class EncoderSource:
    """A model with its weights on this machine, checked as far as can be without building it."""

    name: str  # open_clip's name of the model, or the name of a config file
    tag: str | None
    model_config: Mapping[str, Any]  # open_clip's embed_dim, vision_cfg, text_cfg ...
    weights: Path
    preprocess: Mapping[str, Any] = field(default_factory=dict)  # mean, std, interpolation where they are stated
    folder: Path | None = None  # of the model's config, where its tokenizer's files may be too

    @property
    def needs_transformers(self) -> bool:
        """Whether the text side is built by Hugging Face's transformers (SigLIP, CLIPA, MetaCLIP 2 and others)."""
        return needs_transformers(self.model_config)

    @property
    def tokenizer_folder(self) -> Path | None:
        """The folder with the tokenizer's files: that of the config or of the weights; None where neither has any."""
        folders = (self.folder, self.weights.parent)
        return next((each for each in folders if each and any((each / name).is_file() for name in _TOKENIZERS)), None)


def find_encoder(clip: str = DEFAULT_CLIP, *, weights: Path | None = None, config: Path | None = None) -> EncoderSource:
    """The model that ``NAME[:TAG]``, ``hf-hub:ORG/REPO`` or ``local-dir:FOLDER`` means, weights found or downloaded.

    Args:
        weights: a local file of weights (safetensors, pt, bin), instead of a tag's.
        config: a model config of open_clip's form, or the open_clip_config.json of a model repository.

    Raises EncoderError, with the file to fetch and how to pass it, where the weights are neither here nor in reach.
    """
    check_encoder(clip, weights=weights, config=config)
    if config is not None:
        source = _from_config(config, weights)
    elif clip.startswith(("local-dir:", "hf-hub:")):
        source = _from_folder(clip, weights)
    else:
        source = _from_name(clip, weights)
    _check_quick_gelu(source)
    if source.needs_transformers:
        _check_text_side(source)
    return source


def check_encoder(clip: str = DEFAULT_CLIP, *, weights: Path | None = None, config: Path | None = None) -> None:
    """Raises EncoderError for the faults of `find_encoder`'s arguments that show without open_clip and torch."""
    if weights is not None and not weights.is_file():
        raise EncoderError(f"`clip_weights={weights}`: there is no such file")
    if weights is not None and (fault := fault_of_text(weights)) is not None:
        raise EncoderError(f"{weights}: {fault}")
    if config is not None:
        if clip != DEFAULT_CLIP and not _is_config_of(clip, config):
            raise EncoderError(f"`clip={clip}` and `clip_config={config}` name two models; pass one of them")
        _from_config(config, weights)
    elif clip.startswith("local-dir:"):
        _from_folder(clip, weights)
    elif not clip.startswith("hf-hub:") and model_config_of(clip.partition(":")[0]) is None:
        name = clip.partition(":")[0]
        raise EncoderError(
            f"`clip={name}` is not a model of open_clip{did_you_mean(name, model_names())}; "
            "a custom model needs `clip_config`"
        )


def needs_transformers(model_config: Mapping[str, Any]) -> bool:
    """Whether a model's tokenizer or text tower is one of Hugging Face's transformers."""
    text = model_config["text_cfg"]
    return bool(text.get("hf_tokenizer_name") or text.get("hf_model_name"))


def is_torchscript(path: Path) -> bool:
    """Whether a file is a TorchScript archive, the form in which OpenAI published CLIP."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any("/code/" in name or name.endswith("/constants.pkl") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _from_config(config: Path, weights: Path | None) -> EncoderSource:
    if weights is None:
        raise EncoderError(f"`clip_config={config}` names a model without weights; pass `clip_weights` too")
    content = read_json(config, what="model config")
    model_config, preprocess = parts_of_config(content, config)
    return EncoderSource(config.stem, None, model_config, weights, preprocess, config.parent)


def _from_folder(clip: str, weights: Path | None) -> EncoderSource:
    schema, _, place = clip.partition(":")
    folder = Path(place) if schema == "local-dir" else _repository_snapshot(place)
    config = folder / _CONFIG_NAME
    if not config.is_file():
        raise EncoderError(f"`clip={clip}`: {folder} has no {_CONFIG_NAME}; name a folder in open_clip's form")
    model_config, preprocess = parts_of_config(read_json(config, what="model config"), config)
    if weights is None:
        candidates = [folder / name for name in _WEIGHT_NAMES] + sorted(folder.glob("*.safetensors"))
        weights = next((path for path in candidates if path.is_file()), None)
    if weights is None:
        raise EncoderError(f"`clip={clip}`: {folder} has no weights; put {' or '.join(_WEIGHT_NAMES)} there")
    return EncoderSource(place, None, model_config, weights, preprocess, folder)


def _from_name(clip: str, weights: Path | None) -> EncoderSource:
    import open_clip

    name, _, tag = clip.partition(":")
    model_config = open_clip.get_model_config(name)
    assert model_config is not None  # as `check_encoder` found
    tags = open_clip.list_pretrained_tags_by_model(name)
    if tag and tag not in tags:
        raise EncoderError(
            f"`clip={clip}`: {name} has no weights tagged {tag!r}{did_you_mean(tag, tags)}; "
            f"tags: {listing(tags, most=12)}"
        )
    if weights is not None:
        return EncoderSource(name, None, model_config, weights, _preprocess_of(name, [tag] if tag else tags))
    if not tag:
        example = f"{name}:{tags[0] if tags else 'TAG'}"
        raise EncoderError(f"`clip={name}` names no weights; add a tag ({example}) or `clip_weights`")
    pretrained = open_clip.get_pretrained_cfg(name, tag)
    other = name.removesuffix("-quickgelu") if name.endswith("-quickgelu") else f"{name}-quickgelu"
    differs = bool(pretrained.get("quick_gelu")) != bool(model_config.get("quick_gelu"))
    if differs and other in open_clip.list_models():  # else the config, which is all there is, is what was trained
        raise EncoderError(_quick_gelu_fault(name, f"the tag {tag!r}", bool(pretrained.get("quick_gelu"))))
    return EncoderSource(name, tag, model_config, _weights_of_tag(clip, pretrained), _preprocess_of(name, [tag]))


def _preprocess_of(name: str, tags: Sequence[str]) -> dict[str, Any]:
    """What the tags of a model state of its preprocessing. Raises EncoderError where they do not agree."""
    import open_clip

    stated = [open_clip.get_pretrained_cfg(name, tag) or {} for tag in tags]
    forms = [
        {key: list(one[key]) if key in ("mean", "std") else one[key] for key in PREPROCESS_KEYS if key in one}
        for one in stated
    ]
    if any(form != forms[0] for form in forms):
        raise EncoderError(
            f"`clip={name}`: its published weights were trained with different preprocessing; name the tag whose "
            f"preprocessing yours were trained with, as in `clip={name}:{tags[0]}` (tags: {listing(tags, most=12)})"
        )
    return forms[0] if forms else {}


def local_weights_of_tag(pretrained: Mapping[str, Any]) -> Path | None:
    """The file of a tag's weights on this machine, None where it is not here; `pretrained` is open_clip's entry."""
    repository, names = _place_in_hub(pretrained)
    if repository:
        return in_hub_cache(repository, names)
    cached = Path("~/.cache/clip").expanduser() / str(pretrained["url"]).rsplit("/", 1)[1]  # open_clip's own folder
    return cached if cached.is_file() else None


def _place_in_hub(pretrained: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The repository of a tag's weights and the names that they may have there; an empty one where it has a url."""
    repository, _, file_name = str(pretrained.get("hf_hub") or "").rpartition("/")
    return repository, (file_name,) if file_name else _WEIGHT_NAMES


def _weights_of_tag(clip: str, pretrained: Mapping[str, Any]) -> Path:
    """The local file of a tag's weights, downloaded by open_clip where it is not here yet."""
    import open_clip

    here = local_weights_of_tag(pretrained)
    if here is not None:
        return here
    repository, names = _place_in_hub(pretrained)
    place = f"{names[0]} from https://huggingface.co/{repository}" if repository else str(pretrained["url"])
    address = hub_endpoint() if repository else place
    advice = f"fetch {place} on a machine with network and pass it with `clip_weights`"
    if not in_reach(address):
        raise EncoderError(f"{clip}: its weights are not on this machine and there is no network; {advice}")
    try:
        return Path(open_clip.pretrained.download_pretrained(dict(pretrained)))
    except Exception as error:  # urllib, requests, httpx, hub: each has its own family
        raise EncoderError(f"{clip}: its weights cannot be downloaded ({error}); {advice}") from error


def _repository_snapshot(repository: str) -> Path:
    """The local folder of a model repository's config and weights."""
    from huggingface_hub import hf_hub_download

    config = in_hub_cache(repository, (_CONFIG_NAME,))
    weights = in_hub_cache(repository, _WEIGHT_NAMES)
    if config is not None and weights is not None:
        return config.parent
    advice = (
        f"fetch {_CONFIG_NAME} and {_WEIGHT_NAMES[0]} from https://huggingface.co/{repository} "
        "on a machine with network and pass their folder with `clip=local-dir:FOLDER`"
    )
    if not in_reach(hub_endpoint()):
        raise EncoderError(f"hf-hub:{repository} is not on this machine and there is no network; {advice}")
    try:
        config = Path(hf_hub_download(repository, _CONFIG_NAME))
        hf_hub_download(repository, _WEIGHT_NAMES[0])
    except Exception as error:  # the hub's errors share no base that all its releases have
        raise EncoderError(f"hf-hub:{repository} cannot be downloaded ({error}); {advice}") from error
    return config.parent


def _is_config_of(clip: str, config: Path) -> bool:
    """Whether a config file is of the model that a name means."""
    known = model_config_of(clip.partition(":")[0])
    return known is not None and known == parts_of_config(read_json(config, what="model config"), config)[0]


def _check_text_side(source: EncoderSource) -> None:
    """Raises EncoderError where transformers, or the files it needs, are neither here nor in reach."""
    if find_spec("transformers") is None:
        raise EncoderError(
            f"{source.name}: its text side needs transformers; install it with: pip install 'risf[transformers]'"
        )
    text = source.model_config["text_cfg"]
    wanted = {"hf_tokenizer_name": ("tokenizer.json", "tokenizer_config.json"), "hf_model_name": ("config.json",)}
    for key, names in wanted.items():
        repository = text.get(key)
        here = source.tokenizer_folder
        if not repository or (here is not None and (key == "hf_tokenizer_name" or (here / names[0]).is_file())):
            continue
        if os.path.isdir(repository) or in_hub_cache(repository, names) is not None or in_reach(hub_endpoint()):
            continue
        raise EncoderError(
            f"{source.name}: its text side needs {' and '.join(names)} of https://huggingface.co/{repository}, which "
            f"are not on this machine, and there is no network; put them into {source.folder or source.weights.parent}"
        )


def _check_quick_gelu(source: EncoderSource) -> None:
    """Refuse local weights that show they were trained with another activation than the model has.

    Activations have no weights, so such a pair loads without a word and gives wrong numbers (open_clip's own check
    only warns, and only for tags).
    """
    if source.tag is not None:
        return  # compared with the tag's own statement
    has_it = bool(source.model_config.get("quick_gelu"))
    if is_torchscript(source.weights):
        wants_it, sign = True, f"{source.weights} (a TorchScript archive, as OpenAI publishes CLIP)"
    else:
        beside = source.weights.parent / _CONFIG_NAME
        if not beside.is_file():
            return
        try:
            stated, _ = parts_of_config(read_json(beside, what="model config"), beside)
        except RisfError:
            return
        wants_it, sign = bool(stated.get("quick_gelu")), f"{source.weights} ({_CONFIG_NAME} beside it says so)"
    if wants_it != has_it:
        raise EncoderError(_quick_gelu_fault(source.name, sign, wants_it))


def _quick_gelu_fault(name: str, sign: str, wants_it: bool) -> str:
    if wants_it:
        return (
            f"`clip={name}` lacks QuickGELU, with which {sign} was trained, so its numbers would be silently wrong; "
            f"use `clip={name}-quickgelu`"
        )
    return (
        f"`clip={name}` has QuickGELU, without which {sign} was trained, so its numbers would be silently wrong; "
        f"use `clip={name.removesuffix('-quickgelu')}`"
    )
