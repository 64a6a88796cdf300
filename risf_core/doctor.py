"""What of this machine the toolkit can use: versions, devices, precision, encoder, each with a verdict in one line."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from risf_core.engines import require_engine
from risf_core.errors import ConfigError, EncoderError, RisfError, counted

Status = Literal["ok", "note", "fault"]

_LEAST_PYTHON = (3, 10)
_LOADED = ("torch", "torchvision.ops", "open_clip")  # built against each other: they are loaded, not only looked at


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A fault keeps something from working; a note is good to know."""

    name: str
    value: str
    status: Status
    verdict: str  # one line, with the fix where it is a fault

    def to_json(self) -> dict[str, str]:
        """The four texts by name."""
        return asdict(self)


def examine(
    *,
    clip: str,
    clip_weights: Path | None = None,
    clip_config: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    precision: str = "auto",
) -> Iterator[Finding]:
    """Findings, one after the other as they are made. Nothing is downloaded and nothing is left behind.

    Args:
        clip, clip_weights, clip_config: the encoder that is looked for, as `find_encoder` takes them.
        cache: the folder of embeddings; None: none is wanted.
        device, precision: what is wanted, auto or one by name.
    """
    yield _python()
    yield from _packages()
    yield _detectron2()
    yield _cache(cache)
    yield _evaluator()
    yield from _devices(device, precision)
    yield _libraries()  # open_clip takes longest, so that what needs it comes last
    yield _encoder(clip, clip_weights, clip_config)
    yield _support_encoders()


def _python() -> Finding:
    least = ".".join(map(str, _LEAST_PYTHON))
    version = platform.python_version()
    where = f"{platform.system()} {platform.machine()}, {sys.executable}"
    if sys.version_info < _LEAST_PYTHON:
        return Finding("python", version, "fault", f"risf needs Python {least} or newer; {where}")
    return Finding("python", version, "ok", where)


def _packages() -> Iterator[Finding]:
    """The packages that risf requires, as its own metadata state them."""
    try:
        stated = metadata.requires("risf") or []
        own = metadata.version("risf")
    except metadata.PackageNotFoundError:
        yield Finding("risf", "not installed", "fault", "it runs from its folder without metadata; pip install . there")
        return
    yield Finding("risf", own, "ok", f"in {Path(__file__).parent.parent}")
    try:
        from packaging.requirements import InvalidRequirement, Requirement
    except ImportError:
        yield Finding("packaging", "missing", "fault", "versions cannot be compared; pip install packaging")
        return
    for line in stated:
        with contextlib.suppress(InvalidRequirement):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate():
                yield _package(requirement.name, str(requirement.specifier))


def _package(name: str, specifier: str) -> Finding:
    from packaging.specifiers import SpecifierSet

    repair = f'pip install "{name}{specifier}"'
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", "fault", f"risf needs it: {repair}")
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return Finding(name, version, "fault", f"risf needs {specifier}: {repair}")
    return Finding(name, version, "ok", f"fits {specifier}" if specifier else "any version fits")


def _devices(device: str, precision: str) -> Iterator[Finding]:
    """What computes here, which of it is taken, and in which number format."""
    from risf_core.devices import usable_cores

    yield Finding("cpu", counted(usable_cores(), "core"), "ok", _processor())
    try:
        import torch

        for number in range(torch.cuda.device_count()):
            about = torch.cuda.get_device_properties(number)
            memory = f"{about.total_memory / 2**30:.0f} GB, compute capability {about.major}.{about.minor}"
            yield Finding(f"cuda:{number}", about.name, "ok", memory)
        from risf_core.devices import choose_device, choose_precision

        chosen = choose_device(device)
        why = "as asked" if device != "auto" else "auto takes a CUDA GPU, then Apple's, then the CPU"
        if chosen == "cpu" and torch.version.cuda is None and device == "auto":
            why += "; this torch is built without CUDA"
        yield Finding("device", chosen, "ok", why)
        format_chosen = choose_precision(precision, chosen)
        yield Finding(
            "precision", format_chosen, "ok", "as asked" if precision != "auto" else _why(format_chosen, chosen)
        )
    except RisfError as error:
        yield Finding("device", device, "fault", str(error))
    except Exception as error:  # torch, or a driver under it, is broken
        yield Finding("device", "unknown", "fault", f"torch cannot tell ({_first_line(error)}); install it again")


def _why(precision: str, device: str) -> str:
    """Why auto takes a number format on a device."""
    if precision == "bf16":
        if device == "cpu":
            return "auto: this CPU has bfloat16; rescore measures whether it is faster there, and else takes float32"
        return "auto: the GPU multiplies bfloat16 natively"
    if precision == "fp16":
        return "auto: the GPU has half precision but no native bfloat16"
    return "auto: this CPU has no AVX512-BF16 or AMX, and half formats would be slower"


def _evaluator() -> Finding:
    why = _why_not_loaded("ultrafast_pycocotools")
    if why is None:
        return Finding("evaluator", "ultrafast-pycocotools", "ok", "the values of pycocotools, faster")
    if _why_not_loaded("pycocotools.cocoeval") is None:
        return Finding(
            "evaluator", "pycocotools", "note", f"the fast one cannot be loaded ({why}); slower, same values"
        )
    return Finding("evaluator", "none", "fault", "neither evaluator can be loaded; pip install pycocotools")


def _libraries() -> Finding:
    """Whether the libraries that are built against each other load together."""
    for module in _LOADED:
        why = _why_not_loaded(module)
        if why is not None:
            name = module.partition(".")[0]
            return Finding("libraries", name, "fault", f"it cannot be loaded ({why}); install it again")
    return Finding("libraries", ", ".join(module.partition(".")[0] for module in _LOADED), "ok", "load together")


def _why_not_loaded(module: str) -> str | None:
    """The reason why a library cannot be imported, None where it can; nothing else is done with it."""
    try:
        importlib.import_module(module)
    except Exception as error:  # a library built against another one raises whatever it likes; the finding says what
        return _first_line(error)
    return None


def _encoder(clip: str, weights: Path | None, config: Path | None) -> Finding:
    """Whether the encoder's files are on this machine; nothing is downloaded to find out."""
    name = str(config.stem if config is not None else clip)
    try:
        from risf_core.encoder.weights import find_encoder

        with _offline():
            source = find_encoder(clip, weights=weights, config=config)
        size = source.weights.stat().st_size / 2**20
    except EncoderError as error:
        text, _, advice = str(error).partition("; ")
        if "no network" not in text:
            return Finding("encoder", name, "fault", str(error))
        verdict = f"its weights are not here yet; the first risf rescore downloads them, or {advice}"
        return Finding("encoder", name, "note", verdict)
    except RisfError as error:
        return Finding("encoder", name, "fault", str(error))
    except Exception as error:  # open_clip or a library below it is broken
        return Finding("encoder", name, "fault", f"it cannot be looked for ({_first_line(error)})")
    return Finding("encoder", name, "ok", f"{source.weights} ({size:,.0f} MB)")


def _support_encoders() -> Finding:
    """Which of the recommended image-only encoders are on this machine."""
    try:
        from risf_core.encoder.catalogue import known_image_encoders

        here = [each.name for each in known_image_encoders() if each.weights is not None]
    except Exception as error:  # timm or a library below it is broken
        return Finding("support encoders", "unknown", "note", f"they cannot be looked for ({_first_line(error)})")
    if not here:
        verdict = "image-only encoders for example boxes, none needed; risf encoders lists some"
        return Finding("support encoders", "none here", "note", verdict)
    return Finding("support encoders", f"{len(here)} here", "ok", ", ".join(here))


def _cache(folder: Path | None) -> Finding:
    """Whether embeddings can be kept."""
    if folder is None:
        return Finding("cache", "none", "note", "embeddings are not kept: every run encodes all crops")
    files = list(folder.glob("embeddings*.sqlite")) if folder.is_dir() else []
    held = sum(path.stat().st_size for path in files) / 2**20
    place = next((parent for parent in (folder, *folder.parents) if parent.is_dir()), None)
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        why = error.strerror or error
        return Finding("cache", str(folder), "fault", f"cannot be written: {why}; give `cache` another folder, or none")
    return Finding("cache", str(folder), "ok", f"can be written, holds {held:,.0f} MB")


def _detectron2() -> Finding:
    try:
        present = importlib.util.find_spec("detectron2") is not None
        version = metadata.version("detectron2") if present else ""
    except (metadata.PackageNotFoundError, ValueError, ImportError):
        version = "unknown version"
    if not present:
        return Finding(
            "detectron2",
            "not installed",
            "note",
            "needed by the engine detectron2 alone: risf has the detector in plain torch",
        )
    try:
        require_engine("detectron2")
    except ConfigError as error:
        return Finding("detectron2", version, "fault", str(error))
    return Finding("detectron2", version, "ok", "present: the engine detectron2 trains and predicts with it")


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Within it a look-up of weights stays on this machine."""
    before = os.environ.get("HF_HUB_OFFLINE")
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["HF_HUB_OFFLINE"]
        else:
            os.environ["HF_HUB_OFFLINE"] = before


def _processor() -> str:
    """The CPU's name, where the system says it."""
    listing = Path("/proc/cpuinfo")
    if listing.is_file():
        for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
