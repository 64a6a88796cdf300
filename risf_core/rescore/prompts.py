"""Prompts: what is said to the text encoder for each class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from risf_core.choices import DEFAULT_TEMPLATE
from risf_core.errors import ConfigError

# Class names that datasets write in a way no caption does.
READABLE: Mapping[str, str] = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "tvmonitor": "tv",
}


@dataclass(frozen=True)
class Texts:
    """What prompts are made of."""

    templates: tuple[str, ...]
    aliases: Mapping[str, str]  # class name -> what the prompt says


@dataclass(frozen=True)
class Prompts:
    """The prompts of C names: one list of T prompts (one a template) for each name, the background's last."""

    names: tuple[str, ...]  # (C,) readable, distinct, as in the prompts; without the background
    background: str | None
    templates: tuple[str, ...]  # (T,)

    @property
    def spoken(self) -> tuple[str, ...]:
        """The names and, with a background, its name last: (C,) or (C + 1,)."""
        return self.names if self.background is None else (*self.names, self.background)

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Of each name the T prompts, the background's last."""
        return tuple(tuple(template.replace("{}", name) for template in self.templates) for name in self.spoken)


def readable_name(name: str, aliases: Mapping[str, str]) -> str:
    """The name as a caption would write it; `aliases` beats the built-in list.

    >>> readable_name("tvmonitor", {}), readable_name("traffic_light", {}), readable_name("n01", {"n01": "tench"})
    ('tv', 'traffic light', 'tench')
    """
    return aliases.get(name) or READABLE.get(name) or " ".join(name.replace("_", " ").split())


def make_prompts(
    names: Sequence[str], *, aliases: Mapping[str, str], templates: Sequence[str], background: str | None
) -> tuple[Prompts, list[int]]:
    """The prompts of some class names, and the column (position in `Prompts.names`) of each name.

    Names that read the same share a column. A class that is called like the background keeps a column of its own.
    Raises ConfigError where a template has no place for the name.
    """
    for template in templates:
        if "{}" not in template:
            raise ConfigError(
                f"`template` {template!r} has no {{}} where the class name goes, as in {DEFAULT_TEMPLATE!r}"
            )
    if not templates:
        raise ConfigError(f"no `template` is given; the paper's is {DEFAULT_TEMPLATE!r}")
    columns: dict[str, int] = {}
    column_of = [columns.setdefault(readable_name(name, aliases), len(columns)) for name in names]
    return Prompts(tuple(columns), background, tuple(templates)), column_of
