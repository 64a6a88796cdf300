"""The folder of a training run: what it was asked for, and whether it may be begun, resumed or replaced."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.config import FREE_KEYS, ConfigInForce
from risf_core.detector.runs import RUN_FILE, RunDescription, write_run
from risf_core.documents import typed
from risf_core.errors import ConfigError, OutputError, listing
from risf_core.files import read_json, write_failure, write_text
from risf_core.locks import locked_folder
from risf_core.training.metrics_log import METRICS_NAME, TENSORBOARD_NAME
from risf_core.training.saving import BEST, FINAL, LAST

CONFIG_NAME = "config.yaml"
_OWN_FILES = (RUN_FILE, CONFIG_NAME, METRICS_NAME, LAST, BEST, FINAL)
# Below the folder: a run that is to replace another, until its first checkpoint; and while it takes the other's place
_NEW, _READY = ".new", ".ready"


@dataclass(frozen=True)
class RunRecord:
    """What a run was asked for; a run may be resumed only with an equal one."""

    config: ConfigInForce
    inputs: Mapping[str, str]  # what was read -> its SHA-256

    def flat(self) -> dict[str, Any]:  # Any: JSON
        """All that must not change between the parts of a run."""
        stated = {key: value for key, value in self.config.values.flat().items() if key not in FREE_KEYS}
        return {**stated, **{f"inputs.{name}": digest for name, digest in self.inputs.items()}}

    @property
    def digest(self) -> str:
        """The SHA-256 of `flat`, by which a checkpoint knows its run."""
        return hashlib.sha256(json.dumps(self.flat(), sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class OpenedRun:
    """A run folder that is ready."""

    record: RunRecord
    resumes: bool  # there is a checkpoint to continue from
    replaces: bool  # the run of before stays until this one has a checkpoint


def holds_run(folder: Path) -> bool:
    """Whether a training run was begun in a folder."""
    return any((folder / name).is_file() for name in (RUN_FILE, LAST))


@contextlib.contextmanager
def run_folder(folder: Path, *, resume: bool, force: bool) -> Iterator[None]:
    """A run's folder for this process alone, until the run ends.

    Raises ConfigError where another process has it, or where it holds a run and neither `resume` nor `force` is given;
    OutputError where it cannot be made.
    """
    try:
        with locked_folder(folder):
            _tidy(folder)
            if holds_run(folder) and not (resume or force):
                raise ConfigError(
                    f"{folder}: already holds a run; continue it (`resume`), replace it (`force`), or name another "
                    "folder"
                )
            try:
                yield
            finally:
                shutil.rmtree(folder / _NEW, ignore_errors=True)
    except OSError as error:
        if error.filename is None or not Path(error.filename).is_relative_to(folder):
            raise
        raise OutputError(write_failure(folder, error)) from error


def open_run(folder: Path, record: RunRecord, description: RunDescription, *, resume: bool, force: bool) -> OpenedRun:
    """Make the folder ready for the run. Raises ConfigError where `resume` finds one of other settings."""
    if resume and not force and (folder / RUN_FILE).is_file():
        _refuse_changes(folder, record)
        return OpenedRun(record, resumes=(folder / LAST).is_file(), replaces=False)
    replaces = holds_run(folder)
    place = folder / _NEW if replaces else folder
    if not replaces:
        _remove_own_files(folder)
    write_text(place / CONFIG_NAME, config_text(record.config))
    more = {"config": record.config.values.to_json(), "inputs": dict(record.inputs)}
    write_run(place, description, more=more)
    return OpenedRun(record, resumes=False, replaces=replaces)


def folder_until_checkpoint(folder: Path, *, replaces: bool) -> Path:
    """Where a run writes its files before it has a checkpoint."""
    return folder / _NEW if replaces else folder


def replace_run(folder: Path) -> None:
    """Let the new run take the place of the old one."""
    (folder / _NEW).rename(folder / _READY)
    _tidy(folder)


def _tidy(folder: Path) -> None:
    """Finish a replacement that has begun, also one that a kill broke off; drop a run that got no checkpoint."""
    ready = folder / _READY
    if (ready / RUN_FILE).is_file():  # it is moved first, when nothing of the old run is left
        _remove_own_files(folder)
        (ready / RUN_FILE).replace(folder / RUN_FILE)
    if ready.is_dir():
        for path in ready.iterdir():
            path.replace(folder / path.name)
        ready.rmdir()
    shutil.rmtree(folder / _NEW, ignore_errors=True)


def _remove_own_files(folder: Path) -> None:
    for name in _OWN_FILES:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / TENSORBOARD_NAME, ignore_errors=True)


def config_text(config: ConfigInForce) -> str:
    """The settings as a config file, each with where it came from."""
    lines = []
    for section, values in config.values.to_json().items():
        lines.append(f"{section}:")
        for key, value in values.items():
            origin = config.origins[f"{section}.{key}"].strip("`")
            lines.append(f"  {key}: {json.dumps(value, ensure_ascii=False)}  # {origin}")
    return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class _Begun:
    config: dict[str, dict[str, Any]]  # Any: JSON
    inputs: dict[str, str]


def _refuse_changes(folder: Path, record: RunRecord) -> None:
    content = read_json(folder / RUN_FILE, what="run description")
    stated = typed(content, _Begun, source=folder / RUN_FILE, way_out="start again with `force`")
    before = {f"{section}.{key}": value for section, part in stated.config.items() for key, value in part.items()}
    before |= {f"inputs.{name}": digest for name, digest in stated.inputs.items()}
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
