"""What a command reads is never what it writes over."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from risf_core.errors import ConfigError
from risf_core.outputs import check_not_read, check_outputs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos (one of them a link), a Pascal VOC folder, a split, TFA's layout, a cache and results beside them."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "photos/1.jpg", "photos/results.json", "elsewhere/2.jpg", "elsewhere/3.jpg", "linked/4.jpg",
        "voc/Annotations/1.xml",
        "voc/ImageSets/Main/test.txt", "voc/results.json", "split/split.json", "split/shots/seed0.json",
        "cache/embeddings.sqlite",
        "tfa/seed1/full_box_1shot_cat_trainval.json", "gt.json", "results.json", "risf.yaml",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "photos/2.jpg").symlink_to(tmp_path / "elsewhere/2.jpg")
    (tmp_path / "photos/more").symlink_to(tmp_path / "linked")
    (tmp_path / "results.json.record.json").symlink_to("gt.json")
    return tmp_path


@pytest.mark.parametrize(
    ("out", "source"),
    [
        ("gt.json", "gt.json"),
        ("results.json.record.json", "gt.json"),
        ("photos/1.jpg", "photos"),
        ("photos/../photos/1.jpg", "photos/"),
        ("elsewhere/2.jpg", "photos"),  # photos/2.jpg leads there
        ("linked/4.jpg", "photos"),  # photos/more leads there
        ("voc/Annotations/1.xml", "voc"),
        ("voc/ImageSets/Main/test.txt", "voc"),
        ("split/shots/seed0.json", "split"),
        ("tfa/seed1/full_box_1shot_cat_trainval.json", "tfa"),
        ("cache/embeddings.sqlite", "cache"),
        ("split", "split/shots/seed0.json"),  # a folder that is replaced whole
        ("risf.yaml", "gt.json"),
    ],
)
def test_an_output_that_is_an_input_is_refused(folder: Path, out: str, source: str) -> None:
    with pytest.raises(ConfigError, match=rf"`csv={out}` would overwrite an input.*; choose another name"):
        check_not_read(out, [None, "cat,dog", source], field="csv")


@pytest.mark.parametrize(
    ("out", "source"),
    [
        ("results.json", "gt.json"),
        ("results.json", "."),  # written into a folder of photos by an earlier run
        ("photos/results.json", "photos"),
        ("voc/results.json", "voc"),
        ("elsewhere/3.jpg", "photos"),
        ("photos/new.jpg", "photos"),
        ("split", "gt.json"),
        ("results.json", "x" * 10_000),  # a list of names, too long for a path
    ],
)
def test_any_other_output_is_taken(folder: Path, out: str, source: str) -> None:
    check_outputs({"out": None if Path(out).is_dir() else out}, inputs=[source])
    check_not_read(out, [source])


def test_a_hard_link_and_a_cycle_of_links_are_seen_through(folder: Path) -> None:
    os.link("gt.json", "same.json")
    os.symlink("..", "photos/up")
    with pytest.raises(ConfigError):
        check_not_read("same.json", ["gt.json"])
    with pytest.raises(ConfigError):
        check_not_read("elsewhere/3.jpg", ["photos"])  # photos/up leads to the whole folder
