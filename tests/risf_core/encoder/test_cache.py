"""The embedding cache: nothing is encoded twice, nothing damaged is trusted, several processes may share it."""

from __future__ import annotations

import logging
import multiprocessing
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.encoder import cache as cache_module
from risf_core.encoder import cached as cached_encoder_module
from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.cached import CachedEncoder
from risf_core.encoder.protocol import ImageCrops
from risf_core.errors import ImageError, OutputError
from risf_core.photos import Photo
from tests.messages import assert_names


class Counting:
    """An encoder that answers with the box and counts what it is asked."""

    def __init__(self, key: str = "counting") -> None:
        self.key = key
        self.boxes = 0
        self.texts = 0

    def encode_crops(self, images):
        for image in images:
            self.boxes += len(image.boxes)
            yield image.boxes.astype(np.float32)

    def encode_texts(self, texts):
        self.texts += len(texts)
        return np.array([[len(text), ord(text[0])] for text in texts], dtype=np.float32)


def job(path: Path, *boxes: tuple[float, ...], size: tuple[int, int] | None = None) -> ImageCrops:
    return ImageCrops(Photo(path, size), np.array(boxes, dtype=np.float64).reshape(-1, 4))


A, B, C = (0, 0, 5, 5), (1, 1, 6, 6), (2, 2, 7, 7)


def encode(folder: Path, jobs: list[ImageCrops], *, key: str = "counting") -> tuple[list[list], int]:
    """The embeddings of each photo, and how many boxes the encoder was asked for."""
    inner = Counting(key)
    cache = EmbeddingCache(folder)
    found = [rows.tolist() for rows in CachedEncoder(inner, cache).encode_crops(jobs)]
    cache.close()
    return found, inner.boxes


def test_the_second_time_nothing_is_encoded_and_the_answers_are_the_same(tmp_path, photos):
    jobs = [job(photos[0], A, B), job(photos[1]), job(photos[2], C, A)]
    first, asked = encode(tmp_path, jobs)
    assert asked == 4
    assert encode(tmp_path, jobs) == (first, 0)
    assert first == [[list(A), list(B)], [], [list(C), list(A)]]


def test_only_what_is_missing_is_encoded_and_the_order_stays(tmp_path, photos):
    encode(tmp_path, [job(photos[0], B), job(photos[2], A)])
    jobs = [job(photos[0], A, B, C), job(photos[2], A), job(photos[1], A), job(photos[2], A)]
    found, asked = encode(tmp_path, jobs)
    assert asked == 3
    assert found == [[list(A), list(B), list(C)], [list(A)], [list(A)], [list(A)]]


def test_the_same_photo_under_another_name_is_known(tmp_path, photos):
    encode(tmp_path, [job(photos[0], A)])
    copy = tmp_path / "copy.png"
    shutil.copy(photos[0], copy)
    assert encode(tmp_path, [job(copy, A)])[1] == 0


def test_another_photo_box_or_encoder_is_not(tmp_path, photos):
    encode(tmp_path, [job(photos[0], A)])
    nearly = tuple(np.nextafter(side, 9) for side in A)
    assert encode(tmp_path, [job(photos[1], A)])[1] == 1
    assert encode(tmp_path, [job(photos[0], nearly)])[1] == 1
    assert encode(tmp_path, [job(photos[0], A)], key="other")[1] == 1


def test_a_photo_that_exif_turns_is_another_than_the_same_left_as_it_is(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("RGB", (20, 10)).save(path, exif=exif)
    encode(tmp_path, [job(path, A)])
    assert encode(tmp_path, [job(path, A, size=(20, 10))])[1] == 0  # turned, as without a stated size
    assert encode(tmp_path, [job(path, A, size=(10, 20))])[1] == 1


def test_texts_are_remembered_one_by_one(tmp_path):
    cache = EmbeddingCache(tmp_path)
    first = CachedEncoder(Counting(), cache).encode_texts(["cat", "dog"])
    inner = Counting()
    again = CachedEncoder(inner, cache).encode_texts(["horse", "dog", "cat"])
    assert inner.texts == 1
    assert again[2:0:-1].tolist() == first.tolist()


def test_hits_are_counted(tmp_path, photos):
    encode(tmp_path, [job(photos[0], A)])
    remembering = CachedEncoder(Counting(), EmbeddingCache(tmp_path))
    list(remembering.encode_crops([job(photos[0], A, B)]))
    assert remembering.hits == 1


def test_photos_that_are_known_come_at_once_and_do_not_pile_up(tmp_path, photos, monkeypatch):
    monkeypatch.setattr(cached_encoder_module, "_WHOLE_IN_A_ROW", 4)
    encode(tmp_path, [job(photos[0], A)])
    taken = 0

    def stream():
        nonlocal taken
        for number in range(60):
            taken += 1
            yield job(photos[1], (number, 0, number + 5, 9)) if number in (20, 40) else job(photos[0], A)

    ahead = []
    for count, rows in enumerate(CachedEncoder(Counting(), EmbeddingCache(tmp_path)).encode_crops(stream()), start=1):
        ahead.append(taken - count)
        assert rows.tolist() == [list(A) if count - 1 not in (20, 40) else [count - 1, 0, count + 4, 9]]
    assert len(ahead) == 60
    assert max(ahead[:19]) == 0
    assert max(ahead) <= 4


def test_a_slow_encoder_keeps_what_it_has_every_few_seconds(tmp_path, photos, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(cached_encoder_module.time, "monotonic", lambda: now[0])
    kept = []
    write = EmbeddingCache.write
    monkeypatch.setattr(
        EmbeddingCache, "write", lambda self, rows, **more: kept.append(len(rows)) or write(self, list(rows), **more)
    )
    for _ in CachedEncoder(Counting(), EmbeddingCache(tmp_path)).encode_crops([job(path, A, B) for path in photos]):
        now[0] += 3.0  # seconds a photo
    assert kept == [4, 4, 2]  # the clock passes five seconds with the second photo


def test_what_was_encoded_before_a_failure_is_kept(tmp_path, photos, monkeypatch):
    class Failing(Counting):
        def encode_crops(self, images):
            for position, image in enumerate(images):
                if position == 2:
                    raise RuntimeError("the machine stops")
                yield image.boxes.astype(np.float32)

    jobs = [job(path, A, B) for path in photos]
    with pytest.raises(RuntimeError):
        list(CachedEncoder(Failing(), EmbeddingCache(tmp_path)).encode_crops(jobs))
    assert encode(tmp_path, jobs)[1] == 2 * (len(photos) - 2)


def damage_everything(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:] = b"\xa5" * (len(content) - 100)
    path.write_bytes(content)


def damage_to_text(path: Path) -> None:
    path.write_text("not a database, whatever its name says")


def damage_one_embedding(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE embeddings SET vector = zeroblob(16)")
    connection.close()


def damage_columns(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("ALTER TABLE embeddings RENAME COLUMN vector TO other")
    connection.close()


def damage_form(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


def damage_rows(change: Callable[[bytes], object]) -> Callable[[Path], None]:
    """Embeddings replaced by others under their own right checksum."""

    def damage(path: Path) -> None:
        with sqlite3.connect(path) as connection:
            for number, vector in connection.execute("SELECT id, vector FROM embeddings").fetchall():
                new = change(vector)
                check = zlib.crc32(new) if isinstance(new, bytes) else 0
                connection.execute("UPDATE embeddings SET vector = ?, checksum = ? WHERE id = ?", (new, check, number))
        connection.close()

    return damage


ODD_VECTORS = [
    lambda vector: vector[: len(vector) // 2],
    lambda vector: vector[:-1],
    lambda vector: np.full(len(vector) // 4, np.nan, dtype="<f4").tobytes(),
    lambda vector: "abc",
    lambda vector: 5,
]


@pytest.mark.parametrize(
    "damage",
    [
        damage_everything, damage_to_text, damage_one_embedding, damage_columns, damage_form,
        *map(damage_rows, ODD_VECTORS),
    ],
)  # fmt: skip
def test_a_damaged_cache_is_named_set_aside_and_not_trusted(tmp_path, photos, caplog, damage):
    jobs = [job(photos[0], A, B), job(photos[1], C)]
    expected, _ = encode(tmp_path, jobs)
    damage(tmp_path / cache_module.FILE_NAME)
    with caplog.at_level(logging.WARNING):
        found, asked = encode(tmp_path, jobs)
    assert found == expected
    assert asked >= 3
    (aside,) = tmp_path.glob("embeddings.damaged-*.sqlite")
    assert f"{tmp_path / cache_module.FILE_NAME} is damaged (" in caplog.text
    assert f"it is set aside as {aside.name} and a new one is begun" in caplog.text
    encode(tmp_path, jobs)
    assert encode(tmp_path, jobs)[1] == 0


@pytest.mark.parametrize(
    "change",
    [
        "used = 'x'",
        "used = 99999999999999",
        "kind = x'ff'",
        "kind = 'other'",
        "vector = 'abc'",
        "vector = 5",
        "encoder = 9",
    ],
)
def test_what_a_cache_holds_is_told_without_rows_of_another_form(tmp_path, photos, caplog, change):
    jobs = [job(photos[0], A, B)]
    expected, _ = encode(tmp_path, jobs)
    with sqlite3.connect(tmp_path / cache_module.FILE_NAME) as connection:
        connection.execute(f"UPDATE embeddings SET {change}")
    connection.close()
    assert encode(tmp_path / "copy", jobs)[0] == expected
    assert EmbeddingCache(tmp_path).info().crops == 0
    assert "embeddings are of another form" in caplog.text
    assert encode(tmp_path, jobs)[0] == expected


def test_embeddings_that_are_not_finite_are_not_kept(tmp_path):
    cache = EmbeddingCache(tmp_path)
    cache.write([(b"a", np.array([1, np.nan])), (b"b", np.array([1, 2]))], encoder="e", kind="text")
    assert {key: row.tolist() for key, row in cache.read([b"a", b"b"]).items()} == {b"b": [1, 2]}


def test_a_full_disk_is_told_at_once(tmp_path, monkeypatch):
    class Full:
        def execute(self, statement):
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(cache_module.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with pytest.raises(sqlite3.OperationalError):
        cache_module._share(Full())


def test_a_folder_that_is_a_file_is_named(tmp_path, photos):
    (tmp_path / "cache").write_text("")
    with pytest.raises(OutputError) as caught:
        encode(tmp_path / "cache", [job(photos[0], A)])
    assert_names(str(caught.value), tmp_path / "cache", "`cache`", "`cache=none`")


def test_a_full_disk_costs_the_cache_and_not_the_run(tmp_path, photos, caplog, monkeypatch):
    def full(*arguments, **options):
        raise OutputError("the cache's disk is full")

    monkeypatch.setattr(EmbeddingCache, "write", full)
    with caplog.at_level(logging.WARNING):
        found, _ = encode(tmp_path, [job(path, A) for path in photos])
    assert found == [[list(A)]] * len(photos)
    assert caplog.text.count("continuing without keeping embeddings") == 1


def test_texts_are_given_though_they_cannot_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(EmbeddingCache, "write", lambda *a, **k: (_ for _ in ()).throw(OutputError("full")))
    assert CachedEncoder(Counting(), EmbeddingCache(tmp_path)).encode_texts(["cat"]).shape == (1, 2)


def test_a_cache_that_may_only_be_read_is_read(tmp_path, photos, monkeypatch):
    expected, _ = encode(tmp_path, [job(photos[0], A)])
    monkeypatch.setattr(cache_module, "_today", lambda: 99999)  # a use to note, which cannot be written
    connect = sqlite3.connect

    def read_only(path, **options):
        return connect(f"file:{path}?mode=ro", uri=True, **options)

    monkeypatch.setattr(cache_module.sqlite3, "connect", read_only)
    assert encode(tmp_path, [job(photos[0], A)]) == (expected, 0)


def test_an_unreadable_photo_is_named(tmp_path, photos):
    with pytest.raises(ImageError, match="the photo cannot be read: Is a directory"):
        encode(tmp_path / "cache", [job(tmp_path, A)])


def test_a_new_file_begun_by_another_process_is_not_set_aside_with_the_damaged_one(tmp_path, photos):
    encode(tmp_path, [job(photos[0], A)])
    late = EmbeddingCache(tmp_path)
    late.known([b"x"])  # has the file open
    (tmp_path / cache_module.FILE_NAME).rename(tmp_path / "aside")
    encode(tmp_path, [job(photos[1], B)])  # the other process has begun a new one
    late._set_aside("it was damaged when opened")
    assert EmbeddingCache(tmp_path).info().crops == 1
    assert not list(tmp_path.glob("*damaged*"))


def test_info_counts_and_prune_drops_the_least_recently_used(tmp_path, photos, monkeypatch):
    days = [100]
    monkeypatch.setattr(cache_module, "_today", lambda: days[0])
    encode(tmp_path, [job(photos[0], A)])
    days[0] = 110
    encode(tmp_path, [job(photos[1], B), job(photos[2], C)], key="other")
    cache = EmbeddingCache(tmp_path)
    info = cache.info()
    assert (info.crops, info.texts, dict(info.by_encoder)) == (3, 0, {"counting": 1, "other": 2})
    assert (info.oldest_use, info.newest_use) == ("1970-04-11", "1970-04-21")
    assert cache.prune(unused_days=11) == 0
    assert cache.prune(unused_days=10) == 1
    assert dict(cache.info().by_encoder) == {"other": 2}
    assert cache.prune(most_bytes=150) == 1
    assert cache.info().crops == 1
    assert cache.prune(unused_days=0) == 1


def test_use_counts_as_use(tmp_path, photos, monkeypatch):
    days = [100]
    monkeypatch.setattr(cache_module, "_today", lambda: days[0])
    encode(tmp_path, [job(photos[0], A)])
    days[0] = 200
    encode(tmp_path, [job(photos[0], A)])
    assert EmbeddingCache(tmp_path).prune(unused_days=50) == 0


def test_an_absent_cache_has_nothing_and_is_not_made_by_asking(tmp_path):
    cache = EmbeddingCache(tmp_path / "none")
    assert cache.info().crops == 0
    assert cache.prune(unused_days=0) == 0
    assert not (tmp_path / "none").exists()


def test_an_embedding_dropped_between_look_up_and_use_is_encoded_again(tmp_path, photos):
    encode(tmp_path, [job(photos[0], A), job(photos[1], B)])
    inner, cache = Counting(), EmbeddingCache(tmp_path)
    known = cache.known
    cache.known = lambda keys: (known(keys), EmbeddingCache(tmp_path).prune(unused_days=0))[0]
    found = list(CachedEncoder(inner, cache).encode_crops([job(photos[0], A)]))
    assert found[0].tolist() == [list(A)]
    assert inner.boxes == 1


def _fill(folder: str, paths: list[str], start: int) -> None:
    boxes = [(i / 7, 0, 10 + i, 10) for i in range(start, start + 40)]
    for path in paths:
        encode(Path(folder), [job(Path(path), *boxes)])


def _open(folder: str, barrier, failures) -> None:
    for number in range(15):
        cache = EmbeddingCache(Path(folder) / str(number))
        barrier.wait()
        try:
            cache.write([(b"key", np.ones(4, dtype=np.float32))], encoder="e", kind="crop")
        except BaseException as error:
            failures.put(repr(error))
            raise


def test_processes_that_open_an_empty_cache_at_the_same_moment_all_find_it_whole(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier, failures = context.Barrier(4), context.Queue()
    workers = [context.Process(target=_open, args=(str(tmp_path), barrier, failures)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    assert not list(tmp_path.glob("*/*damaged*"))
    assert [EmbeddingCache(tmp_path / str(number)).info().crops for number in range(15)] == [1] * 15


def test_several_processes_fill_one_cache(tmp_path, photos):
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_fill, args=(str(tmp_path), [str(p) for p in photos], start)) for start in (0, 20, 40)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert EmbeddingCache(tmp_path).info().crops == 80 * len(photos)
    boxes = [(i / 7, 0, 10 + i, 10) for i in range(80)]
    assert encode(tmp_path, [job(path, *boxes) for path in photos])[1] == 0
