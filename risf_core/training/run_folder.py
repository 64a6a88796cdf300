"""The folder of a training run: what it was asked for, and whether it may be begun, resumed or replaced."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.config import FREE_KEYS, ConfigInForce
from risf_core.detector.runs import RUN_FILE, RunDescription, write_run
from risf_core.errors import ConfigError, DataError, listing
from risf_core.files import read_json, write_text
from risf_core.training.metrics_log import METRICS_NAME, TENSORBOARD_NAME
from risf_core.training.saving import BEST, FINAL, LAST

CONFIG_NAME = "config.yaml"
_OWN_FILES = (RUN_FILE, CONFIG_NAME, METRICS_NAME, LAST, BEST, FINAL)


@dataclass(frozen=True)
class RunRecord:
    """What a run was asked for; a run may be resumed with an equal one alone."""

    config: ConfigInForce
    inputs: Mapping[str, str]  # what was read -> its SHA-256

    def flat(self) -> dict[str, Any]:  # Any: JSON
        """All that must not change between the parts of a run."""
        stated = {key: value for key, value in self.config.values.flat().items() if key not in FREE_KEYS}
        return {**stated, **{f"inputs.{name}": digest for name, digest in self.inputs.items()}}


def holds_run(folder: Path) -> bool:
    """Whether a training run was begun in a folder."""
    return any((folder / name).is_file() for name in (RUN_FILE, LAST))


def open_run(folder: Path, record: RunRecord, description: RunDescription, *, resume: bool, force: bool) -> bool:
    """Make the folder ready for the run; returns whether there is a checkpoint to go on from.

    Raises ConfigError where it holds a run and neither `resume` nor `force` is given, or one of other settings.
    """
    if holds_run(folder) and not (resume or force):
        raise ConfigError(
            f"{folder}: already holds a run; go on with it (`resume`), replace it (`force`), or name another folder"
        )
    if resume and not force and (folder / RUN_FILE).is_file():
        _refuse_changes(folder, record)
        return (folder / LAST).is_file()
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD_NAME, ignore_errors=True)
    write_text(folder / CONFIG_NAME, config_text(record.config))
    more = {"config": record.config.values.to_json(), "inputs": dict(record.inputs)}
    write_run(folder, description, more=more)
    return False


def config_text(config: ConfigInForce) -> str:
    """The settings as a config file, each with where it came from."""
    lines = []
    for section, values in config.values.to_json().items():
        lines.append(f"{section}:")
        for key, value in values.items():
            lines.append(f"  {key}: {json.dumps(value, ensure_ascii=False)}  # {config.origins[f'{section}.{key}']}")
    return "\n".join(lines) + "\n"


def _refuse_changes(folder: Path, record: RunRecord) -> None:
    content = read_json(folder / RUN_FILE, what="run description")
    try:
        before = {f"{s}.{key}": value for s, part in content["config"].items() for key, value in part.items()}
        before |= {f"inputs.{name}": digest for name, digest in content["inputs"].items()}
    except (KeyError, AttributeError, TypeError):
        raise DataError(f"{folder / RUN_FILE}: says nothing of a training run; start it anew with `force`") from None
    now = record.flat()
    keys = dict.fromkeys([*now, *(key for key in before if key not in FREE_KEYS)])
    changed = [
        f"{key} (was {_brief(before.get(key))}, now {_brief(now.get(key))})"
        for key in keys
        if before.get(key) != now.get(key)
    ]
    if changed:
        raise ConfigError(
            f"{folder}: the run was begun with other settings: {listing(changed, most=8)}; "
            "resume it with those, or replace it with `force`"
        )


def _brief(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:12]}..."
