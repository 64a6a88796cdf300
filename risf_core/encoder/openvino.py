"""open_clip's image tower as OpenVINO runs it on a CPU: exported, quantised to int8, checked, and kept in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
import json
import logging
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from risf_core.documents import typed
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import EncoderError, ImageError
from risf_core.files import read_json, write_json

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder

LEAST_COSINE = 0.995  # of int8's embeddings to float32's, in the mean over the calibration crops
_CALIBRATION_BATCHES = 3
_PACKAGES = ("openvino", "nncf")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stated:
    """What is known of an exported tower."""

    precision: Literal["int8", "fp32"]
    calibration: str | None = None  # SHA-256 of the crops that int8's ranges are from
    cosine: float | None = None  # of int8's embeddings of those crops to float32's, the mean


@dataclass(frozen=True, eq=False)
class OpenVinoTower:
    """An image tower that OpenVINO runs: normalised pixels (n, 3, side, side) in, features (n, D) out."""

    stated: Stated
    folder: Path | None  # with model.xml; loaded when the first batch comes
    model: Any = None  # Any: openvino is not typed; the model where there is no folder

    @cached_property
    def _compiled(self) -> Any:  # Any: openvino is not typed
        openvino = _openvino()
        core = openvino.Core()
        options = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        }
        model = self.model
        try:
            if model is None:
                assert self.folder is not None
                model = core.read_model(self.folder / "model.xml")
            return core.compile_model(model, "CPU", options)
        except RuntimeError as error:
            raise EncoderError(f"{self.folder}: the kept model cannot be read ({error}); delete the folder") from error

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """The features (n, D) of a batch of the size that the tower was exported for."""
        return torch.from_numpy(self._compiled(pixels.contiguous().numpy())[0])


def is_installed() -> bool:
    """Whether the extra risf[openvino] is."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


def openvino_tower(
    encoder: OpenClipEncoder,
    some_crops: Callable[[], Sequence[ImageCrops]],
    *,
    precision: Literal["int8", "fp32"],
    folder: Path | None,
) -> OpenVinoTower:
    """The image tower of an encoder (float32, on the CPU) for OpenVINO; from `folder` where it was kept there.

    int8 takes its ranges from three batches of the crops, repeated where there are fewer. Where its embeddings of them
    have a cosine below 0.995 to float32's, the tower stays in float32, and a warning says so.
    """
    if not is_installed():
        raise EncoderError('`backend=openvino` needs the packages openvino and nncf: pip install "risf[openvino]"')
    wanted = json.dumps([encoder.key, encoder.batch_size, precision, *map(version, _PACKAGES)])
    kept = None if folder is None else folder / "openvino" / hashlib.sha256(wanted.encode()).hexdigest()[:32]
    if kept is not None and (kept / "stated.json").is_file():
        stated = typed(read_json(kept / "stated.json", what="model"), Stated, source=kept, way_out="delete the folder")
        return OpenVinoTower(stated, kept)
    model = _exported(encoder)
    stated = Stated("fp32")
    pixels = _first_pixels(encoder, some_crops()) if precision == "int8" else None
    if pixels is not None:
        quantised = _quantised(model, encoder, pixels)
        tower = OpenVinoTower(stated, None, quantised)
        cosine = float(np.mean([_cosines(encoder, tower, batch).mean() for batch in _batches(encoder, pixels)]))
        stated = Stated("int8", hashlib.sha256(pixels.tobytes()).hexdigest(), round(cosine, 6))
        if cosine < LEAST_COSINE:
            _log.warning(
                "%s: int8 changes its embeddings (cosine to float32's %.3f, at least %g is asked); float32 is used",
                encoder.source.name, cosine, LEAST_COSINE,
            )  # fmt: skip
            stated = Stated("fp32", cosine=stated.cosine)
        else:
            model = quantised
    if kept is None:
        return OpenVinoTower(stated, None, model)
    _keep(model, stated, kept)
    return OpenVinoTower(stated, kept)


def _openvino() -> Any:  # Any: openvino is not typed
    """The package, kept from sending reports of its use: it imports this one for that, or goes without."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: as if it were not installed
    import openvino

    return openvino


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without the warnings of exporters and the bars that nncf draws on stdout."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _exported(encoder: OpenClipEncoder) -> Any:  # Any: openvino is not typed
    """The tower as a model of OpenVINO for batches of one size."""
    side = encoder.preprocessing.side
    shape = [encoder.batch_size, 3, side, side]
    openvino = _openvino()
    tower = encoder.torch_tower(torch.contiguous_format)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # an operation of its own, which no other runtime has
    try:
        with _silent(), torch.no_grad():
            model = openvino.convert_model(torch.export.export(tower, (torch.zeros(shape),)))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    model.reshape(shape)
    return model


def _quantised(model: Any, encoder: OpenClipEncoder, pixels: NDArray[np.uint8]) -> Any:  # Any: openvino is not typed
    _openvino()
    with _silent():
        import nncf

        nncf.set_log_level(logging.ERROR)
        attends = any(isinstance(part, torch.nn.MultiheadAttention) for part in encoder.torch_tower().modules())
        batches = [encoder.model_input(batch).contiguous().numpy() for batch in _batches(encoder, pixels)]
        return nncf.quantize(
            model.clone(),
            nncf.Dataset(batches),
            subset_size=len(batches),
            model_type=nncf.ModelType.TRANSFORMER if attends else None,
        )


def _first_pixels(encoder: OpenClipEncoder, crops: Sequence[ImageCrops]) -> NDArray[np.uint8] | None:
    """Full batches of crops (n, 3, side, side); None where no photo of them can be read."""
    parts: list[NDArray[np.uint8]] = []
    wanted = _CALIBRATION_BATCHES * encoder.batch_size
    for job in crops:
        with contextlib.suppress(ImageError):  # reported, or passed over, when its turn comes
            parts.append(encoder.preprocessing.cut(job))
        if sum(map(len, parts)) >= wanted:
            break
    if not parts:
        return None
    found = np.concatenate(parts)
    return found[np.arange(wanted) % len(found)]


def _batches(encoder: OpenClipEncoder, pixels: NDArray[np.uint8]) -> Sequence[torch.Tensor]:
    size = encoder.batch_size
    return [torch.from_numpy(pixels[start : start + size]) for start in range(0, len(pixels), size)]


@torch.inference_mode()
def _cosines(encoder: OpenClipEncoder, tower: OpenVinoTower, batch: torch.Tensor) -> NDArray[np.float64]:
    """The cosines (n,) of a batch's embeddings by OpenVINO to those by torch."""
    pixels = encoder.model_input(batch)
    cosines = torch.nn.functional.cosine_similarity(tower(pixels), encoder.torch_tower()(pixels), dim=-1)
    return cosines.double().numpy()


def _keep(model: Any, stated: Stated, folder: Path) -> None:  # Any: openvino is not typed
    """Write a model whole; where another process was first, its model stays."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as parts:
        begun = Path(parts, folder.name)
        begun.mkdir()
        _openvino().save_model(model, begun / "model.xml", compress_to_fp16=False)
        write_json(begun / "stated.json", asdict(stated))
        with contextlib.suppress(OSError):
            begun.rename(folder)
