"""Values of the options that `rescore` and `tune` share, in the core's types."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from risf_core.choices import FUSION_RULES, EvidenceKind, FusionRule
from risf_core.errors import ConfigError, did_you_mean


def fusion_choice(text: str, *, alpha_is_typed: bool) -> tuple[FusionRule, Path | None]:
    """The rule that --fusion names, or the file, with which neither rule nor alpha matters."""
    for rule in FUSION_RULES:
        if text == rule:
            return rule, None
    if text.endswith(".json") or Path(text).is_file():
        if alpha_is_typed:
            raise ConfigError(f"--alpha is part of the paper's formula, and {text} has its own weights; leave one out")
        return FUSION_RULES[0], Path(text)
    known = ", ".join(FUSION_RULES)
    raise ConfigError(f"--fusion {text!r} is unknown{did_you_mean(text, FUSION_RULES)}; give {known} or a file")


def evidence_choice(choice: EvidenceKind | None, support: Path | None) -> EvidenceKind:
    """What crops are compared with: as chosen, or both class names and example boxes where there are such."""
    return choice or ("text" if support is None else "both")


def temperature_choice(text: str) -> float | None:
    """The number of --temperature; None for auto."""
    if text == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"--temperature takes a number or auto, got {text!r}") from None


def aliases(pairs: Sequence[str] | None) -> dict[str, str]:
    """The NAME=TEXT pairs of --alias."""
    found: dict[str, str] = {}
    for pair in pairs or ():
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not (equals and name and text):
            raise ConfigError(f"--alias {pair!r} is not NAME=TEXT, as in tvmonitor='tv screen'")
        if name in found:
            raise ConfigError(f"--alias names the class {name!r} twice; keep one")
        found[name] = text
    return found


def class_choice(text: str) -> Literal["all", "novel"] | tuple[str, ...]:
    """The classes of --rescore-classes."""
    if text == "all":
        return "all"
    if text == "novel":
        return "novel"
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise ConfigError(f"--rescore-classes {text!r} names no class; give all, novel or names with commas")
    return names
