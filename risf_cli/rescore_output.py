"""What `risf rescore` says before and after its work."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from risf_core.errors import listing

if TYPE_CHECKING:
    from risf_core.encoder.open_clip import OpenClipEncoder
    from risf_core.rescore.inputs import RescoreInputs
    from risf_core.rescore.pipeline import RescoreResult
    from risf_core.rescore.settings import RescoreSettings


def lines_before(inputs: RescoreInputs, encoder: OpenClipEncoder, settings: RescoreSettings) -> Iterator[str]:
    """What was matched and what is about to be done."""
    from risf_core.rescore.prompts import readable_name

    found = inputs.found
    yield f"read {len(inputs.file.detections)} detections of {len(inputs.vocabulary)} classes"
    if found.photos:
        yield f"found {len(found.photos)} photos by {' and '.join(found.ways)}"
    tag = f":{encoder.source.tag}" if encoder.source.tag else ""
    yield f"encoder {encoder.source.name}{tag} ({encoder.source.weights}), {encoder.precision} on {encoder.device}"
    given = encoder.preprocessing
    colours = f"RGB, {given.interpolation}, mean {_numbers(given.mean)}, std {_numbers(given.std)}"
    if encoder.compat_released:
        colours = "BGR in 0..1 by RoIAlign"
    yield f"crops {given.side}x{given.side} {given.crop}, {colours}"
    said = {name: readable_name(name, settings.aliases) for name in inputs.vocabulary.names}
    changed = [f"{name} -> {text}" for name, text in said.items() if text != name]
    if changed:
        yield f"in prompts: {listing(changed, most=8)} (--alias NAME=TEXT changes that)"


def lines_after(result: RescoreResult, record: Mapping[str, Any]) -> Iterator[str]:
    """What became of the rows."""
    counts = result.counts
    crops = f"{counts.unique_crops} distinct crops ({record['counts']['from_cache']} from the cache)"
    yield f"re-scored {counts.rescored} of {counts.read} rows by {crops} in {record['seconds']:.1f} s"
    if counts.by_score_alone:
        yield f"calibrated by their score alone: {counts.by_score_alone} rows that the encoder was not asked about"
    left = {
        "outside the score range (--min-score, --max-score)": counts.outside_score_range,
        "of other classes": counts.outside_classes,
        "without a photo": counts.without_photo,
        "without area in the photo": counts.degenerate,
        "of classes without shots": counts.without_support,
    }
    untouched = [f"{count} {why}" for why, count in left.items() if count]
    if untouched:
        yield f"{'not re-scored' if counts.by_score_alone else 'left as they are'}: {', '.join(untouched)}"
    moved = [f"{before} -> {counts.above_after[t]} over {t}" for t, before in counts.above_before.items()]
    yield f"rows over common thresholds: {', '.join(moved)}"


def _numbers(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4g}" for value in values)
