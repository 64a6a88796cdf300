"""What a training run prints, as plain words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from risf_cli.metrics_tables import percent

if TYPE_CHECKING:
    from risf_core.training.meter import Progress

_SHORT = {"loss_rpn_cls": "rpn", "loss_rpn_loc": "rpn box", "loss_cls": "class", "loss_box_reg": "box"}
_FIRST = ("AP", "AP50", "AP75", "bAP", "nAP")


def progress_line(progress: Progress) -> str:
    """Losses, rate, speed, time left and memory, in one line."""
    parts = ", ".join(f"{_SHORT[name]} {value:.3f}" for name, value in progress.losses.items())
    left = timedelta(seconds=round((progress.iterations - progress.iteration) * progress.seconds_per_iteration))
    words = [
        f"{progress.iteration}/{progress.iterations}",
        f"loss {progress.loss:.3f} ({parts})",
        f"rate {progress.learning_rate:.2g}",
        f"{1 / progress.seconds_per_iteration:.2f} it/s",
        f"{progress.loading_share:.0%} loading",
        f"{left} left",
    ]
    if progress.memory_bytes is not None:
        words.append(f"{progress.memory_bytes / 2**30:.1f} GiB")
    return "  ".join(words)


def evaluation_line(iteration: int, figures: Mapping[str, float]) -> str:
    """The first figures of an evaluation, in percent."""
    shown = [f"{name} {percent(figures[name])}" for name in _FIRST if name in figures]
    return f"iteration {iteration}, held-out images: {', '.join(shown)}"
