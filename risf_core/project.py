"""The working folder: defaults for the commands' options, from risf.yaml or from the published layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from risf_core.errors import ConfigError, did_you_mean

FILE_NAME = "risf.yaml"

# Where the literature keeps things (TFA, DeFRCN): option -> the paths that serve as its default where they exist.
# `images` takes all that exist, the other options the first.
PUBLISHED_LAYOUT: Mapping[str, tuple[str, ...]] = {
    "annotations": ("cocosplit/datasplit/5k.json", "coco/annotations/instances_val2014.json"),
    "images": ("coco/val2014", "coco/train2014"),
}
DATA_ROOT = "datasets"

# Keys of risf.yaml that hold for every command that has such an option; a section named like a command holds for it.
SHARED_KEYS: tuple[str, ...] = (
    "annotations", "classes", "images", "novel",
    "clip", "clip_weights", "clip_config", "device", "precision", "workers",
)  # fmt: skip


@dataclass(frozen=True)
class Project:
    """What a working folder says of the options that a person leaves out."""

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: YAML values, typed by the option they reach

    def defaults(self, command: str, parameters: Sequence[str], *, commands: Sequence[str]) -> dict[str, Any]:
        """The default of each of a command's parameters that risf.yaml or the layout has one for.

        Raises ConfigError, all faults at once, where risf.yaml has a key that no command knows.
        """
        self._check(command, parameters, commands)
        found: dict[str, Any] = {name: value for name, value in self._layout().items() if name in parameters}
        found |= {_option(key): value for key, value in self.settings.items() if _option(key) in parameters}
        section = self.settings.get(command) or {}
        found |= {_option(key): value for key, value in section.items()}
        if "classes" in found and "classes" in {**self.settings, **section} and "annotations" not in self.settings:
            found.pop("annotations", None)  # classes that a person named beat annotations that merely lie there
        return found

    def _layout(self) -> dict[str, Any]:
        root = self.folder / str(self.settings.get("data_root", DATA_ROOT))
        shown = Path(str(self.settings.get("data_root", DATA_ROOT)))
        found: dict[str, Any] = {}
        for option, places in PUBLISHED_LAYOUT.items():
            present = [str(shown / place) for place in places if (root / place).exists()]
            if present:
                found[option] = present if option == "images" else present[0]
        return found

    def _check(self, command: str, parameters: Sequence[str], commands: Sequence[str]) -> None:
        known = ("data_root", *SHARED_KEYS)
        faults = []
        for key, value in self.settings.items():
            if key in commands:
                if not isinstance(value, dict | None):
                    faults.append(f"[{key}] must be a section of options, got {value!r}")
            elif _option(key) not in known:
                faults.append(f"unknown key {key!r}{did_you_mean(key, [*known, *commands])}")
        section = self.settings.get(command)
        for key in section if isinstance(section, dict) else ():
            if _option(key) not in parameters:
                faults.append(f"[{command}] has no option {key!r}{did_you_mean(_option(key), parameters)}")
        if faults:
            raise ConfigError(f"{FILE_NAME}: " + "; ".join(faults))


def load_project(folder: Path | None = None) -> Project:
    """The project of a folder (default: the working folder); without a risf.yaml only the layout speaks."""
    folder = folder or Path()
    path = folder / FILE_NAME
    if not path.is_file():
        return Project(folder)
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{FILE_NAME}: is not valid YAML: {' '.join(str(error).split())}") from None
    if content is None:
        return Project(folder)
    if not isinstance(content, dict):
        raise ConfigError(f"{FILE_NAME}: holds {type(content).__name__}, not keys and values")
    return Project(folder, content)


def _option(key: str) -> str:
    """The parameter's name of a key: both `clip-weights` and `clip_weights` are accepted."""
    return str(key).replace("-", "_")
