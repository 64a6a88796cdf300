"""The embedding cache: one SQLite file that several processes may share, every row of it checked before it is used."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from risf_core.errors import OutputError

_log = logging.getLogger(__name__)

_T = TypeVar("_T")

FILE_NAME = "embeddings.sqlite"
_FORM = 2  # PRAGMA user_version; a file of another form is set aside
_DAY = 86400
_WAIT = 60.0  # seconds to wait for another process's transaction
_ASKED_AT_ONCE = 500  # keys a query; SQLite takes 999 at least
_LAST_DAY = 2932896  # 9999-12-31, in days since 1970
# Rows that no release wrote: SQLite keeps any type in any column
_ODD_ROWS = """
SELECT COUNT(*) FROM embeddings LEFT JOIN encoders ON encoder = encoders.id WHERE kind NOT IN ('crop', 'text')
OR typeof(embeddings.key) != 'blob' OR typeof(encoders.key) != 'text' OR length(vector) != 4 * width
OR typeof(vector) != 'blob' OR typeof(width) != 'integer' OR typeof(used) != 'integer' OR used NOT BETWEEN 0 AND ?
"""


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds."""

    path: Path
    bytes: int
    crops: int
    texts: int
    by_encoder: Mapping[str, int]  # the encoder's key -> its embeddings
    oldest_use: str | None  # ISO dates
    newest_use: str | None


class EmbeddingCache:
    """Embeddings by key, in a folder. Opened on first use; a damaged file is renamed and a new one begun."""

    def __init__(self, folder: Path, file_name: str = FILE_NAME) -> None:
        self.path = folder / file_name
        self._file: tuple[int, int] | None = None
        self._opened: sqlite3.Connection | None = None
        self._encoders: dict[str, int] = {}

    def known(self, keys: Sequence[bytes]) -> set[bytes]:
        """Which of these keys are there."""

        def look_up(connection: sqlite3.Connection) -> set[bytes]:
            rows = (connection.execute(_select("embeddings.key", part), part) for part in _parts(keys))
            return {key for part in rows for (key,) in part}

        return self._guarded(look_up, otherwise=set())

    def read(self, keys: Sequence[bytes]) -> dict[bytes, NDArray[np.float32]]:
        """The embeddings (D,) of those of the keys that are there and whole."""

        def fetch(connection: sqlite3.Connection) -> dict[bytes, NDArray[np.float32]]:
            found: dict[bytes, NDArray[np.float32]] = {}
            today, stale = _today(), []
            for part in _parts(keys):
                rows = connection.execute(_select("embeddings.key, vector, checksum, used, width", part), part)
                for key, vector, check, used, width in rows:
                    found[key] = _checked(vector, check, width)
                    if used != today:
                        stale.append((today, key))
            if stale:  # a full disk or a shared cache that only some may write must not keep a reader out
                with contextlib.suppress(sqlite3.OperationalError), connection:
                    connection.executemany("UPDATE embeddings SET used = ? WHERE key = ?", stale)
            return found

        return self._guarded(fetch, otherwise={})

    def write(self, rows: Iterable[tuple[bytes, NDArray[np.float32]]], *, encoder: str, kind: str) -> None:
        """Keep embeddings (D,) of a kind ("crop" or "text") in one transaction; what is there already stays.

        Those that are not finite are left out.
        """
        vectors = [(key, row.astype("<f4").tobytes()) for key, row in rows if np.isfinite(row).all()]
        if not vectors:
            return
        width = len(vectors[0][1]) // 4

        def insert(connection: sqlite3.Connection) -> None:
            with connection:
                number, today = self._encoder_number(connection, encoder, width), _today()
                connection.executemany(
                    "INSERT OR IGNORE INTO embeddings (key, kind, encoder, used, vector, checksum) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    ((key, kind, number, today, vector, zlib.crc32(vector)) for key, vector in vectors),
                )

        self._guarded(insert, otherwise=None)

    def info(self) -> CacheInfo:
        """What the cache holds now."""

        def count(connection: sqlite3.Connection) -> CacheInfo:
            (odd,) = connection.execute(_ODD_ROWS, (_LAST_DAY,)).fetchone()
            if odd:
                raise sqlite3.DatabaseError(f"{odd} embeddings are of another form")
            counts = dict(connection.execute("SELECT kind, COUNT(*) FROM embeddings GROUP BY kind"))
            by_encoder = dict(
                connection.execute(
                    "SELECT encoders.key, COUNT(*) FROM embeddings JOIN encoders ON encoder = encoders.id "
                    "GROUP BY encoder ORDER BY 2 DESC"
                )
            )
            days = connection.execute("SELECT MIN(used), MAX(used) FROM embeddings").fetchone()
            oldest, newest = (None if day is None else _date_of(day) for day in days)
            return CacheInfo(
                self.path, self._size(), counts.get("crop", 0), counts.get("text", 0), by_encoder, oldest, newest
            )

        nothing = CacheInfo(self.path, self._size(), 0, 0, {}, None, None)
        return self._guarded(count, otherwise=nothing) if self.path.is_file() else nothing

    def prune(self, *, unused_days: int | None = None, most_bytes: int | None = None) -> int:
        """Drop embeddings not used for N days, then the least recently used until the file fits; how many."""

        def drop(connection: sqlite3.Connection) -> int:
            dropped = 0
            with connection:
                if unused_days is not None:
                    query = "DELETE FROM embeddings WHERE used <= ?"
                    dropped += connection.execute(query, (_today() - unused_days,)).rowcount
                excess = 0 if most_bytes is None else self._rows_over(connection, most_bytes)
                if excess:
                    query = "DELETE FROM embeddings WHERE id IN (SELECT id FROM embeddings ORDER BY used, id LIMIT ?)"
                    dropped += connection.execute(query, (excess,)).rowcount
                connection.execute("DELETE FROM encoders WHERE id NOT IN (SELECT encoder FROM embeddings)")
                self._encoders.clear()
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return dropped

        return self._guarded(drop, otherwise=0) if self.path.is_file() else 0

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _rows_over(self, connection: sqlite3.Connection, most_bytes: int) -> int:
        rows, content = connection.execute("SELECT COUNT(*), TOTAL(LENGTH(vector)) FROM embeddings").fetchone()
        overhead = 120  # bytes a row: its key, columns, index entries
        return max(0, int(rows) - int(most_bytes // (content / rows + overhead))) if rows else 0

    def _size(self) -> int:
        names = [self.path.with_name(self.path.name + ending) for ending in ("", "-wal")]
        return sum(name.stat().st_size for name in names if name.is_file())

    def _encoder_number(self, connection: sqlite3.Connection, encoder: str, width: int) -> int:
        if encoder not in self._encoders:
            connection.execute("INSERT OR IGNORE INTO encoders (key, width) VALUES (?, ?)", (encoder, width))
            (number,) = connection.execute("SELECT id FROM encoders WHERE key = ?", (encoder,)).fetchone()
            self._encoders[encoder] = int(number)
        return self._encoders[encoder]

    def _guarded(self, work: Callable[[sqlite3.Connection], _T], *, otherwise: _T) -> _T:
        """The work's result; where the file proves damaged it is set aside, and `otherwise` is the result."""
        try:
            return work(self._connection())
        except sqlite3.OperationalError as error:  # locked, disk full, read-only: the file itself is sound
            # ... but these say that its tables are not ours
            if str(error).startswith(("no such", "table ", "Could not decode")):
                self._set_aside(str(error))
                return otherwise
            raise OutputError(
                f"{self.path}: the embedding cache cannot be used: {error}; "
                "name another folder with `cache`, or pass `cache=none`"
            ) from error
        except sqlite3.DatabaseError as error:
            self._set_aside(str(error))
            return otherwise

    def _connection(self) -> sqlite3.Connection:
        if self._opened is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{self.path.parent}: the cache folder cannot be made: {error.strerror or error}; "
                    "name another folder with `cache`, or pass `cache=none`"
                ) from error
            opened = sqlite3.connect(self.path, timeout=_WAIT, isolation_level="IMMEDIATE")
            self._opened, self._file = opened, _identity(self.path)
            _prepare(opened)
            opened.execute("PRAGMA synchronous = NORMAL")  # what the log holds survives a kill of the process
        return self._opened

    def _set_aside(self, why: str) -> None:
        """Rename the damaged file; one that another process has begun in its place meanwhile is left alone."""
        self.close()
        self._encoders.clear()
        if _identity(self.path) != self._file:
            return
        aside = self.path.with_name(f"{self.path.stem}.damaged-{time.time_ns()}{self.path.suffix}")
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:  # another process was first
            return
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        _log.warning("%s is damaged (%s); it is set aside as %s and a new one is begun", self.path, why, aside.name)


def _identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name."""
    with contextlib.suppress(FileNotFoundError):
        return (state := path.stat()).st_dev, state.st_ino
    return None


def _prepare(connection: sqlite3.Connection) -> None:
    """Set the file up for sharing, and make its tables where they are not there yet, however many open it at once."""
    if connection.execute("PRAGMA user_version").fetchone()[0] == _FORM:
        return
    _share(connection)
    connection.execute("BEGIN IMMEDIATE")  # others who found the file empty wait here, and then find it made
    try:
        (form,) = connection.execute("PRAGMA user_version").fetchone()
        if form == _FORM:
            return
        if form != 0 or connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError(f"its form is {form}, not {_FORM}")
        connection.execute(
            "CREATE TABLE encoders (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, width INTEGER NOT NULL)"
        )
        connection.execute(
            "CREATE TABLE embeddings (id INTEGER PRIMARY KEY, key BLOB UNIQUE NOT NULL, "
            "kind TEXT NOT NULL, encoder INTEGER NOT NULL, used INTEGER NOT NULL, vector BLOB NOT NULL, "
            "checksum INTEGER NOT NULL)"
        )
        connection.execute(f"PRAGMA user_version = {_FORM}")
    finally:
        connection.commit()


def _share(connection: sqlite3.Connection) -> None:
    """Write-ahead logging: readers and a writer at once, and a killed writer leaves no trace. The file remembers it.

    The switch does not wait for other processes by itself, as SQLite's ordinary locks do.
    """
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:  # a full disk is reported at once
                raise
            time.sleep(0.02)


def _select(columns: str, keys: Sequence[bytes]) -> str:
    source = "embeddings LEFT JOIN encoders ON encoder = encoders.id"
    return f"SELECT {columns} FROM {source} WHERE embeddings.key IN ({','.join('?' * len(keys))})"


def _checked(vector: object, check: object, width: object) -> NDArray[np.float32]:
    """The embedding (D,) of a row. Raises DatabaseError where it is not what was written."""
    if not isinstance(vector, bytes) or zlib.crc32(vector) != check:
        raise sqlite3.DatabaseError("an embedding does not match its checksum")
    if width != len(vector) / 4:
        raise sqlite3.DatabaseError("an embedding is not as long as the encoder's others")
    embedding: NDArray[np.float32] = np.frombuffer(vector, dtype="<f4")
    if not np.isfinite(embedding).all():
        raise sqlite3.DatabaseError("an embedding is not of finite numbers")
    return embedding


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), _ASKED_AT_ONCE):
        yield keys[start : start + _ASKED_AT_ONCE]


def _today() -> int:
    return int(time.time()) // _DAY


def _date_of(day: int) -> str:
    return datetime.fromtimestamp(day * _DAY, tz=timezone.utc).date().isoformat()
