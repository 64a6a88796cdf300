"""Which number format an encoder runs in on this CPU: measured on a few crops, and remembered beside the cache."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from risf_core.choices import Precision
from risf_core.documents import typed
from risf_core.errors import RisfError
from risf_core.files import read_json, write_json

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder

Format = Literal["fp32", "bf16", "fp16", "int8"]
FILE_NAME = "precision.json"
SHORT_RUN = 20.0  # seconds of work; below it nothing is measured
INT8_RUN = 120.0  # below it int8 is not tried: to export and quantise a model takes half a minute
LEAST_GAIN = 1.3  # how many times as fast as float32 another format must be
_SHARE, _SECONDS = 0.05, 2.0  # of the run, or at least so long: what measuring may cost


@dataclass(frozen=True)
class Measured:
    """The chosen format, and the crops a second of each that was tried."""

    chosen: Format
    crops_per_second: Mapping[Format, float] = field(default_factory=dict)


def measured_precision(
    encoder: OpenClipEncoder,
    *,
    formats: Sequence[Precision],
    crops: int,
    folder: Path | None,
    int8: Callable[[], OpenClipEncoder] | None = None,
) -> Measured:
    """The first of some number formats, or another that is 1.3 times as fast for this model on this CPU.

    What was measured is kept in `folder`, so that the same machine computes the same numbers; without a folder, and
    for runs of less than 20 seconds, nothing is measured and the answer is the first. int8 is tried in runs of over two
    minutes.

    Args:
        encoder: in the first format on the CPU.
        formats: of torch.
        crops: how many are to be encoded.
        int8: the encoder quantised, where that can be had.
    """
    first = formats[0]
    if folder is None or (len(formats) == 1 and int8 is None):
        return Measured(first)
    known, key = remembered(folder), _key(encoder) + (", int8" if int8 is not None else "")
    if key in known:
        return known[key]
    once = 1 / encoder.crops_per_second(first, 1)
    if crops * once < (SHORT_RUN if len(formats) > 1 else INT8_RUN):
        return Measured(first)
    seconds = max(_SECONDS, _SHARE * crops * once)
    count = min(max(int(seconds / (6 * once)), 1), encoder.batch_size)  # two formats, three passes each
    rates: dict[Format, float] = {name: encoder.crops_per_second(name, count) for name in formats}
    if int8 is not None and crops / max(rates.values()) >= INT8_RUN:
        quantised = int8()
        if quantised.precision == "int8":  # else it was too far from float32
            rates["int8"] = quantised.crops_per_second("fp32", encoder.batch_size)
    fastest = max(rates, key=rates.__getitem__)
    measured = Measured(fastest if rates[fastest] >= LEAST_GAIN * rates[first] else first, rates)
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
