"""The whole job of `risf convert-checkpoint`: weights of any form in, weights of another out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from risf_core.choices import CheckpointForm
from risf_core.detector.checkpoint import Checkpoint, read_checkpoint
from risf_core.detector.checkpoint_writing import RUN_WEIGHTS, Written, write_checkpoint
from risf_core.detector.runs import RUN_FILE
from risf_core.errors import listing
from risf_core.outputs import check_not_read, check_writable


@dataclass(frozen=True)
class Conversion:
    """What was converted, and what the form could not hold."""

    checkpoint: Checkpoint
    written: Written
    form: CheckpointForm

    def lines(self) -> Iterator[str]:
        """What became of the weights, a line each."""
        checkpoint, written = self.checkpoint, self.written
        yield (
            f"{checkpoint.source} ({checkpoint.form}) -> {written.path} ({self.form}): {written.parameters} parameters"
        )
        for names, what in (
            (checkpoint.implied, "not in the file, but implied by its format"),
            (checkpoint.left_out, "in the file, but not a parameter of the network"),
            (written.left_out, f"that the format {self.form} cannot hold"),
            (written.folded, "norms folded into scale and shift, equal up to rounding"),
        ):
            if names:
                yield f"{what}: {len(names)}: {listing(names)}"

    def to_json(self) -> dict[str, Any]:  # Any: JSON
        """What `risf convert-checkpoint --json` prints."""
        return {
            "source": {"path": str(self.checkpoint.source), "form": self.checkpoint.form},
            "out": {"path": str(self.written.path), "form": self.form},
            "architecture": self.checkpoint.architecture.name,
            "classes": self.checkpoint.class_count,
            "parameters": self.written.parameters,
            "implied": list(self.checkpoint.implied),
            "not_of_the_network": list(self.checkpoint.left_out),
            "without_a_place": list(self.written.left_out),
            "folded_norms": list(self.written.folded),
        }


def convert_weights(
    source: Path, out: Path, *, form: CheckpointForm, allow_pickle: bool = False, architecture: str | None = None
) -> Conversion:
    """Write weights in another form, every number as it is; `out` is a file, or for "run" a folder.

    Args:
        architecture: ``timm/NAME`` where `source` has timm's names.

    Raises OutputError and ConfigError where `out` cannot be written or is read here, CheckpointError as
    `read_checkpoint` and `write_checkpoint` do.
    """
    targets = [out / RUN_WEIGHTS, out / RUN_FILE] if form == "run" else [out]
    for target in targets:
        check_writable(target)
    checkpoint = read_checkpoint(source, allow_pickle=allow_pickle, architecture=architecture)
    for target in targets:
        check_not_read(target, [checkpoint.source, checkpoint.source.parent / RUN_FILE])
    return Conversion(checkpoint, write_checkpoint(checkpoint, out, form=form), form)
