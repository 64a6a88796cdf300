"""Lists of class names in the forms that tools write: lines, YAML, JSON, CSV, TensorFlow's pbtxt."""

from __future__ import annotations

import ast
import json
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from risf_core.documents import parse_yaml
from risf_core.errors import DataError, excerpt, listing
from risf_core.files import read_text

_log = logging.getLogger(__name__)

_LAST = {"__background__", "_background_", "background", "bg"}
_BACKGROUND = {"__background__", "_background_", "background", "bg", "unlabeled", "unlabelled", "none", "void", "???"}
_IGNORED = {"__ignore__", "_ignore_"}
_GAPS = {"n/a", "???", *_IGNORED}
_GAPS_IF_REPEATED = {"-", "na", "none", "null", "empty", "unused", "reserved"}
_NUMBERED = re.compile(r"(\d+)(\s*[:;,\t=)]\s*|\.\s+|\s+)(\S.*)")  # 0: person, 1,person, 2. person
_CODED = re.compile(r"(/m/\w+|n\d{8})[\s,;:]+\S.*")  # the code of a class before its name: OpenImages, WordNet
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff"
_NUMBERED_AFTER = re.compile(r"(\S.*?)\s*[:;,\t]\s*(\d+)")  # person,0
_HEAD = re.compile(r"(?i)(id|names?|class(es)?|class_?(name|id)|labels?|index|category(_?id)?|categories):?")
_ITEM = re.compile(r"item\s*\{([^{}]*)\}")
_FIELD = re.compile(r"(\w+)\s*:\s*(?:\"([^\"]*)\"|'([^']*)'|(\d+))")


@dataclass(frozen=True)
class ClassList:
    """Names, and where each is in the list."""

    names: tuple[str, ...]
    places: tuple[int, ...]  # ids where the list states them, else positions from 0
    has_ids: bool
    background: str | None = None  # the entry at the head that was left out


def read_class_list(path: Path, *, known: Collection[str] = ()) -> ClassList:
    """The class names of a file, whatever form it has.

    A name per line (numbered or quoted lines too), YAML or JSON (a list, a map between ids and names, under `names`,
    `id2label` or `categories` or alone), CSV of ids and names, pbtxt. A background entry at the head has the id 0 and
    is left out; "N/A" is the place of no class. A line that is one of the `known` names is that name.

    Raises DataError where it is none of these, or a name or an id is listed twice.
    """
    text = read_text(path, what="class list")
    entries = _entries(path, text, known)
    if not entries:
        raise DataError(f"{path}: holds no class name; write one per line")
    has_ids = isinstance(entries, dict)
    pairs = sorted(entries.items()) if isinstance(entries, dict) else list(enumerate(entries))
    for _, name in pairs:
        if type(name) not in (str, int, float):
            raise DataError(f"{path}: class name {excerpt(name)} is not text; put it in quotes")
    named = [(place, str(name).strip().strip(_INVISIBLE).strip()) for place, name in pairs]
    for _, name in named:
        if any(unicodedata.category(sign) == "Cc" for sign in name):
            raise DataError(f"{path}: class name {name!r} has a control character; write one name per line")
    background = None
    if not has_ids and len(named) > 2 and named[0][1].lower() in _IGNORED and named[1][1].lower() in _BACKGROUND:
        named = [(place - 1, name) for place, name in named[1:]]  # labelme counts from -1
    count = Counter(name.lower() for _, name in named)
    gaps = _GAPS | {name for name in _GAPS_IF_REPEATED if count[name] > 1}
    if named[0][1].lower() in _BACKGROUND and len(named) > 1 and named[0][1] not in known:
        has_ids, background, named = True, named[0][1], named[1:]
    elif named[-1][1].lower() in _LAST and len(named) > 1 and named[-1][1] not in known:
        _log.warning("%s: %r at the end is taken for the background, not for a class", path, named.pop()[1])
    named = [(place, name) for place, name in named if name.lower() not in gaps and name]
    names = tuple(name for _, name in named)
    if not names:
        raise DataError(f"{path}: holds no class name; write one per line")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise DataError(
            f"{path}: class {listing([repr(name) for name in twice])} is listed twice; keep one, and write "
            "N/A where an id has no class"
        )
    forms = {unicodedata.normalize("NFC", name): name for name in names}
    if len(forms) < len(names):
        alike = next(name for name in names if name not in forms.values())
        raise DataError(f"{path}: class {alike!r} is listed twice, in two Unicode forms; keep one")
    return ClassList(names, tuple(place for place, _ in named), has_ids, background)


Entries = Sequence[Any] | dict[int, Any]  # Any: names, not yet checked


def _entries(path: Path, text: str, known: Collection[str]) -> Entries:
    suffix = path.suffix.lower()
    if suffix in (".yaml", ".yml"):
        return _of_content(parse_yaml(text, source=path, texts=True), path)
    if _ITEM.search(text):
        return _of_items(text, path)
    stripped = text.strip()
    if suffix == ".json" or stripped.startswith(("{", "[", "'", '"')):
        return _of_content(_literal(stripped, path), path)
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and (not line.startswith(("#", "//")) or line in known)]
    for mark, end in (("\u201c", "\u201d"), ("\u2018", "\u2019"), ("- ", ""), ("* ", "")):  # curly quotes, bullets
        if len(lines) > 1 and all(line.startswith(mark) and line.endswith(end) for line in lines):
            lines = [line[len(mark) : len(line) - len(end)].strip() for line in lines]
    return _of_lines(lines, path, known)


def _literal(text: str, path: Path) -> Any:  # Any: JSON
    """JSON, Python's form of it, or quoted names with commas."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    forms = [text] if text[0] in "[{" else [f"[{','.join(text.splitlines())}]", f"[{text}]"]
    for form in forms:
        try:
            return ast.literal_eval(form)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
    raise DataError(f"{path}: is neither JSON nor a list of quoted names; write one name per line")


def _of_content(content: Any, path: Path) -> Entries:  # Any: YAML or JSON
    for key in ("names", "id2label", "label2id", "categories", "classes"):
        if isinstance(content, Mapping) and isinstance(content.get(key), list | tuple | Mapping):
            content = content[key]
            break
    if isinstance(content, list | tuple) and content and all(isinstance(row, Mapping) for row in content):
        content = {row.get("id"): row.get("name") for row in content}
    if isinstance(content, list | tuple):
        return content
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: has no list under 'names:'; write names: [first, second, ...]")
    pairs = list(content.items())
    if len(pairs) > 1 and all(_is_id(name) and not _is_id(key) for key, name in pairs):  # label2id
        pairs = [(int(number), name) for name, number in pairs]
    if not all(_is_id(key) for key, _ in pairs):
        raise DataError(f"{path}: has no list under 'names:', and its keys are not whole numbers, as in 0: person")
    return _by_id([(int(key), name) for key, name in pairs], path)


def _is_id(value: Any) -> bool:  # Any: YAML or JSON
    return type(value) is int or (type(value) is str and value.strip().isdecimal())


def _by_id(pairs: Sequence[tuple[int, Any]], path: Path) -> dict[int, Any]:
    twice = sorted(number for number, count in Counter(number for number, _ in pairs).items() if count > 1)
    if twice:
        raise DataError(f"{path}: class id {listing(twice)} is listed twice; give each class its own")
    return dict(pairs)


def _of_items(text: str, path: Path) -> Entries:
    pairs = []
    for item in _ITEM.findall(text):
        fields = {key: double or single or number for key, double, single, number in _FIELD.findall(item)}
        name = fields.get("display_name") or fields.get("name")
        if name is None or not fields.get("id", "").isdecimal():
            raise DataError(f"{path}: item {{{' '.join(item.split())}}} needs an id and a name")
        pairs.append((int(fields["id"]), name))
    return _by_id(pairs, path)


def _of_lines(lines: Sequence[str], path: Path, known: Collection[str]) -> Entries:
    if all(line in known for line in lines):
        return lines
    odd = [line for line in lines if line not in known and set(line) & set("{}<>")]
    if odd:
        raise DataError(f"{path}: {odd[0][:60]!r} is not a class name; write one name per line")
    is_coded = len(lines) > 1 and not set(lines) & set(known) and all(map(_CODED.fullmatch, lines))
    if is_coded:
        raise DataError(f"{path}: {lines[0]!r} is a code and a name; keep the one that the detections have")
    body = lines[1:] if len(lines) > 1 and all(map(_HEAD.fullmatch, re.split(r"[,;\t]", lines[0]))) else lines
    for pattern, number, name in ((_NUMBERED, 1, 3), (_NUMBERED_AFTER, 2, 1)):
        matches = [pattern.fullmatch(line) for line in body]
        pairs = [(int(match[number]), match[name]) for match in matches if match]
        ascending = all(one < other for (one, _), (other, _) in pairwise(pairs))
        if len(pairs) == len(body) and ascending and (len(body) > 1 or pairs[0][0] in (0, 1)):
            rows = [row for _, row in pairs if path.suffix.lower() == ".csv" and "," in row]
            if rows:
                raise DataError(f"{path}: has more than two columns ({rows[0]!r}); keep the id and the name")
            return _by_id(pairs, path)
    if len(body) < len(lines) and re.search(r"[,;\t]", lines[0]):
        raise DataError(f"{path}: line 1, {lines[0]!r}, is a head, but not all lines are of an id and a name")
    if len(lines) == 1 and "," in lines[0]:
        raise DataError(f"{path}: holds one line with commas; write one name per line")
    return body
