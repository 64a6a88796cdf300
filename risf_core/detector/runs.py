"""Run folders: weights, and a `run.json` that states their architecture and classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

from risf_core.detector.architecture import Architecture, ResNetC4, TimmC4
from risf_core.documents import typed
from risf_core.errors import CheckpointError, RisfError, listing
from risf_core.files import read_json, write_json
from risf_core.vocabulary import ClassVocabulary

_Network = TypeVar("_Network", bound=Architecture)

RUN_FILE = "run.json"
RUN_WEIGHTS_PREFIX = "model_"
_MOST_BLOCKS = 1000  # ten times those of any ResNet
# What `weights=RUN` takes, in this order
WEIGHT_NAMES = ("model_final.pth", "model_final.safetensors", "model_best.pth", "model_best.safetensors")


@dataclass(frozen=True)
class RunDescription:
    """What weights are of."""

    architecture: Architecture
    vocabulary: ClassVocabulary | None

    def to_json(self) -> dict[str, Any]:
        """As plain JSON values; `description_of_json` reads them."""
        classes = None
        if self.vocabulary is not None:
            vocabulary = self.vocabulary
            classes = {
                "names": list(vocabulary.names),
                "category_ids": list(vocabulary.category_ids),
                "novel": [name for name in vocabulary.names if name in vocabulary.novel],
            }
        return {"architecture": asdict(self.architecture), "classes": classes}

    @staticmethod
    def weights_in(folder: Path) -> Path:
        """The weights of a run folder. Raises CheckpointError where it has none yet."""
        for name in WEIGHT_NAMES:
            if (folder / name).is_file():
                return folder / name
        raise CheckpointError(
            f"{folder}: the run has no weights yet ({' or '.join(WEIGHT_NAMES)}); let its training end, or name a file"
        )


def write_run(folder: Path, description: RunDescription, *, more: Mapping[str, Any] | None = None) -> None:
    """Write a run folder's `run.json`; `more` are further keys, such as the resolved config."""
    from importlib.metadata import version

    versions = {name: version(name) for name in ("risf", "torch", "torchvision")}
    write_json(folder / RUN_FILE, {"versions": versions, **description.to_json(), **(more or {})})


def read_run(folder: Path) -> RunDescription:
    """What the weights of a run folder are of. Raises CheckpointError where the folder is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise CheckpointError(f"{folder}: is not a run folder (it has no {RUN_FILE}); name a run or a file of weights")
    return description_of_json(read_json(path, what="run description"), path)


@dataclass(frozen=True)
class _Classes:
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    novel: tuple[str, ...]


@dataclass(frozen=True)
class _Stated(Generic[_Network]):
    architecture: _Network
    classes: _Classes | None = None


def description_of_json(content: Any, source: Path) -> RunDescription:
    """The description that `to_json` wrote. Raises CheckpointError naming `source` where it is another."""
    architecture = content.get("architecture") if isinstance(content, dict) else None
    kind: Any = TimmC4 if isinstance(architecture, dict) and "model" in architecture else ResNetC4  # Any: a parameter
    stated: _Stated[Architecture] = typed(
        content, _Stated[kind], source=source, way_out="was it edited?", fault=CheckpointError
    )
    unknown = set(content["architecture"]) - {field.name for field in fields(stated.architecture)}
    if unknown:
        raise CheckpointError(
            f"{source}: its architecture has {listing(sorted(unknown))}, which this version of risf does not know; "
            "update risf"
        )
    if stated.architecture.block_count > _MOST_BLOCKS:
        raise CheckpointError(f"{source}: its architecture has too many blocks; was it edited?")
    classes = stated.classes
    if classes is None:
        return RunDescription(stated.architecture, None)
    try:
        vocabulary = ClassVocabulary(classes.names, classes.category_ids, frozenset(classes.novel))
    except RisfError as error:
        raise CheckpointError(f"{source}: {error}") from None
    return RunDescription(stated.architecture, vocabulary)
