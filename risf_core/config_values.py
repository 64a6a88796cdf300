"""Reading one YAML value as the type of its field."""

from __future__ import annotations

import math
import os
import types
from pathlib import Path
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin

from risf_core.errors import did_you_mean

Value: TypeAlias = Any  # YAML's, then the field's
Hint: TypeAlias = Any  # a type annotation


class ValueFault(Exception):
    """Why a value is not one of its field; the caller names file and key."""


def read_value(
    value: Value, hint: Hint, *, least: float = float("-inf"), most: float = float("inf"), fewest: int = 0
) -> Value:
    """The value as the type `hint` says: bool, int, float, str, Path, Literal, tuple of one of them, or None too.

    Raises ValueFault where it is none, a number outside `least` to `most` or without end, or a list of less than
    `fewest`.
    """
    origin: Hint = get_origin(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (part for part in get_args(hint) if part is not type(None))
        origin = get_origin(hint)
    if origin is tuple:
        inner = get_args(hint)[0]
        parts = value if isinstance(value, list) else _split(value) if inner is not str else [value]
        if len(parts) < fewest:
            raise ValueFault(f"{value!r} must hold at least {fewest}")
        return tuple(read_value(part, inner, least=least, most=most) for part in parts)
    if origin is Literal:
        return _word(value, get_args(hint))
    if hint is bool:
        return _truth(value)
    if hint in (int, float):
        return _number(value, hint, least=least, most=most)
    if value is None or isinstance(value, dict | list):
        raise ValueFault(f"{value!r} is not text")
    if "\0" in str(value):
        raise ValueFault(f"{value!r} holds a null character")
    return Path(os.path.expanduser(str(value))) if hint is Path else str(value)


def _split(value: Value) -> list[Value]:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else [value]


def _word(value: Value, words: tuple[str, ...]) -> str:
    if value not in words:
        raise ValueFault(f"{value!r} is unknown{did_you_mean(str(value), words)}; give {', '.join(words)}")
    return str(value)


def _truth(value: Value) -> bool:
    if not isinstance(value, bool):
        raise ValueFault(f"{value!r} is not true or false")
    return value


def _number(value: Value, hint: type, *, least: float, most: float) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = hint(value)
        exact = float(value)  # no number that is larger than any of these
        if hint is int and not isinstance(value, int) and number != exact:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise ValueFault(f"{value!r} is not a {'whole number' if hint is int else 'number'}") from None
    if math.isinf(number):
        raise ValueFault(f"{value!r} must be finite")
    if not least <= number <= most:  # NaN is outside of everything
        bound = f"at least {least:g}" if most == float("inf") else f"in {least:g}..{most:g}"
        raise ValueFault(f"{value!r} must be {bound}")
    return number  # type: ignore[no-any-return]
