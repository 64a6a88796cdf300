"""Who runs the network: torchvision's operators, or detectron2 where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from risf_core.choices import Engine
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.detector.model import Detector


DETECTRON2_SOURCE = "https://github.com/facebookresearch/detectron2"


def require_engine(engine: Engine) -> None:
    """Raise ConfigError where an engine's library cannot be imported; it names the source and the fix."""
    if engine == "torchvision":
        return
    try:
        import detectron2
        import detectron2.modeling  # noqa: F401  # the compiled part too, which another torch cannot load
    except ImportError as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == "detectron2"
        why = "is not installed" if absent else f"cannot be imported ({' '.join(str(error).split())})"
        raise ConfigError(
            f"`engine=detectron2`: detectron2 {why}; install it from {DETECTRON2_SOURCE} (INSTALL.md there, for your "
            "torch), or take `engine=torchvision`, which runs the same weights to the same boxes"
        ) from None


def on_engine(model: Detector, engine: Engine) -> Detector:
    """The model on an engine: itself, or detectron2's of the same weights, which answers to the same calls."""
    if engine == "torchvision":
        return model
    require_engine(engine)
    from risf_core.engines.detectron2.model import detectron2_model

    return detectron2_model(model)
