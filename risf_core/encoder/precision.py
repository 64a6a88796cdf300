"""Which number format an encoder runs in on this CPU: measured on a few crops, and remembered beside the cache."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from risf_core.choices import Precision
from risf_core.documents import typed
from risf_core.errors import RisfError
from risf_core.files import read_json, write_json

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder

FILE_NAME = "precision.json"
SHORT_RUN = 20.0  # seconds of work; below it nothing is measured
LEAST_GAIN = 1.3  # how many times as fast as float32 another format must be
_SHARE, _SECONDS = 0.05, 2.0  # of the run, or at least so long: what measuring may cost


@dataclass(frozen=True)
class Measured:
    """The chosen format, and the crops a second of each that was tried."""

    chosen: Precision
    crops_per_second: Mapping[str, float] = field(default_factory=dict)


def measured_precision(encoder: OpenClipEncoder, *, crops: int, folder: Path | None) -> Measured:
    """float32, or bfloat16 where that is at least 1.3 times as fast for this model on this CPU.

    What was measured is kept in `folder`, so that the same machine computes the same numbers; without a folder, and
    for runs of less than 20 seconds, nothing is measured and the answer is float32.

    Args:
        encoder: in float32 on the CPU.
        crops: how many are to be encoded.
    """
    if folder is None:
        return Measured("fp32")
    known, key = remembered(folder), _key(encoder)
    if key in known:
        return known[key]
    once = 1 / encoder.crops_per_second("fp32", 1)
    if crops * once < SHORT_RUN:
        return Measured("fp32")
    seconds = max(_SECONDS, _SHARE * crops * once)
    count = min(max(int(seconds / (6 * once)), 1), encoder.batch_size)  # two formats, three passes each
    rates = {name: encoder.crops_per_second(name, count) for name in ("fp32", "bf16")}
    measured = Measured("bf16" if rates["bf16"] >= LEAST_GAIN * rates["fp32"] else "fp32", rates)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / FILE_NAME, {**{name: vars(one) for name, one in known.items()}, key: vars(measured)})
    return measured


def remembered(folder: Path) -> dict[str, Measured]:
    """What was measured before, by machine and model; nothing where the file is damaged, which costs a measurement."""
    path = folder / FILE_NAME
    if not path.is_file():
        return {}
    try:
        return typed(read_json(path, what="file of precisions"), dict[str, Measured], source=path, way_out="delete it")
    except RisfError:
        return {}


def _key(encoder: OpenClipEncoder) -> str:
    import torch

    return f"{encoder.source.name}, {platform.processor() or platform.machine()} of {platform.node()}, torch " + (
        f"{torch.__version__}, {torch.get_num_threads()} threads"
    )
