"""The user's errors: each is one line that names the thing, the value and the fix."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class RisfError(Exception):
    """A failure that the person who called can mend; the command line prints it as one line and exits with 1."""


class ConfigError(RisfError):
    """A setting, an option or a config file is at fault."""


class DataError(RisfError):
    """A file of annotations, detections, classes or splits is at fault."""


class ImageError(RisfError):
    """A photo is missing or cannot be read."""


class EncoderError(RisfError):
    """An image-text encoder cannot be found, loaded or used as asked."""


class CheckpointError(RisfError):
    """A detector's weights cannot be found, read or fitted to the model."""


class OutputError(RisfError):
    """A result cannot be written where it should go."""


def did_you_mean(value: str, known: Iterable[str]) -> str:
    """The clause `` (did you mean 'x'?)`` for the nearest known word, or an empty string.

    >>> did_you_mean("gama", ["alpha", "gamma"])
    " (did you mean 'gamma'?)"
    """
    nearest = get_close_matches(value, list(known), n=2, cutoff=0.6)
    return f" (did you mean {' or '.join(repr(word) for word in nearest)}?)" if nearest else ""


def listing(values: Sequence[object], most: int = 5) -> str:
    """The values as one readable clause, cut after `most` with the count of the rest.

    >>> listing([1, 2, 3, 4], most=2)
    '1, 2 and 2 more'
    """
    shown = ", ".join(str(value) for value in values[:most])
    return shown if len(values) <= most else f"{shown} and {len(values) - most} more"


def counted(count: int, noun: str) -> str:
    """A count with its noun in the right number.

    >>> counted(1, "such row"), counted(2, "such row"), counted(3000, "box")
    ('1 such row', '2 such rows', '3000 boxes')
    """
    ending = "" if count == 1 else "es" if noun.endswith(("s", "x")) else "s"
    return f"{count} {noun}{ending}"


def printable(text: str) -> str:
    """The text with what a terminal would obey (control characters, changes of direction) as escapes.

    Newlines and tabs stay.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(letter) if _is_obeyed(letter) else letter for letter in text)


def _is_obeyed(letter: str) -> bool:
    """Joiners, which names in some scripts need, are not."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") and letter not in "\n\t\u200c\u200d"


def _escaped(letter: str) -> str:
    return letter.encode("ascii", "backslashreplace").decode() if ord(letter) > 0x7F else f"\\x{ord(letter):02x}"


def excerpt(value: object, most: int = 100) -> str:
    """A value of a file as its JSON, cut after `most` characters.

    >>> excerpt(["a", None])
    '["a", null]'
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= most else f"{text[:most]}..."
