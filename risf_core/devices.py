"""Which device, number format and cores heavy work runs on; chosen from what the hardware has, never by timing."""

from __future__ import annotations

import os
from pathlib import Path

from risf_core.choices import PRECISIONS, Precision
from risf_core.errors import ConfigError, counted, did_you_mean

_BF16_CPU_FLAGS = ("avx512_bf16", "amx_bf16")  # x86 instructions that multiply bfloat16 natively


def choose_device(name: str = "auto") -> str:
    """The torch device string for `name`: auto takes a CUDA GPU, Apple's, the CPU.

    Under torchrun, auto and a cuda without a number are the GPU of the process's own.

    Raises ConfigError where the device is not on this machine.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return _own_gpu()
        return "mps" if torch.backends.mps.is_available() else "cpu"
    kind, colon, number = name.partition(":")
    numbered = kind == "cuda" and number.isascii() and number.isdecimal()
    if kind not in ("cpu", "cuda", "mps") or (colon and not numbered):
        raise ConfigError(f"`device={name}` is not a device; give auto, cpu, cuda, cuda:N or mps")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ConfigError(f"`device={name}`: torch sees no CUDA GPU here; give cpu or auto")
    if kind == "cuda" and number and int(number) >= torch.cuda.device_count():
        raise ConfigError(
            f"`device={name}`: this machine has {counted(torch.cuda.device_count(), 'GPU')}, counted from cuda:0"
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"`device={name}`: torch sees no Apple GPU here; give cpu or auto")
    return _own_gpu() if name == "cuda" and "LOCAL_RANK" in os.environ else name


def _own_gpu() -> str:
    """The GPU of this process: torchrun counts those of a machine, and they share where there are fewer GPUs."""
    import torch

    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"


def choose_precision(name: str, device: str) -> Precision:
    """The number format for `name` on `device`.

    auto: bfloat16 where the hardware multiplies it natively (a GPU of compute capability 8 or more; a CPU with
    AVX512-BF16 or AMX), else float16 on other GPUs and float32 on other CPUs, where half formats are slower. On a CPU
    that is only what may be worth trying: see `encoder.precision`.
    """
    if name not in PRECISIONS:
        raise ConfigError(
            f"`precision={name}` is unknown{did_you_mean(name, PRECISIONS)}; give {', '.join(PRECISIONS)}"
        )
    if name != "auto":
        return name  # type: ignore[return-value]  # one of PRECISIONS, checked above
    if device.startswith("cuda"):
        import torch

        return "bf16" if torch.cuda.get_device_capability(device)[0] >= 8 else "fp16"
    if device == "mps":
        return "fp16"
    return "bf16" if cpu_has_bfloat16() else "fp32"


def cpu_has_bfloat16() -> bool:
    """Whether this CPU multiplies bfloat16 natively (AVX512-BF16 or AMX)."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        flags = listing.read_text(encoding="utf-8", errors="replace").split()
        return any(flag in flags for flag in _BF16_CPU_FLAGS)
    import torch

    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch's own test, where the release has it
    return bool(supported()) if supported is not None else False


def usable_cores() -> int:
    """The cores that this process may use: more workers than these would only wait for each other."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch or Python says that there is no memory left, on whatever device."""
    import torch

    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    # the CPU's allocator and Apple's raise a plain RuntimeError
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")
    )
