"""Two photos, three classes and three detections, in the folder where a test writes its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from risf_core.formats.conventions import Conventions
from risf_core.formats.matching import Matched, match
from risf_core.formats.registry import form_named, read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
IMAGES = {40: ImageInfo(40, "val/0012.jpg", 100, 200), 10: ImageInfo(10, "val/0007.jpg", 50, 80)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def put() -> Callable[[str, object], Path]:
    """Writes text as it is, anything else as JSON."""

    def write(name: str, content: object) -> Path:
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.fixture
def matched() -> Callable[..., tuple[str, Matched]]:
    """The form that a file was recognised as (or is given), and its detections matched to the two photos."""

    def read(path: Path | str, *, form: str | None = None, images=IMAGES, vocabulary=PETS, sizes=None, **options):
        found, rows = read_rows(Source(path), None if form is None else form_named(form))
        return found.name, match(
            rows,
            images,
            vocabulary,
            conventions=Conventions(**options),
            sizes_of=None if sizes is None else lambda image_ids, stated: sizes,
        )

    return read
