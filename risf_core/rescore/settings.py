"""How CM-CLIP is to be applied, and what that means for the classes of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from risf_core.choices import (
    DEFAULT_ALPHA,
    DEFAULT_BACKGROUND,
    DEFAULT_MAX_SCORE,
    DEFAULT_MIN_SCORE,
    DEFAULT_TEMPLATE,
    EVIDENCE_KINDS,
    FUSION_RULES,
    SOFTMAX_OVER,
    SUPPORT_SCORES,
    EvidenceKind,
    FusionRule,
    OnUnreadable,
    SoftmaxOver,
    SupportScore,
)
from risf_core.errors import ConfigError, counted, did_you_mean, listing
from risf_core.rescore.prompts import Prompts, Texts, make_prompts
from risf_core.vocabulary import ClassVocabulary

PHOTO_TERMS = ("photo", "quarters")  # of a fitted fusion, that need no crop


@dataclass(frozen=True)
class RescoreSettings:
    """How CM-CLIP is to be applied; the defaults are the paper's. Raises ConfigError, all faults at once."""

    alpha: float = DEFAULT_ALPHA  # the detector's share
    fusion: FusionRule = "linear"
    temperature: float | None = None  # of the cosine; None: the encoder's own (100 where it states none)
    templates: tuple[str, ...] = (DEFAULT_TEMPLATE,)
    background: str | None = DEFAULT_BACKGROUND
    aliases: Mapping[str, str] = field(default_factory=dict)  # class name -> what the prompt says
    rescore_classes: Literal["all", "novel"] | tuple[str, ...] = "all"  # whose rows are re-scored
    softmax_over: SoftmaxOver = "rescored"
    min_score: float = DEFAULT_MIN_SCORE  # rows with min_score < score <= max_score are re-scored
    max_score: float = DEFAULT_MAX_SCORE
    keep_parts: bool = True  # each re-scored row also keeps score_detector, score_clip (score_support), clip_names
    on_unreadable: OnUnreadable = "error"  # photos that cannot be read; keep: their rows stay as they are
    evidence: EvidenceKind = "text"  # what speaks for a class
    support_score: SupportScore = "softmax"  # over the prototypes; cosine: to the class's own, as PCB has it
    relabel: int = 0  # how many other classes of each box the encoder adds as rows of their own
    class_agnostic: bool = False  # rows of unknown category are boxes of anything: added rows take their place
    budget: int | None = None  # passes of the encoder per photo: tiles first, then the most doubtful crops; None: all
    sigmoid: tuple[float, float] | None = None  # scale and bias of an encoder that was trained by a sigmoid (SigLIP)

    def __post_init__(self) -> None:
        faults = []
        if not 0 <= self.alpha <= 1:
            faults.append(f"`alpha` must be in 0..1, got {self.alpha:g}")
        if self.fusion not in FUSION_RULES:
            known = ", ".join(FUSION_RULES)
            faults.append(f"`fusion` {self.fusion!r} is unknown{did_you_mean(self.fusion, FUSION_RULES)}; give {known}")
        if self.temperature is not None and not 0 < self.temperature < float("inf"):
            faults.append(f"`temperature` must be above 0, got {self.temperature:g}")
        if not 0 <= self.min_score <= self.max_score <= 1:
            faults.append(
                f"`min_score={self.min_score:g}` and `max_score={self.max_score:g}` must be ordered and in 0..1"
            )
        if self.softmax_over not in SOFTMAX_OVER:
            faults.append(f"`softmax_over` {self.softmax_over!r} is unknown; give {' or '.join(SOFTMAX_OVER)}")
        if self.evidence not in EVIDENCE_KINDS:
            faults.append(f"`evidence` {self.evidence!r} is unknown; give {', '.join(EVIDENCE_KINDS)}")
        if self.support_score not in SUPPORT_SCORES:
            faults.append(f"`support_score` {self.support_score!r} is unknown; give {' or '.join(SUPPORT_SCORES)}")
        if self.relabel < 0:
            faults.append(f"`relabel={self.relabel}` must be 0 or more")
        if self.relabel and not self.asks_crops:
            faults.append(f"`relabel={self.relabel}` asks for crops, and `evidence={self.evidence}` cuts none")
        if self.budget is not None and self.budget < 1:
            faults.append(f"`budget={self.budget}` must be 1 or more passes per photo")
        if self.budget is not None and (self.relabel or self.evidence not in ("text", "photo", "text+photo")):
            other = f"relabel={self.relabel}" if self.relabel else f"evidence={self.evidence}"
            faults.append(f"`budget={self.budget}` goes with names alone, not with `{other}`")
        if self.class_agnostic and self.relabel < 1:
            faults.append("`class_agnostic` needs `relabel`: how many classes each box may get")
        if faults:
            raise ConfigError("; ".join(faults))

    @property
    def asks_names(self) -> bool:
        """Whether class names are compared with anything."""
        return self.evidence not in ("support", "none")

    @property
    def asks_shots(self) -> bool:
        """Whether crops are compared with shots."""
        return self.evidence in ("support", "both")

    @property
    def asks_crops(self) -> bool:
        """Whether boxes are cut out at all."""
        return self.evidence not in ("photo", "none")

    @property
    def asks_photos(self) -> bool:
        """Whether the photo and its quarters are encoded."""
        return self.evidence in ("photo", "text+photo")

    def check_for_fit(self) -> None:
        """Raises ConfigError where a setting is of the formula alone, which a fitted fusion replaces."""
        if self.support_score == "cosine":
            raise ConfigError(
                "`support_score=cosine` is part of the formula, which a fitted fusion replaces; leave one out"
            )

    def for_terms(self, terms: Sequence[str]) -> RescoreSettings:
        """The settings without the crops, or without the photos, that a fitted fusion of these terms has no use for."""
        voices = set(terms) - {"size", "novel", "added"}
        if "added" not in terms:
            if self.class_agnostic:
                raise ConfigError("`class_agnostic` needs rows that `relabel` adds, and this `fusion` adds none")
            return replace(self, relabel=0).for_terms([*terms, "added"])
        if self.evidence != "text+photo" or not voices:
            return self
        if voices <= set(PHOTO_TERMS):
            return replace(self, evidence="photo")
        return self if voices & set(PHOTO_TERMS) else replace(self, evidence="text")

    def saying(self, texts: Texts) -> RescoreSettings:
        """The settings with other texts."""
        return replace(self, templates=texts.templates, aliases=texts.aliases)

    def with_scale(self, scale: float, bias: float | None) -> RescoreSettings:
        """The settings with what an encoder states of itself where nothing was chosen."""
        temperature = scale if self.temperature is None else self.temperature
        return replace(self, temperature=temperature, sigmoid=None if bias is None else (scale, bias))


def labels_to_rescore(vocabulary: ClassVocabulary, settings: RescoreSettings) -> NDArray[np.int64]:
    """The labels whose rows are re-scored, ascending. Raises ConfigError where a class is unknown or none is novel."""
    if settings.rescore_classes == "all":
        return vocabulary.labels("all")
    if settings.rescore_classes == "novel":
        if not vocabulary.novel:
            raise ConfigError("`rescore_classes=novel` needs `novel` (coco20, voc1, voc2, voc3, names or a file)")
        return vocabulary.labels("novel")
    whole = ", ".join(settings.rescore_classes)  # one name with commas
    chosen = (whole,) if whole in vocabulary.names else settings.rescore_classes
    unknown = [name for name in chosen if name not in vocabulary.names]
    if unknown:
        raise ConfigError(
            f"`rescore_classes`: {listing([repr(name) for name in unknown])} not among the "
            f"{counted(len(vocabulary), 'class')}"
            f"{did_you_mean(unknown[0], vocabulary.names)}"
        )
    return np.array([label for label, name in enumerate(vocabulary.names) if name in chosen], dtype=np.int64)


def prompts_of(vocabulary: ClassVocabulary, settings: RescoreSettings) -> tuple[Prompts, NDArray[np.int64]]:
    """The prompts of the names in the softmax, and the column of every label there (K,), -1 where it has none.

    Raises ConfigError where settings and classes do not go together.
    """
    rescored = labels_to_rescore(vocabulary, settings)
    labels = vocabulary.labels("all") if settings.softmax_over == "all" else rescored
    unknown = [name for name in settings.aliases if name not in vocabulary.names]
    if unknown:
        raise ConfigError(
            f"`alias` names the class {unknown[0]!r}, which is not among the {counted(len(vocabulary), 'class')}"
            f"{did_you_mean(unknown[0], vocabulary.names)}"
        )
    prompts, column_of = make_prompts(
        [vocabulary.names[label] for label in labels],
        aliases=settings.aliases,
        templates=settings.templates,
        background=settings.background,
    )
    columns = np.full(len(vocabulary), -1, dtype=np.int64)
    columns[labels] = column_of
    return prompts, columns
