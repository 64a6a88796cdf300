"""An encoder that remembers: crops and texts that a cache holds are not encoded again."""

from __future__ import annotations

import hashlib
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from risf_core.errors import OutputError
from risf_core.images import is_turned
from risf_core.rescore.cache import EmbeddingCache
from risf_core.rescore.crop_encoder import CropEncoder, ImageCrops

_log = logging.getLogger(__name__)

_KEPT_AT_ONCE = 256  # embeddings a transaction: what a killed run loses at most


class CachedEncoder:
    """Any encoder, with a cache around it. Where all embeddings are there, the encoder is never asked."""

    def __init__(self, encoder: CropEncoder, cache: EmbeddingCache) -> None:
        self._encoder = encoder
        self._cache = cache
        self.hits = 0  # crops that the cache knew
        self.misses = 0  # crops that were encoded
        self._writable = True

    @property
    def key(self) -> str:
        """The key of the encoder within."""
        return self._encoder.key

    def encode_crops(self, images: Iterable[ImageCrops]) -> Iterator[NDArray[np.float32]]:
        """For each photo the embeddings of its boxes, (n, D); those that were missing are kept as they come."""
        waiting: deque[_Waiting] = deque()
        fresh: list[tuple[bytes, NDArray[np.float32]]] = []
        encoded = self._encoder.encode_crops(self._missing_of(images, waiting))
        try:
            for embeddings in encoded:
                while waiting[0].missing is None:  # photos that the cache knew whole
                    yield self._stored(waiting.popleft())
                photo = waiting.popleft()
                assert photo.missing is not None
                fresh += [(photo.keys[i], row) for i, row in zip(photo.missing.tolist(), embeddings, strict=True)]
                yield self._merged(photo, embeddings)
                if len(fresh) >= _KEPT_AT_ONCE:
                    self._keep(fresh)
        finally:
            self._keep(fresh)
        while waiting:
            yield self._stored(waiting.popleft())

    def encode_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embedding of each text, (T, D)."""
        keys = [_digest(self.key, b"text", text.encode()) for text in texts]
        found = self._cache.read(keys)
        missing = [i for i, key in enumerate(keys) if key not in found]
        if missing:
            embeddings = self._encoder.encode_texts([texts[i] for i in missing])
            fresh = [(keys[i], row) for i, row in zip(missing, embeddings, strict=True)]
            self._cache.write(fresh, encoder=self.key, kind="text")
            found.update(fresh)
        return np.stack([found[key] for key in keys])

    def _missing_of(self, images: Iterable[ImageCrops], waiting: deque[_Waiting]) -> Iterator[ImageCrops]:
        """The photos and boxes that the cache does not know; every photo is noted in `waiting` as it passes."""
        for image in images:
            keys = self._keys_of(image)
            known = self._cache.known(keys)
            missing = np.array([i for i, key in enumerate(keys) if key not in known], dtype=np.int64)
            self.hits += len(keys) - len(missing)
            self.misses += len(missing)
            if len(missing) or not keys:  # a photo without boxes goes by the encoder, which knows the width of nothing
                waiting.append(_Waiting(image, keys, missing))
                yield ImageCrops(image.photo, image.boxes[missing])
            else:
                waiting.append(_Waiting(image, keys, None))

    def _keys_of(self, image: ImageCrops) -> list[bytes]:
        """A key for each box: the encoder, the photo's bytes, whether EXIF turns it, and the box's own bits."""
        content = hashlib.sha256(image.photo.path.read_bytes()).digest()
        turned = b"turned" if is_turned(image.photo.path, image.photo.size) else b"as stored"
        return [_digest(self.key, b"crop", content, turned, box.tobytes()) for box in image.boxes.astype("<f8")]

    def _stored(self, photo: _Waiting) -> NDArray[np.float32]:
        return self._merged(photo, None)

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

    def _keep(self, fresh: list[tuple[bytes, NDArray[np.float32]]]) -> None:
        if fresh and self._writable:
            try:
                self._cache.write(fresh, encoder=self.key, kind="crop")
            except OutputError as error:  # a full disk must not cost the run that fills it
                _log.warning("%s; going on without keeping embeddings", error)
                self._writable = False
        fresh.clear()


@dataclass(frozen=True)
class _Waiting:
    """A photo on its way through the encoder."""

    image: ImageCrops
    keys: Sequence[bytes]
    missing: NDArray[np.int64] | None  # positions of boxes that are being encoded; None: the cache knew them all


def _digest(encoder: str, *parts: bytes) -> bytes:
    """A key of 16 bytes; every part goes in with its length, so that no two lists of parts look alike."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (encoder.encode(), *parts):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()
