"""The working folder: defaults for the commands' options, from risf.yaml or from the published layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from risf_core.documents import parse_yaml
from risf_core.errors import ConfigError, did_you_mean
from risf_core.files import SETTINGS_FILE, read_text

# Where the literature keeps things (TFA, DeFRCN): option -> the paths that serve as its default where they exist.
# `images` takes all that exist, the other options the first.
PUBLISHED_LAYOUT: Mapping[str, tuple[str, ...]] = {
    "annotations": ("cocosplit/datasplit/5k.json", "coco/annotations/instances_val2014.json"),
    "images": ("coco/val2014", "coco/train2014"),
    "split": ("risfsplit/coco20", "risfsplit/voc1", "risfsplit/voc2", "risfsplit/voc3", "risfsplit/own"),
}
DATA_ROOT = "datasets"
SPLIT_ROOT = "risfsplit"  # below it one split a novel set, as `risf prepare-splits` writes them

# (command, option) -> files of the working folder that are its default, as far as they are there.
WORKING_FILES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("evaluate", "detections"): ("detections.json", "rescored.json"),
    ("report", "before"): ("detections.json",),
    ("report", "after"): ("rescored.json",),
}
# Where trainings leave their runs: command -> option -> the folders that serve as its default, the first that exists.
RUN_LAYOUT: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "predict": {"weights": ("runs/fsod", "runs/gfsod", "runs/base")},
    "finetune": {"weights": ("runs/base",)},
}
# Below the data root: what base training starts from (where DeFRCN looks for it)
PRETRAINED = "ImageNetPretrained/MSRA/R-101.pkl"

# (command, shared key) -> its option: what one command writes, the next ones read under the same key
WRITTEN: Mapping[tuple[str, str], str] = {("prepare-splits", "split"): "out"}

# Keys of risf.yaml that hold for every command that has such an option; a section named like a command holds for it.
SHARED_KEYS: tuple[str, ...] = (
    "annotations",
    "classes",
    "images",
    "novel",
    "split",
    "clip",
    "clip_weights",
    "clip_config",
    "cache",
    "device",
    "precision",
    "workers",
)

# Options that do not count where a stronger source states one of the others: these do the same, or belong to what they
# replace.
_RIVALS: Mapping[str, tuple[str, ...]] = {
    "after": ("before",),
    "annotations": ("classes",),
    "classes": ("annotations",),
    "clip_config": ("clip",),
    "clip_weights": ("clip", "clip_config"),
    "coco": ("voc", "yolo", "split"),
    "split": ("coco",),
    "voc": ("coco", "yolo"),
    "yolo": ("coco", "voc"),
    "held_out": ("coco", "voc", "yolo"),
    "published": ("coco", "voc", "yolo"),
}

Value: TypeAlias = Any  # a YAML value, until its option has read it
Reader: TypeAlias = Callable[[Value], Value]  # what an option takes of it; raises ConfigError where it is of no use


@dataclass(frozen=True)
class Project:
    """What a working folder says of the options that a person leaves out."""

    folder: Path
    settings: Mapping[str, Value] = field(default_factory=dict)  # by option name: clip_weights, never clip-weights

    def defaults(
        self, command: str, options: Mapping[str, Reader], *, commands: Sequence[str], given: Collection[str] = ()
    ) -> dict[str, Value]:
        """The default of each of a command's options that risf.yaml or the layout has one for.

        Args:
            options: each option's name, and what reads its value.
            commands: every command, so that the sections of others are known.
            given: the options that the person states; they need no default, and their rivals get none.

        Raises ConfigError, all faults at once, where risf.yaml has a key or a value that is of no use.
        """
        sections = [_option(name) for name in commands]
        faults = [*self._unknown_keys(command, options, sections)]
        section = self.settings.get(_option(command))
        found = {name: value for name, value in self._layout(command).items() if name in options}
        for prefix, level in (("", self.settings), (f"[{command}] ", section if isinstance(section, dict) else {})):
            renamed = {
                WRITTEN.get((command, name), name): value
                for name, value in level.items()
                if not (isinstance(value, dict) and name in sections)  # cache is a key and a command
            }
            stated = {name: value for name, value in renamed.items() if name in options and value is not None}
            found = {name: value for name, value in found.items() if stated.keys().isdisjoint(_RIVALS.get(name, ()))}
            for name, value in stated.items():
                try:
                    found[name] = options[name](value)
                except ConfigError as error:
                    faults.append(f"{prefix}{name}: {error}")
        if faults:
            raise ConfigError(f"{SETTINGS_FILE}: " + "; ".join(faults))
        rivals = {name: {name, *_RIVALS.get(name, ())} for name in found}
        return {name: value for name, value in found.items() if rivals[name].isdisjoint(given)}

    def default_split(self, command: str, *, novel: str | None = None) -> Path | None:
        """The split that the published layout has for a novel set (default: the one that risf.yaml states)."""
        shown = self._data_root()
        places = [shown / place for place in self._split_places(novel or self._novel_of(command))]
        return next((place for place in places if os.path.exists(self.folder / place)), None)

    def _layout(self, command: str) -> dict[str, Value]:
        shown = self._data_root()
        found: dict[str, Value] = {}
        for option, places in PUBLISHED_LAYOUT.items():
            if (command, option) == ("tune", "annotations"):
                continue  # the published annotations are the test set, which nothing may be fitted to
            if option == "split":
                places = self._split_places(self._novel_of(command))
            present = [str(shown / place) for place in places if os.path.exists(self.folder / shown / place)]
            if present:
                found[option] = present if option == "images" else present[0]
        for (owner, option), names in WORKING_FILES.items():
            present = [name for name in names if os.path.isfile(self.folder / name)]
            if owner == command and present:
                found[option] = present if len(names) > 1 else present[0]
        if command == "base-train" and os.path.isfile(self.folder / shown / PRETRAINED):
            found["weights"] = str(shown / PRETRAINED)
        for option, folders in RUN_LAYOUT.get(command, {}).items():
            runs = [folder for folder in folders if os.path.isfile(self.folder / folder / "run.json")]
            if runs:
                found[option] = runs[0]
        return found

    def _data_root(self) -> Path:
        return Path(str(self.settings.get("data_root") or DATA_ROOT)).expanduser()

    def _novel_of(self, command: str) -> Value:
        section = self.settings.get(_option(command))
        return (section.get("novel") if isinstance(section, dict) else None) or self.settings.get("novel")

    def _split_places(self, novel: Value) -> tuple[str, ...]:
        """Where a split may lie: never that of another novel set than the one in force."""
        places = PUBLISHED_LAYOUT["split"]
        own = f"{SPLIT_ROOT}/{novel}"
        return (own,) if own in places else places

    def _unknown_keys(self, command: str, options: Collection[str], commands: Sequence[str]) -> Iterator[str]:
        known = ("data_root", *SHARED_KEYS)
        for key, value in self.settings.items():
            if key in commands:
                if not isinstance(value, dict | None) and key not in SHARED_KEYS:
                    yield f"[{key}] must be a section of options, got {value!r}"
            elif key in options and key not in known:
                yield f"{key!r} is an option of {command}; put it under {command}:"
            elif key not in known:
                yield f"unknown key {key!r}{did_you_mean(key, [*known, *commands])}"
        if not isinstance(self.settings.get("data_root"), str | None):
            yield f"data_root must be a folder, got {self.settings['data_root']!r}"
        section = self.settings.get(_option(command))
        for key in section if isinstance(section, dict) else ():
            if key not in options:
                yield f"[{command}] has no option {key!r}{did_you_mean(key, options)}"


def load_project(folder: Path | None = None) -> Project:
    """The project of a folder (default: the working folder); without a risf.yaml only the layout speaks."""
    folder = folder or Path()
    path = folder / SETTINGS_FILE
    if not os.path.isfile(path):
        return Project(folder)
    content = parse_yaml(read_text(path, what="settings file"), source=SETTINGS_FILE, fault=ConfigError)
    if content is None:
        return Project(folder)
    if not isinstance(content, dict):
        raise ConfigError(f"{SETTINGS_FILE}: holds {type(content).__name__}, not keys and values")
    settings = {_option(key): _with_option_keys(value) for key, value in content.items()}
    return Project(folder, settings)


def _with_option_keys(value: Value) -> Value:
    return {_option(key): part for key, part in value.items()} if isinstance(value, dict) else value


def _option(key: object) -> str:
    """The option's name of a key: both `clip-weights` and `clip_weights` are accepted."""
    return str(key).replace("-", "_")
