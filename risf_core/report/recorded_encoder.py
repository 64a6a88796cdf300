"""The best names of crops by the encoder that a record describes, as far as it is at hand: never downloaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from risf_core.detections import ImageId
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.protocol import CropEncoder
from risf_core.encoder.weights import EncoderSource
from risf_core.errors import EncoderError, OutputError, RisfError
from risf_core.files import sha256_of
from risf_core.photos import Photo
from risf_core.report.moved import MovedRow
from risf_core.report.naming import Asked, KeptOnly, NamedCrops, asked_in, name_crops, recorded_key
from risf_core.report.record import Record
from risf_core.vocabulary import ClassVocabulary

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder


@dataclass(frozen=True)
class EncoderPlace:
    """Where the encoder and what it has said before are to be found."""

    cache: Path | None = None  # a folder of kept embeddings
    weights: Path | None = None  # where the recorded weights lie now, if not where the record says
    source: EncoderSource | None = None  # the encoder to ask where there is no record
    device: str = "auto"
    precision: str = "auto"  # auto: the recorded one, where the device is of the recorded kind


def best_names(
    rows: Sequence[MovedRow],
    *,
    photos: Mapping[ImageId, Photo],
    record: Record | None,
    vocabulary: ClassVocabulary,
    place: EncoderPlace,
) -> NamedCrops:
    """The best names of the crops of rows, from kept embeddings where they suffice, else from the encoder itself.

    Whatever stands in the way is told in `why_not`, and is no error: a page without these names is still a page.
    """
    if not any(row.image_id in photos for row in rows):
        return NamedCrops({}, why_not="none of the detections shown has a photo")
    if record is None and place.source is None:
        return NamedCrops(
            {},
            why_not="there is no record (AFTER.record.json) beside AFTER that says which encoder was asked; "
            "risf rescore --out FILE writes one, or name an encoder with --clip or --clip-config",
        )
    asked = _asked_of(vocabulary) if record is None else asked_in(record)
    if asked is None:
        return NamedCrops({}, why_not="the record beside AFTER does not say which names and prompts were used")
    try:
        if record is None:
            assert place.source is not None
            return _by_encoder(rows, photos, _built(place.source, place), asked, place)
        recorded_key(record)  # from here on the record says enough of its encoder
        try:
            return _by_kept(rows, photos, record, asked, place)
        except (EncoderError, OutputError) as error:
            kept = str(error)
        return _by_recorded(rows, photos, record, asked, place, kept=kept)
    except RisfError as error:
        return NamedCrops({}, why_not=str(error))


def _by_kept(
    rows: Sequence[MovedRow], photos: Mapping[ImageId, Photo], record: Record, asked: Asked, place: EncoderPlace
) -> NamedCrops:
    cache = None if place.cache is None else EmbeddingCache(place.cache)
    if cache is None or not cache.path.is_file():
        raise EncoderError("there is no cache of embeddings" + ("" if place.cache is None else f" in {place.cache}"))
    named = name_crops(rows, photos=photos, encoder=CachedEncoder(KeptOnly(record), cache), asked=asked)
    return NamedCrops(named, source=f"{record['encoder']['model']}, from kept embeddings")


def _by_recorded(
    rows: Sequence[MovedRow],
    photos: Mapping[ImageId, Photo],
    record: Record,
    asked: Asked,
    place: EncoderPlace,
    *,
    kept: str,
) -> NamedCrops:
    encoder: dict[str, Any] = record["encoder"]
    weights = place.weights or Path(str(encoder.get("weights")))
    if not weights.is_file():
        raise EncoderError(f"{kept}, and the encoder's weights are not at {weights}; say where with --clip-weights")
    if sha256_of(weights) != encoder["weights_sha256"]:
        raise EncoderError(f"{kept}, and {weights} holds other weights than those that made AFTER")
    preprocessing = encoder["preprocessing"]
    stated = {name: preprocessing[name] for name in ("mean", "std", "interpolation") if name in preprocessing}
    folder = _tokenizer_folder(record, weights)
    source = EncoderSource(encoder["model"], encoder.get("tag"), encoder["config"], weights, stated, folder)
    built = _built(source, place, crop=str(preprocessing.get("crop", "squash")), recorded=encoder)
    return _by_encoder(rows, photos, built, asked, place)


def _by_encoder(
    rows: Sequence[MovedRow],
    photos: Mapping[ImageId, Photo],
    encoder: OpenClipEncoder,
    asked: Asked,
    place: EncoderPlace,
) -> NamedCrops:
    remembering: CropEncoder = encoder
    if place.cache is not None:
        remembering = CachedEncoder(encoder, EmbeddingCache(place.cache))
    named = name_crops(rows, photos=photos, encoder=remembering, asked=asked)
    return NamedCrops(named, source=f"{encoder.source.name}, {encoder.precision} on {encoder.device}")


def _built(
    source: EncoderSource, place: EncoderPlace, *, crop: str = "squash", recorded: Mapping[str, Any] | None = None
) -> OpenClipEncoder:
    from risf_core.devices import choose_device, choose_precision
    from risf_core.encoder.open_clip import OpenClipEncoder

    device = choose_device(place.device)
    precision = place.precision
    same_kind = recorded is not None and str(recorded.get("device")).partition(":")[0] == device.partition(":")[0]
    if precision == "auto" and recorded is not None and same_kind:
        precision = str(recorded["precision"])
    return OpenClipEncoder(
        source,
        device=device,
        precision=choose_precision(precision, device),
        crop="squash" if crop == "released" else crop,  # type: ignore[arg-type]  # a CropRule in every record
        compat_released=crop == "released",
    )


def _tokenizer_folder(record: Record, weights: Path) -> Path | None:
    """Where a tokenizer of the model's own lies, as `find_encoder` would have it."""
    options = record.get("options")
    options = options if isinstance(options, dict) else {}
    if options.get("clip_config"):
        return Path(str(options["clip_config"])).parent
    clip = str(options.get("clip") or "")
    if clip.startswith("local-dir:"):
        return Path(clip.partition(":")[2])
    return weights.parent if clip.startswith("hf-hub:") else None


def _asked_of(vocabulary: ClassVocabulary) -> Asked:
    """What `risf rescore` asks by default."""
    from risf_core.rescore.settings import RescoreSettings, prompts_of

    settings = RescoreSettings()
    return Asked(prompts_of(vocabulary, settings)[0], settings.temperature)
