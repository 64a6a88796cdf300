"""What is typed for options, in the core's types, and what several commands print the same way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import typer

from risf_core import choices
from risf_core.choices import FUSION_RULES, EvidenceKind, FusionRule
from risf_core.errors import ConfigError, did_you_mean
from risf_core.files import is_stdout

if TYPE_CHECKING:
    from risf_core.formats.conventions import Conventions


def cache_folder(choice: str | None) -> Path | None:
    """The folder of --cache; None for no cache."""
    if choice == "none":
        return None
    if choice is not None:
        return Path(choice)
    import platformdirs

    return Path(platformdirs.user_cache_dir("risf", appauthor=False))


def number_list(text: str, *, option: str, least: int) -> tuple[int, ...]:
    """The whole numbers of a list with ranges (0-4,7), in order and each once.

    Raises ConfigError naming the option where it is not a list, a range is empty, or a number is below `least`.
    """
    numbers: dict[int, None] = {}
    for part in str(text).strip("[]").split(","):  # brackets: a YAML list of risf.yaml
        first, _, last = part.strip().partition("-")
        if not (first.strip().isdecimal() and (last or first).strip().isdecimal()):
            raise ConfigError(f"--{option} takes whole numbers and ranges with commas (0-4,7), got {text!r}")
        low, high = int(first), int(last or first)
        if low > high:
            raise ConfigError(f"--{option}: the range {part.strip()} is empty; write the lower number first")
        if low < least:
            raise ConfigError(f"--{option} takes whole numbers from {least} on, got {low}")
        numbers |= dict.fromkeys(range(low, high + 1))
    return tuple(numbers)


def conventions_of(
    format: str | None,
    boxes: choices.BoxConvention | None,
    category_ids: choices.CategoryConvention | None,
    image_ids: choices.ImageIdConvention | None,
    rename: Sequence[str] | None,
) -> Conventions:
    """How detections files are read. Raises ConfigError where --rename is not OLD=NEW."""
    from risf_core.formats.conventions import Conventions

    pairs = [text.partition("=") for text in rename or ()]
    for text, (old, equals, new) in zip(rename or (), pairs, strict=True):
        if not (old and equals and new):
            raise ConfigError(f"--rename takes OLD=NEW, got {text!r}")
    return Conventions(format, boxes, category_ids, image_ids, {old: new for old, _, new in pairs})


def required(value: Path | None, option: str, command: str) -> Path:
    """The value of an option without a default. Raises ConfigError naming the option and its key."""
    if value is None:
        raise ConfigError(
            f"risf {command} needs --{option}; pass it, or write `{option}: ...` into risf.yaml of the working folder"
        )
    return value


def check_stdout_free(out: str, *, json_: bool, what: str) -> None:
    """Refuse --json, which prints to stdout, where the result itself goes there. Raises ConfigError."""
    if json_ and is_stdout(out):
        raise ConfigError(f"--json prints the {what} to stdout, where the result goes too; pass --out FILE")


def print_written(out: Path | str, content: Any, *, json_: bool) -> None:
    """Print to stdout where the result was written, or the JSON; nothing where stdout holds the result itself."""
    from risf_cli.render import print_json, print_line

    if json_ and not is_stdout(out):
        print_json(content)
    elif not is_stdout(out):
        print_line(str(out))


def typed_options(context: typer.Context) -> set[str]:
    """The options that are on the command line itself, not in risf.yaml."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}


def photo_folders(images: Sequence[Path] | None, allow_outside: bool) -> tuple[Path, ...]:
    """The folders of --images, with what --allow-outside adds to them."""
    from risf_core.photos import ANYWHERE

    return (*(images or ()), *([ANYWHERE] if allow_outside else []))


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
    found = alternatives(pairs)
    twice = [name for name, texts in found.items() if len(texts) > 1]
    if twice:
        raise ConfigError(f"--alias names the class {twice[0]!r} twice; keep one")
    return {name: texts[0] for name, texts in found.items()}


def alternatives(pairs: Sequence[str] | None) -> dict[str, tuple[str, ...]]:
    """The NAME=TEXT pairs of --alias where a class may have several."""
    found: dict[str, tuple[str, ...]] = {}
    for pair in pairs or ():
        name, equals, text = (part.strip() for part in pair.partition("="))
        if not (equals and name and text):
            raise ConfigError(f"--alias {pair!r} is not NAME=TEXT, as in tvmonitor='tv screen'")
        found[name] = (*found.get(name, ()), text)
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
