"""What `rescore` and `tune` share: settings and shots from a command's options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from risf_core.errors import ConfigError
from risf_core.progress import Progress

if TYPE_CHECKING:
    from risf_core.choices import EvidenceKind
    from risf_core.encoder.protocol import CropEncoder
    from risf_core.rescore.prototypes import Prototypes
    from risf_core.rescore.settings import RescoreSettings
    from risf_core.rescore.support import Shots
    from risf_core.vocabulary import ClassVocabulary

Options = Mapping[str, Any]  # Any: a command's options by name, of every type


def settings_of(options: Options, *, keep_parts: bool = True) -> RescoreSettings:
    """The settings that the options state; a fusion file in the place of a rule leaves the rule at its default."""
    from risf_core.choices import FUSION_RULES
    from risf_core.rescore.settings import RescoreSettings

    template, background = options["template"], options["background"]
    rule = options.get("fusion", "linear")
    return RescoreSettings(
        alpha=options.get("alpha", 0.7),
        fusion=RescoreSettings.fusion if fusion_file(rule, FUSION_RULES) is not None else rule,
        temperature=options["temperature"],
        templates=tuple(template) if template else RescoreSettings.templates,
        background=None if background == "none" else background,
        aliases=_aliases(options["alias"] or []),
        classes=_class_choice(options["rescore_classes"]),
        softmax_over=options["softmax_over"],
        min_score=options["min_score"],
        max_score=options["max_score"],
        keep_parts=keep_parts,
        evidence=evidence_kind(options["evidence"], options["support"]),
    )


def fusion_file(rule: str, rules: Sequence[str]) -> Path | None:
    """The file that --fusion names, None where it names a rule (or nothing that is known)."""
    return Path(rule) if rule not in rules and (rule.endswith(".json") or Path(rule).is_file()) else None


def evidence_kind(choice: EvidenceKind | None, support: Path | None) -> EvidenceKind:
    """What speaks for a class. Raises ConfigError where shots should and none are named, or are and must not."""
    kind: EvidenceKind = choice or ("text" if support is None else "both")
    if kind != "text" and support is None:
        raise ConfigError(f"--evidence {kind} needs shots: pass --support SPLIT or a COCO JSON of a few boxes a class")
    if kind == "text" and support is not None:
        raise ConfigError("--evidence text has no use for --support; leave one of them out")
    return kind


def read_support(options: Options, vocabulary: ClassVocabulary) -> Shots | None:
    """The shots that --support names, under the classes of the detections."""
    from dataclasses import replace

    from risf_core.rescore.support import read_shots, under_vocabulary

    if options["support"] is None:
        return None
    path = options["support"]
    shots = read_shots(path, shots=options["shots"], seed=options["support_seed"], novel=options["novel"])
    return replace(shots, boxes=under_vocabulary(shots.boxes, vocabulary, name=str(path)))


def make_support(
    shots: Shots | None,
    options: Options,
    encoder: CropEncoder,
    progress: Progress | None = None,
) -> Prototypes | None:
    """The prototypes of the shots."""
    from risf_core.rescore.prototypes import make_prototypes
    from risf_core.rescore.support import photos_of

    if shots is None:
        return None
    folders = (*(options["images"] or ()), *shots.folders)
    photos = photos_of(shots.boxes, folders, name=str(options["support"]))
    return make_prototypes(shots.boxes, photos=photos, encoder=encoder, progress=progress)


def _aliases(pairs: Sequence[str]) -> dict[str, str]:
    aliases: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not (equals and name and text):
            raise ConfigError(f"--alias {pair!r} is not NAME=TEXT, as in tvmonitor='tv screen'")
        if name in aliases:
            raise ConfigError(f"--alias names the class {name!r} twice; keep one")
        aliases[name] = text
    return aliases


def _class_choice(text: str) -> Literal["all", "novel"] | tuple[str, ...]:
    if text == "all":
        return "all"
    if text == "novel":
        return "novel"
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--rescore-classes {text!r} names no class; give all, novel or names with commas")
    return names
