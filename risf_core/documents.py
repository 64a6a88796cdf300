"""YAML files, and our own JSON and YAML as typed values: a fault is one line that names the file and the place."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from risf_core.errors import ConfigError, DataError, RisfError, did_you_mean, excerpt
from risf_core.files import read_text

T = TypeVar("T")

_MOST_VALUES = 1_000_000  # that a file may stand for, aliases followed


def read_yaml(path: Path | str, *, what: str, fault: type[RisfError] = DataError) -> Any:  # Any: YAML is of any shape
    """The content of a YAML file; None where it is empty. Raises DataError (or `fault`) where it cannot be read."""
    return parse_yaml(read_text(path, what=what), source=path, fault=fault)


def parse_yaml(
    text: str, *, source: Path | str, fault: type[RisfError] = DataError, texts: bool = False
) -> Any:  # Any: likewise
    """The content of a YAML text; with `texts` yes, null and numbers are text, as everything is.

    Raises DataError (or `fault`) that names `source` where it is not YAML, a key appears twice in one mapping, or its
    aliases are circular or stand for more than a million values.
    """
    import yaml

    try:
        loader: Any = (yaml.BaseLoader if texts else yaml.SafeLoader)(text)
        node = loader.get_single_node()
        if node is None:
            return None
        repeated = list(_repeated_keys(node, set()))
        if repeated:
            raise fault(f"{source}: {'; '.join(repeated)}")
        if _size(node, {}) > _MOST_VALUES:
            raise fault(f"{source}: its aliases stand for more than {_MOST_VALUES:,} values; write them out")
        return loader.construct_document(node)
    except RecursionError:
        raise fault(f"{source}: is nested too deeply to be read") from None
    except RisfError:
        raise
    except Exception as error:
        if isinstance(error, (yaml.YAMLError, ValueError)):
            raise fault(f"{source}: is not valid YAML: {' '.join(str(error).split())[:300]}") from None
        # a value that is not of its kind ends in whatever PyYAML's constructor of it raises
        raise fault(f"{source}: is not valid YAML: a value is not of the type that its tag states") from None


def typed(content: object, kind: type[T], *, source: Path | str, way_out: str, fault: type[RisfError] = DataError) -> T:
    """A JSON or YAML value as a structure: a dataclass, a TypedDict or any type of such parts.

    Numbers must be finite, whole numbers must be stated as such. Raises DataError (or `fault`), with what to do.
    """
    import msgspec

    try:
        if _holds_infinity(content):
            raise fault(f"{source}: holds a number that is not finite; {way_out}")
        return msgspec.convert(content, kind)
    except RecursionError:
        raise fault(f"{source}: is nested too deeply; {way_out}") from None
    except UnicodeEncodeError:
        raise fault(f"{source}: holds half a character (\\ud800 or the like); {way_out}") from None
    except msgspec.ValidationError as error:
        said, place = _what_and_where(error)
        raise fault(f"{source}: is damaged ({place}: {said}); {way_out}") from None


def setting_value(value: object, hint: Any, *, source: str) -> Any:  # Any: an annotation, and what it stands for
    """One value of a config as the type of its field; numbers may be text, paths may begin with ``~``.

    Raises ConfigError that names `source`, the value and what is expected.
    """
    import msgspec

    try:
        found = msgspec.convert(value, hint, strict=hint is bool, dec_hook=_as_path)
        if _holds_infinity(found):
            raise ConfigError(f"{source}: expected a finite number, got {value!r}")
        return found
    except msgspec.ValidationError as error:
        said, place = _what_and_where(error)
        if get_origin(hint) is Literal:
            said = f"expected {' or '.join(get_args(hint))}{did_you_mean(str(value), get_args(hint))}"
        wanted = said.partition(", got ")[0]
        raise ConfigError(f"{source}{place[1:]}: {wanted}, got {excerpt(value)}") from None


def _as_path(kind: type[Path], value: object) -> Path:
    if isinstance(value, dict | list | None) or "\0" in str(value):
        raise ValueError("expected a path")
    return kind(os.path.expanduser(str(value)))


def _what_and_where(error: Exception) -> tuple[str, str]:
    """What msgspec expects in plain words, and the place of the fault, such as ``$.shots[3].image_id``."""
    said, _, place = str(error).replace("`", "").partition(" - at ")
    return said[:1].lower() + said[1:], place or "$"


def _repeated_keys(node: Any, seen: set[int]) -> Iterator[str]:
    """A fault for each key that appears twice in a mapping (YAML itself takes the last). Any: PyYAML's nodes."""
    if id(node) in seen or not isinstance(node.value, list):
        return
    seen.add(id(node))
    if node.id == "sequence":
        for part in node.value:
            yield from _repeated_keys(part, seen)
        return
    lines: dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value).replace("-", "_"), key.start_mark.line + 1
        if key.id == "scalar" and key.value != "<<":
            if name in lines:
                yield f"key {key.value!r} appears twice (lines {lines[name]} and {line}); keep one"
            lines[name] = line
        yield from _repeated_keys(value, seen)


def _size(node: Any, known: dict[int, float]) -> float:
    """How many values a node stands for, aliases followed; infinite where it holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf  # until it is counted: whoever meets it within itself
        parts = node.value if isinstance(node.value, list) else ()
        known[id(node)] = 1 + sum(
            _size(part, known) for pair in parts for part in (pair if type(pair) is tuple else [pair])
        )
    return known[id(node)]


def _holds_infinity(content: object) -> bool:
    if isinstance(content, float):
        return not math.isfinite(content)
    if isinstance(content, dict):
        return any(map(_holds_infinity, content.values()))
    return isinstance(content, list | tuple) and any(map(_holds_infinity, content))
