"""Damage to files: bytes of any, values of JSON, YAML, pickles and SQLite."""

from __future__ import annotations

import copy
import json
import pickle
import random
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml

# values that stand where others are meant
_WORDS = r"""
null true false 0 -1 1 3 7 1.5 1e308 -1e308 1e-320 9223372036854775808 1000000000000000000000000000000 20241301
NaN Infinity -Infinity "" "x" "nan" "1" "2024-01-01" "~" "../../x" "/etc/passwd" "\u0000" "\u001b[31m" "a\nb" "\u202e"
"\ud800" "\u00e9" "C:\\x\\1.jpg" [] {} [[]] [1] [1,2,3,4] [0,0,0,0] ["a"] {"a":1} {"id":1} [{}] [null]
"""
ODD: list[Any] = [*map(json.loads, _WORDS.split()), "x" * 300, " "]
_PIECES = rb"""
\0 \xff\xfe \xef\xbb\xbf NaN 1e999 -1 { " \\ud800 \r \t \x80\x04\x95 PK\x03\x04 <!DOCTYPE\x20x> &a *a !!int\x20x
2024-99-99 :\x20 -\x20 < > &#x0; /etc/passwd ../ \xc3 \xed\xa0\x80 e400 nan inf %s \x1b[2J \xe2\x80\xae
"""
CHUNKS = [*(piece.decode("unicode_escape").encode("latin-1") for piece in _PIECES.split()), b"[" * 2000, b"9" * 5000]


def mutated_bytes(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        place = draw.randrange(len(changed) + 1)
        end = min(len(changed), place + draw.choice((1, 2, 4, 16, 64, 1000)))
        what = draw.randrange(6)
        if what == 0:
            changed[place:end] = b""
        elif what == 1:
            changed[place:place] = draw.choice(CHUNKS)
        elif what == 2:
            changed[place:end] = draw.choice(CHUNKS)
        elif what == 3:
            changed[place:end] = draw.randbytes(end - place)
        elif what == 4:
            changed[place:place] = changed[place:end]
        else:
            del changed[place:]
    return bytes(changed)


def mutated_value(content: Any, draw: random.Random) -> Any:
    content = copy.deepcopy(content)
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        places = list(_places(content))
        if not places:
            return draw.choice(ODD)
        holder, key = draw.choice(places)
        what = draw.randrange(7)
        if what == 0:
            del holder[key]
        elif what == 1 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif what == 1:
            holder[draw.choice((f"{key}x", "id", "name", "bbox"))] = holder.pop(key)
        elif what == 2:
            holder[key] = [holder[key]]
        elif what == 3:
            holder[key] = {"a": holder[key]}
        elif what == 4:
            holder[key] = copy.deepcopy(draw.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(draw.choice(ODD))
    return content


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from _places(value[key])


def mutate_rows(path: Path, draw: random.Random) -> None:
    """Other values in the tables of an SQLite file, under their right checksum where that can be."""
    with suppress(sqlite3.Error, OverflowError, UnicodeError):
        connection = sqlite3.connect(path)
        value = draw.choice([*(v for v in ODD if not isinstance(v, list | dict)), b"", b"\xff", bytes(12), bytes(6)])
        column = draw.choice(("key", "kind", "encoder", "used", "vector", "checksum"))
        connection.execute(f"UPDATE embeddings SET {column} = ? WHERE id = ?", (value, draw.randrange(1, 5)))
        if column == "vector" and isinstance(value, bytes):
            connection.execute("UPDATE embeddings SET checksum = ? WHERE vector = ?", (zlib.crc32(value), value))
        connection.commit()
        connection.close()


def mutate(path: Path, draw: random.Random) -> None:
    content = path.read_bytes()
    structural = draw.random() < 0.6
    if path.suffix == ".sqlite" and structural:
        mutate_rows(path, draw)
    elif path.suffix in (".json", ".jsonl") and structural:
        with suppress(ValueError):
            path.write_text(json.dumps(mutated_value(json.loads(content), draw)))
    elif path.suffix == ".yaml" and structural:
        path.write_bytes(
            yaml.safe_dump(mutated_value(yaml.safe_load(content), draw), allow_unicode=True).encode(
                errors="surrogatepass"
            )
        )
    elif path.suffix in (".pth", ".pkl") and structural:
        opened = torch.load(path, weights_only=False) if path.suffix == ".pth" else pickle.loads(content)
        changed = mutated_value(opened, draw)
        torch.save(changed, path) if path.suffix == ".pth" else path.write_bytes(pickle.dumps(changed, protocol=2))
    else:
        path.write_bytes(mutated_bytes(content, draw))
