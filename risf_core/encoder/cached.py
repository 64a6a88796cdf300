"""An encoder that remembers: crops and texts that a cache holds are not encoded again."""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from risf_core.encoder.cache import EmbeddingCache
from risf_core.encoder.protocol import CropEncoder, ImageCrops
from risf_core.errors import ImageError, OutputError
from risf_core.images import is_turned

_log = logging.getLogger(__name__)

_KEPT_AT_ONCE = 256  # embeddings a transaction ...
_KEPT_AFTER = 5.0  # ... or seconds: what a killed run loses at most
_WHOLE_IN_A_ROW = 256  # photos

_Row: TypeAlias = tuple[bytes, NDArray[np.float32]]  # a key and its embedding (D,)


class CachedEncoder:
    """Any encoder, with a cache around it. Where all embeddings are there, the encoder is never asked."""

    def __init__(self, encoder: CropEncoder, cache: EmbeddingCache) -> None:
        self._encoder = encoder
        self._cache = cache
        self.hits = 0  # crops that the cache knew
        self._writable = True

    @property
    def key(self) -> str:
        """The key of the encoder within."""
        return self._encoder.key

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D); those that were missing are kept as they come."""
        photos = map(self._looked_up, images)
        for photo in photos:
            if photo.missing is None:
                yield self._merged(photo, None)
            else:
                yield from self._encoded_from(photo, photos)

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embedding of each text, (T, D)."""
        keys = [_digest(self.key, b"text", text.encode()) for text in texts]
        found = self._cache.read(keys)
        missing = [i for i, key in enumerate(keys) if key not in found]
        if missing:
            embeddings = self._encoder.encode_texts([texts[i] for i in missing])
            fresh = [(keys[i], row) for i, row in zip(missing, embeddings, strict=True)]
            found.update(fresh)
            self._keep(fresh, kind="text")
        return np.stack([found[key] for key in keys])

    def _encoded_from(self, first: _Waiting, photos: Iterator[_Waiting]) -> Iterator[NDArray[np.float32]]:
        """The embeddings of a photo with a gap and of those behind it, until the cache knows many in a row."""
        waiting: deque[_Waiting] = deque()
        fresh: list[_Row] = []
        kept_at = time.monotonic()
        try:
            for embeddings in self._encoder.encode_crops(_gaps(first, photos, waiting)):
                while waiting[0].missing is None:  # photos that the cache knew whole
                    yield self._merged(waiting.popleft(), None)
                photo = waiting.popleft()
                assert photo.missing is not None
                fresh += [(photo.keys[i], row) for i, row in zip(photo.missing.tolist(), embeddings, strict=True)]
                yield self._merged(photo, embeddings)
                if len(fresh) >= _KEPT_AT_ONCE or time.monotonic() - kept_at > _KEPT_AFTER:
                    self._keep(fresh)
                    kept_at = time.monotonic()
        finally:
            self._keep(fresh)
        while waiting:
            yield self._merged(waiting.popleft(), None)

    def _looked_up(self, image: ImageCrops) -> _Waiting:
        """The photo with what the cache does not know of it; a photo without boxes goes by the encoder."""
        keys = self._keys_of(image)
        known = self._cache.known(keys)
        missing = np.array([i for i, key in enumerate(keys) if key not in known], dtype=np.int64)
        self.hits += len(keys) - len(missing)
        return _Waiting(image, keys, missing if len(missing) or not keys else None)

    def _keys_of(self, image: ImageCrops) -> list[bytes]:
        """A key for each box: the encoder, the photo's bytes, whether EXIF turns it, and the box's own bits."""
        path = image.photo.path
        try:
            content = hashlib.sha256(path.read_bytes()).digest()
        except OSError as error:
            raise ImageError(f"{path}: the photo cannot be read: {error.strerror or error}") from error
        turned = b"turned" if is_turned(path, image.photo.size) else b"as stored"
        return [_digest(self.key, b"crop", content, turned, box.tobytes()) for box in image.boxes.astype("<f8")]

    def _merged(self, photo: _Waiting, encoded: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """All embeddings of a photo (n, D), of the cache and fresh ones, in the order of its boxes."""
        if encoded is not None and len(encoded) == len(photo.keys):
            return encoded
        missing = np.empty(0, dtype=np.int64) if photo.missing is None else photo.missing
        fresh = set(missing.tolist())
        stored = [i for i in range(len(photo.keys)) if i not in fresh]
        found = self._cache.read([photo.keys[i] for i in stored])
        if len(found) < len({photo.keys[i] for i in stored}):  # pruned or set aside since it was looked up
            (whole,) = self._encoder.encode_crops([photo.image])
            return whole
        rows: dict[int, NDArray[np.float32]] = {i: found[photo.keys[i]] for i in stored}
        if encoded is not None:
            rows.update(zip(missing.tolist(), encoded, strict=True))
        return np.stack([rows[i] for i in range(len(photo.keys))])

    def _keep(self, fresh: list[_Row], kind: str = "crop") -> None:
        if fresh and self._writable:
            try:
                self._cache.write(fresh, encoder=self.key, kind=kind)
            except OutputError as error:  # a full disk must not cost the run that fills it
                _log.warning("%s; continuing without keeping embeddings", error)
                self._writable = False
        fresh.clear()


@dataclass(frozen=True)
class _Waiting:
    """A photo on its way through the encoder."""

    image: ImageCrops
    keys: Sequence[bytes]
    missing: NDArray[np.int64] | None  # positions of boxes that are being encoded; None: the cache knew them all


def _gaps(first: _Waiting, photos: Iterator[_Waiting], waiting: deque[_Waiting]) -> Iterator[ImageCrops]:
    """What the encoder has to do, from a first photo on; each photo is noted in `waiting` as it passes.

    Ends where the cache knows a number of photos in a row that they would pile up behind the encoder.
    """
    whole = 0
    for photo in itertools.chain([first], photos):
        waiting.append(photo)
        if photo.missing is not None:
            whole = 0
            yield ImageCrops(photo.image.photo, photo.image.boxes[photo.missing])
        else:
            whole += 1
            if whole == _WHOLE_IN_A_ROW:
                return


def _digest(encoder: str, *parts: bytes) -> bytes:
    """A key of 16 bytes; every part goes in with its length, so that no two lists of parts look alike."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (encoder.encode(), *parts):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
