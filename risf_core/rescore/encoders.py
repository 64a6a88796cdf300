"""The encoders of a run, opened: one for class names, and one for shots where another was chosen for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from risf_core.choices import EvidenceKind
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.choice import EncoderChoice, with_cache
from risf_core.encoder.image_only import ImageEncoder, open_image_encoder
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.rescore.settings import RescoreSettings
from risf_core.rescore.support import SupportChoice

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder


@dataclass(frozen=True, eq=False)
class Encoders:
    """Who is asked for class names and who for shots; nobody where evidence is "none"."""

    of_names: (
        OpenClipEncoder | None
    )  # also of the shots where those have none of their own; None: nobody asks for names
    of_shots: ImageEncoder | None
    caches: dict[str, CachedEncoder]  # around them, by their key; empty where nothing is kept

    @property
    def main(self) -> OpenClipEncoder | ImageEncoder:
        """The encoder of the names, or of the shots where no names are asked for."""
        encoder = self.of_names or self.of_shots
        assert encoder is not None
        return encoder

    @property
    def second(self) -> ImageEncoder | None:
        """The encoder of the shots beside that of the names."""
        return self.of_shots if self.of_names is not None else None

    @property
    def key(self) -> str | None:
        """The key of the main encoder; None where nobody is asked."""
        return None if self.of_names is None and self.of_shots is None else self.main.key

    @property
    def second_key(self) -> str | None:
        """The key of the second."""
        return None if self.second is None else self.second.key

    @property
    def hits(self) -> int:
        """Embeddings of crops that the caches knew, so far."""
        return sum(cached.hits for cached in self.caches.values())

    def through_cache(self, encoder: OpenClipEncoder | ImageEncoder) -> CropEncoder:
        """One of the encoders, asked only for what its cache does not know."""
        return self.caches.get(encoder.key, encoder) if self.caches else encoder

    def asked(self) -> tuple[CropEncoder | None, CropEncoder | None]:
        """Main and second encoder, each through its cache; None where there is none."""
        if self.key is None:
            return None, None
        return self.through_cache(self.main), None if self.second is None else self.through_cache(self.second)

    def completed(self, settings: RescoreSettings) -> RescoreSettings:
        """The settings with what the encoder of the names states of itself."""
        return settings if self.of_names is None else settings.with_scale(*self.of_names.scale_and_bias)

    def descriptions(self) -> dict[str, Any]:
        """What a record says of them."""
        second = None if self.second is None else self.second.description
        return {"encoder": None if self.key is None else self.main.description, "support_encoder": second}


def open_encoders(
    choice: EncoderChoice,
    support: SupportChoice | None,
    evidence: EvidenceKind,
    *,
    crops: int,
    cache: Path | None,
    some_crops: Callable[[], Sequence[ImageCrops]] = lambda: (),
    span_machines: bool = False,
    talk: Callable[[str], None] | None = None,
) -> Encoders:
    """The chosen encoders. Imports torch, so call it when the input has been checked; arguments as `open` has them."""
    if evidence == "none":
        return Encoders(None, None, {})
    if talk is not None:
        talk("loading the encoder")
    of_shots = None
    if support is not None and support.support_encoder is not None:
        of_shots = open_image_encoder(support.support_encoder, weights=support.support_weights, run=choice)
    of_names = None
    if evidence != "support" or of_shots is None:
        of_names = choice.open(crops=crops, cache=cache, some_crops=some_crops)
    caches = {}
    for encoder in (of_names, of_shots):
        cached = None if encoder is None else with_cache(encoder, cache, span_machines=span_machines)
        if cached is not None:
            caches[cached.key] = cached
    return Encoders(of_names, of_shots, caches)


def encoder_lines(encoders: Encoders, settings: RescoreSettings) -> Iterator[str]:
    """Which encoders run, and how crops are made for them."""
    for encoder in (encoders.of_names, encoders.of_shots):
        if encoder is not None:
            said = encoder.description
            tag = f":{said['tag']}" if said.get("tag") else ""
            licence = f", licence of its published weights: {said['licence']}" if said.get("licence") else ""
            kind = "support encoder" if encoder is encoders.of_shots else "encoder"
            yield f"{kind} {said['model']}{tag} ({said['weights']}), {said['precision']} on {said['device']}{licence}"
            if encoder is encoders.of_names:
                own = " (the encoder's own)" if settings.temperature == encoders.of_names.scale_and_bias[0] else ""
                yield f"temperature {settings.temperature:g}{own}"
            yield f"crops {_crops(said['preprocessing'])}"


def _crops(given: dict[str, Any]) -> str:
    """How crops are made, in words."""
    side = f"{given['side']}x{given['side']} " if "side" in given else ""
    if given["crop"] == "released":
        return f"{side}released, BGR in 0..1 by RoIAlign"
    scaling = f"{given['interpolation']}, " if "interpolation" in given else ""
    return f"{side}{given['crop']}, RGB, {scaling}mean {_numbers(given['mean'])}, std {_numbers(given['std'])}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
