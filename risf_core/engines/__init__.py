"""Who runs the network: torchvision's operators, or detectron2 where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from risf_core.choices import Engine
from risf_core.errors import ConfigError

if TYPE_CHECKING:
    from risf_core.detector.architecture import Architecture
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


def require_network(engine: Engine, architecture: Architecture) -> None:
    """Raise ConfigError where an engine does not have an architecture's network."""
    from risf_core.detector.architecture import ResNetC4

    if engine == "detectron2" and not isinstance(architecture, ResNetC4):
        raise ConfigError(
            f"`engine=detectron2` has ResNet alone, and the network is {architecture.name}; take `engine=torchvision`"
        )


def on_engine(model: Detector, engine: Engine) -> Detector:
    """The model on an engine: itself, or detectron2's of the same weights, which answers to the same calls."""
    if engine == "torchvision":
        return model
    require_engine(engine)
    require_network(engine, model.architecture)
    from risf_core.engines.detectron2.model import detectron2_model

    return detectron2_model(model)
