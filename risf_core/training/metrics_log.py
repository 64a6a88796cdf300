"""The metrics of a run over its iterations: JSON lines, and TensorBoard where it is installed."""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from risf_core.errors import OutputError
from risf_core.files import write_text

METRICS_NAME = "metrics.jsonl"
TENSORBOARD_NAME = "tensorboard"


class MetricsLog:
    """Appends to a run's metrics; what is beyond the iteration that a run resumes at is cut off first."""

    def __init__(self, folder: Path, *, iteration: int) -> None:
        self._path = folder / METRICS_NAME
        kept = [line for line in read_metrics(folder) if line["iteration"] <= iteration]
        write_text(self._path, "".join(json.dumps(line) + "\n" for line in kept))
        self._board: Any = None  # Any: tensorboard is optional
        if importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / TENSORBOARD_NAME), purge_step=iteration + 1)

    def write(self, iteration: int, figures: Mapping[str, float]) -> None:
        """Append one line. Raises OutputError on a full disk."""
        try:
            with open(self._path, "a", encoding="utf-8") as handle:
                handle.write(json.dumps({"iteration": iteration, **figures}) + "\n")
        except OSError as error:
            raise OutputError(f"{self._path}: cannot be written: {error.strerror or error}; free some space") from None
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, iteration)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        if self._board is not None:
            self._board.close()


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's metrics; one that a kill cut short is left out."""
    path = folder / METRICS_NAME
    if not path.is_file():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            line = json.loads(text)
            if isinstance(line, dict) and isinstance(line.get("iteration"), int):
                lines.append(line)
    return lines
