"""The settings of a training run: YAML into frozen dataclasses, all faults at once, and where each value comes from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from risf_core.choices import Engine, LossPreset, PrecisionChoice, RecordForm, Setting
from risf_core.documents import parse_yaml, read_yaml, setting_value
from risf_core.errors import ConfigError, DataError, did_you_mean

Value: TypeAlias = Any  # a YAML value, until its field's type has read it

DEFAULT = "default"

_Count = Annotated[int, Meta(ge=1)]
_Index = Annotated[int, Meta(ge=0)]
_Side = Annotated[int, Meta(ge=16, le=10_000)]  # pixels; an image of 10,000 x 10,000 is 300 MB
_Positive = Annotated[float, Meta(ge=0)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Dropout = Annotated[float, Meta(ge=0, le=0.999)]
_Seed = Annotated[int, Meta(ge=0, le=1_000_000_000)]  # torch takes it with an iteration and a process counted in


@dataclass(frozen=True)
class DataConfig:
    """Which boxes of which images, and how an image becomes an example."""

    setting: Setting = "base"
    split: Path | None = None  # a folder of `risf prepare-splits`, or one in TFA's layout
    coco: tuple[Path, ...] = ()  # instead of a split: COCO JSON files whose boxes are all trained on
    images: tuple[Path, ...] = ()  # folders of photos
    novel: str | None = None  # of a split in TFA's layout, which does not say it
    shots: _Count | None = None
    seed: _Index = 0  # of the split: which shots
    records: RecordForm = "image"  # VOC as published: one record a box
    held_out: Path | None = None  # COCO JSON to evaluate on; None: the split's own test images
    held_out_images: _Count | None = None  # evaluate on the first N; None: on all
    short_sides: Annotated[tuple[_Side, ...], Meta(min_length=1)] = (640, 672, 704, 736, 768, 800)  # one drawn an image
    long_side: Annotated[int, Meta(ge=16)] = 1333  # pixels at most
    flip: _Share = 0.5  # how often an image is mirrored
    aspect_grouping: bool = True  # batches hold landscape or portrait images, not both
    workers: _Index = 4  # processes that decode images; 0: the training process itself


@dataclass(frozen=True)
class ModelConfig:
    """The network, what it starts from, and what of it trains."""

    architecture: str = "auto"  # r50, r101, timm/NAME ...; auto: that of the weights
    weights: Path | None = None  # a checkpoint or a run folder; None: fresh weights
    weights_classes: Path | None = None  # the classes of weights that do not name them: a COCO JSON or a list of names
    rpn_gradient_scale: _Positive = 0.0  # DeFRCN's lambda before the RPN
    rcnn_gradient_scale: _Positive = 0.75  # and before the RoI heads
    classifier_dropout: _Dropout = 0.0
    freeze_at: Annotated[int, Meta(ge=0, le=4)] | None = None  # first stages that never train; None: the architecture's
    freeze_res5: bool = False
    drop_path: _Dropout = 0.0  # of a timm network: how often its last block is left out
    activation_checkpointing: bool = False  # blocks run again in the backward pass: less memory, a third more time


@dataclass(frozen=True)
class LossConfig:
    """The classification loss: a preset, and numbers that replace the preset's."""

    preset: LossPreset = "cross-entropy"
    alpha: _Share | None = None
    gamma: _Positive | None = None
    epsilon: _Positive | None = None
    background_weight: _Positive | None = None


@dataclass(frozen=True)
class SolverConfig:
    """The optimiser, its schedule as for the published batch, and how the work is done."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: _Positive = 0.02  # at the published batch of 16
    schedule: Literal["coco", "voc"] = "coco"  # whose published iterations of the few-shot stage
    iterations: _Count | None = None  # at the published batch; None: the published ones for the shots
    steps: tuple[_Index, ...] | None = None  # the rate falls to a tenth at each; None: as published
    warmup_iterations: _Index = 0
    momentum: Annotated[float, Meta(ge=0, le=0.999999)] = 0.9  # AdamW's first beta
    weight_decay: _Positive = 5e-5
    layer_decay: _Share = 1.0  # each block of the network has its successor's rate times this; the heads the whole rate
    clip_gradients: _Positive = 0.0  # to this norm of all of them together; 0: not at all
    batch: _Count = 16  # images an optimiser step; below 16 rate and iterations are scaled
    scale_schedule: bool = True  # False: rate and iterations are taken as they stand, whatever the batch
    images_per_step: _Count = 2  # images a process holds at once; the rest of the batch is accumulated
    engine: Engine = "torchvision"  # who runs the network: the same weights and boxes
    seed: _Seed = 0  # of the order of images, flips, sizes, sampled boxes and fresh weights
    device: str = "auto"
    precision: PrecisionChoice = "fp32"
    channels_last: bool = False
    log_every: _Count = 20  # iterations between two lines of metrics
    checkpoint_every: _Count = 1000  # iterations between two checkpoints
    evaluate_every: _Index = 0  # iterations between two evaluations on the held-out set; 0: never


@dataclass(frozen=True)
class Config:
    """All settings of a run."""

    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)

    def to_json(self) -> dict[str, dict[str, Any]]:  # Any: JSON
        """Sections of plain JSON values, the keys in the order of the fields."""
        return dict(json.loads(msgspec.json.encode(self, enc_hook=str)))

    def flat(self) -> dict[str, Any]:  # Any: JSON
        """``section.key`` -> plain JSON value."""
        return {f"{name}.{key}": value for name, part in self.to_json().items() for key, value in part.items()}


SECTIONS: Mapping[str, type] = {entry.name: type(getattr(Config(), entry.name)) for entry in fields(Config)}
_TYPES: Mapping[str, Any] = {  # Any: annotations
    f"{section}.{name}": hint
    for section, kind in SECTIONS.items()
    for name, hint in get_type_hints(kind, include_extras=True).items()
}
KEYS: tuple[str, ...] = tuple(_TYPES)

# Not of the run's result: a run may be resumed with others
FREE_KEYS = frozenset(
    {
        "data.workers",
        "data.images",
        "model.activation_checkpointing",
        "solver.engine",
        "solver.device",
        "solver.log_every",
        "solver.checkpoint_every",
    }
)


@dataclass(frozen=True)
class ConfigInForce:
    """The settings, and of each ``section.key`` where its value comes from."""

    values: Config
    origins: Mapping[str, str]

    def with_values(self, changes: Mapping[str, Value], *, origin: str) -> ConfigInForce:
        """The same with other values, which are not checked again."""
        return ConfigInForce(_replaced(self.values, changes), {**self.origins, **dict.fromkeys(changes, origin)})


def read_config(
    path: Path | None = None,
    *,
    overrides: Sequence[str] = (),
    options: Mapping[str, tuple[str, Value]] | None = None,
) -> ConfigInForce:
    """The settings of a YAML file over the file that it extends over the defaults.

    Args:
        overrides: ``section.key=value``, as ``--set`` takes them; they beat the file.
        options: ``section.key`` -> the option's name and value; options beat the file, overrides beat them.

    Raises ConfigError that names all faults: file, key, value and the nearest valid one.
    """
    faults: list[str] = []
    layers = [*_file_layers(path, faults)] if path is not None else []
    layers += [(name, {key: value}) for key, (name, value) in (options or {}).items()]
    layers += [("--set", _override(text, faults)) for text in overrides]
    found: dict[str, Value] = {}
    origins = dict.fromkeys(KEYS, DEFAULT)
    for origin, layer in layers:
        for key, value in layer.items():
            try:
                found[key] = _checked(key, value, origin)
                origins[key] = origin
            except ConfigError as fault:
                faults.append(str(fault))
    if faults:
        raise ConfigError("; ".join(faults))
    return ConfigInForce(_replaced(Config(), found), origins)


def published_config(name: str) -> Path:
    """The file of a published config, ``coco/base`` for one. Raises ConfigError where there is none."""
    folders = _published_folders()
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder / f"{name}.yaml"
    known = sorted({str(path.relative_to(f).with_suffix("")) for f in folders for path in f.glob("*/*.yaml")})
    raise ConfigError(f"there is no config {name!r}{did_you_mean(name, known)}; published are {', '.join(known)}")


def _published_folders() -> tuple[Path, Path]:
    package = Path(__file__).resolve().parent
    return package / "configs", package.parent / "configs"  # installed from a wheel, or from a checkout


def find_config(name: str) -> Path:
    """A config by its path, or a published one by its name."""
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix in (".yaml", ".yml"):
        raise ConfigError(f"{name}: there is no such config; check the path")
    return published_config(name)


def _file_layers(path: Path, faults: list[str]) -> Iterator[tuple[str, dict[str, Value]]]:
    """The file that `path` extends, then `path` itself, each flat."""
    content = _read_yaml(path)
    parent = content.pop("extends", None)
    if parent is not None and not isinstance(parent, str):
        faults.append(f"{path}: extends: {parent!r} is not the name of a file")
    elif parent is not None:
        base = _read_yaml(path.parent / parent)
        if "extends" in base:
            faults.append(f"{path.parent / parent}: is extended by {path.name}, so it cannot extend a file itself")
            base.pop("extends")
        yield _shown_path(path.parent / parent), _flattened(path.parent / parent, base, faults)
    yield _shown_path(path), _flattened(path, content, faults)


def _shown_path(path: Path) -> str:
    """The path as a person knows it: that of a published config without the folder of the installation."""
    published = any(folder in path.parents for folder in _published_folders())
    return str(Path("configs", *path.parts[-2:])) if published else str(path)


def _read_yaml(path: Path) -> dict[str, Value]:
    content = read_yaml(path, what="config", fault=ConfigError)
    if not isinstance(content, dict | None):
        raise ConfigError(f"{path}: holds {type(content).__name__}, not sections of keys and values")
    return content or {}


def _flattened(path: Path, content: Mapping[str, Value], faults: list[str]) -> dict[str, Value]:
    flat: dict[str, Value] = {}
    for section, part in content.items():
        if section not in SECTIONS:
            known = [*SECTIONS, "extends"]
            faults.append(
                f"{path}: there is no section {section!r}{did_you_mean(str(section), known)}; {', '.join(SECTIONS)}"
            )
        elif not isinstance(part, dict | None):
            faults.append(f"{path}: [{section}] must hold keys and values, got {part!r}")
        else:
            for key, value in (part or {}).items():
                if f"{section}.{key}" in KEYS:
                    flat[f"{section}.{key}"] = value
                else:
                    faults.append(f"{path}: {_no_such_key(section, str(key))}")
    return flat


def _override(text: str, faults: list[str]) -> dict[str, Value]:
    key, equals, value = (part.strip() for part in text.partition("="))
    section, dot, name = key.partition(".")
    if not equals or not dot:
        faults.append(f"--set {text!r} is not section.key=value, as in solver.batch=8")
    elif section not in SECTIONS:
        faults.append(f"--set {text}: there is no section {section!r}{did_you_mean(section, SECTIONS)}")
    elif key not in KEYS:
        faults.append(f"--set {text}: {_no_such_key(section, name)}")
    else:
        return {key: _yaml_value(value)}
    return {}


def _yaml_value(text: str) -> Value:
    try:
        return parse_yaml(text, source="--set")
    except DataError:
        return text


def _no_such_key(section: str, key: str) -> str:
    return f"[{section}] has no key {key!r}{did_you_mean(key, [entry.name for entry in fields(SECTIONS[section])])}"


def _checked(key: str, value: Value, origin: str) -> Value:
    hint = _TYPES[key]
    if tuple in (get_origin(part) for part in (hint, *get_args(hint))) and not isinstance(value, list | None):
        value = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else [value]
    section, _, name = key.partition(".")
    return setting_value(value, hint, source=f"{origin}: [{section}] {name}")


def _replaced(config: Config, changes: Mapping[str, Value]) -> Config:
    """The config with other values of ``section.key``."""
    for key, value in changes.items():
        section, _, name = key.partition(".")
        config = replace(config, **{section: replace(getattr(config, section), **{name: value})})
    return config
