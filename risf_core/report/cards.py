"""The cards of the page's gallery: each detection whose score moved, with its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from risf_core.errors import counted, listing
from risf_core.report.comparison import Comparison
from risf_core.report.gallery import Gallery, image_name
from risf_core.report.moved import Kind, MovedRow
from risf_core.report.verdicts import FALSE, TRUE
from risf_core.rescore.prompts import readable_name
from risf_core.rescore.record import Record, value_at

_KINDS: Mapping[Kind, tuple[str, str]] = {
    "rises": ("Largest rises", "detections in both files with a higher score in AFTER"),
    "falls": ("Largest falls", "detections in both files with a lower score in AFTER"),
    "false removed": ("False positives removed", "false detections that AFTER no longer keeps at {threshold}"),
    "true lost": ("True detections lost", "true detections that AFTER no longer keeps at {threshold}"),
    "true gained": ("True detections gained", "true detections that AFTER newly keeps at {threshold}"),
    "false added": ("False positives added", "false detections that AFTER newly keeps at {threshold}"),
}
NO_NAMES = "AFTER has no clip_names (the encoder's names for the crops); risf rescore without --plain writes them"
_VERDICTS = {TRUE: "true", FALSE: "false"}


@dataclass(frozen=True)
class Card:
    """One detection as the page shows it."""

    class_name: str
    image: str
    picture: str | None
    absent: str  # why there is no picture; empty where none was asked for
    verdict: str
    tone: str
    before: str
    after: str
    shares: str  # what the encoder said of the class, in brackets; empty where AFTER does not keep it
    names: Sequence[tuple[str, str, bool]]  # a name, its probability, whether it is the row's own class


@dataclass(frozen=True)
class KindCards:
    """The cards of one kind."""

    title: str
    note: str
    cards: Sequence[Card]


def build_cards(comparison: Comparison, gallery: Gallery, *, record: Record | None) -> list[KindCards]:
    """Every kind of moved detection with its cards, if any; nothing at all where no row is in both files."""
    if not len(comparison.pairs):
        return []
    aliases = _aliases(record)
    names = comparison.truth.vocabulary.names
    kinds = []
    for kind, (title, what) in _KINDS.items():
        own = gallery.moved[kind]
        what = what.format(threshold=f"{comparison.before.kept.threshold:g}")
        note = f"{own.count:,} {what}"
        note += f"; the {len(own.rows)} strongest are shown, each box once." if own.count > len(own.rows) else "."
        cards = [_card(row, comparison, gallery, name=names[row.label], aliases=aliases) for row in own.rows]
        kinds.append(KindCards(title, note, cards))
    return kinds


def pairs_note(comparison: Comparison) -> str:
    """Which rows the two files share, and what can be shown of the others."""
    pairs = comparison.pairs
    only = len(pairs.only_before), len(pairs.only_after)
    if not len(pairs):
        return (
            "The two files have no detection in common (same image, class and box), so single detections cannot be "
            "compared; the figures above compare the files as a whole."
        )
    if not any(only):
        return f"All {len(pairs):,} detections are in both files (same image, class and box)."
    return (
        f"{counted(len(pairs), 'detection')} in both files (same image, class and box), {only[0]:,} in BEFORE alone "
        f"and {only[1]:,} in AFTER alone. Rises and falls are of those in both; a detection missing in AFTER counts as "
        "dropped."
    )


def names_note(gallery: Gallery) -> str:
    """What is written next to each picture, and how to get the encoder's names where AFTER has none."""
    return (
        "Each detection is shown with its class, the score before and after, and the encoder's top names for the crop. "
        "Green boxes are true detections, orange ones false."
        if gallery.has_names
        else f"{NO_NAMES}."
    )


def missing_note(comparison: Comparison, gallery: Gallery) -> str:
    """Which pictures are missing and why; empty where none is."""
    if not gallery.asked_for_pictures:
        return "There are no pictures because no folder of photos was given (--images)."
    sentences = []
    if gallery.absent:
        names = [image_name(comparison.truth, image_id) for image_id in gallery.absent]
        why = sorted(set(gallery.absent.values()))
        sentences.append(
            f"{counted(len(names), 'image')} without a picture: {listing(names, most=10)} ({listing(why, most=3)})."
        )
    if gallery.left_out:
        sentences.append(f"{counted(gallery.left_out, 'picture')} left out to keep the page small.")
    return " ".join(sentences)


def _card(row: MovedRow, comparison: Comparison, gallery: Gallery, *, name: str, aliases: Mapping[str, str]) -> Card:
    class_name = comparison.truth.vocabulary.names[row.label]
    own = (class_name, readable_name(class_name, aliases))  # as the example boxes are called, and as the prompt has it
    verdict = _VERDICTS.get(row.verdict, "")
    return Card(
        class_name=name,
        image=image_name(comparison.truth, row.image_id),
        picture=gallery.pictures.get(row),
        absent=_absent(row, gallery),
        verdict=verdict or "not counted",
        tone=verdict,
        before=_score(row.score_before),
        after=_score(row.score_after),
        shares=_shares(row),
        names=[(text, f"{100 * share:.0f} %", text in own) for text, share in row.clip_names],
    )


def _shares(row: MovedRow) -> str:
    parts = {"encoder": row.score_clip, "shots": row.score_support}
    shown = ", ".join(f"{name} {value:.3f}" for name, value in parts.items() if value is not None)
    return f"({shown})" if shown else ""


def _absent(row: MovedRow, gallery: Gallery) -> str:
    if not gallery.asked_for_pictures:
        return ""
    return f"no picture: {gallery.absent.get(row.image_id, 'left out to keep the page small')}"


def _score(value: float | None) -> str:
    return "missing" if value is None else f"{value:.3f}"


def _aliases(record: Record | None) -> Mapping[str, str]:
    aliases = value_at(record or {}, "settings", "aliases")
    return {str(key): str(text) for key, text in aliases.items()} if isinstance(aliases, dict) else {}
