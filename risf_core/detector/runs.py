"""Run folders: weights, and a `run.json` that says of what architecture and classes they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from risf_core.detector.architecture import Architecture, InputSettings
from risf_core.errors import CheckpointError, RisfError, listing
from risf_core.files import read_json, write_json
from risf_core.vocabulary import ClassVocabulary

RUN_FILE = "run.json"
RUN_WEIGHTS_PREFIX = "model_"
# What `--weights RUN` takes, in this order
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
        raise CheckpointError(f"{folder}: is no run folder (it has no {RUN_FILE}); name a run or a file of weights")
    return description_of_json(read_json(path, what="run description"), path)


def description_of_json(content: Any, source: Path) -> RunDescription:
    """The description that `to_json` wrote. Raises CheckpointError naming `source` where it is another."""
    try:
        stated = dict(content["architecture"])
        unknown = set(stated) - {field.name for field in fields(Architecture)}
        if unknown:
            raise CheckpointError(
                f"{source}: its architecture has {listing(sorted(unknown))}, which this version of risf does not know; "
                "update risf"
            )
        stated["inputs"] = InputSettings(**_with_tuples(stated["inputs"]))
        architecture = Architecture(**_with_tuples(stated))
        classes = content.get("classes")
        vocabulary = None
        if classes is not None:
            vocabulary = ClassVocabulary(
                tuple(classes["names"]), tuple(classes["category_ids"]), frozenset(classes["novel"])
            )
    except RisfError:
        raise
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{source}: does not describe a run of risf ({error!r}); was it edited?") from None
    return RunDescription(architecture, vocabulary)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
