"""Locks end with their process, and what killed processes left is removed."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from risf_core.errors import ConfigError
from risf_core.files import write_text
from risf_core.locks import PART, locked_folder, part_folder_of, part_of, remove_leftovers

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows locks files that are open by itself")


@pytest.fixture(autouse=True)
def fresh_process():
    """As in a process that has not looked for leftovers yet."""
    remove_leftovers.cache_clear()


def child(script: str) -> subprocess.Popen[str]:
    """Another process that has run the script and waits, holding what it opened."""
    done = "\nimport sys\nprint('ready', flush=True)\nsys.stdin.read()\n"
    process = subprocess.Popen(
        [sys.executable, "-c", script + done], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


HOLD_FOLDER = """
from pathlib import Path
from risf_core.locks import locked_folder
held = locked_folder(Path({folder!r}))
held.__enter__()
"""
WRITE_FILE = """
from pathlib import Path
from risf_core.files import atomic_writer
writer = atomic_writer(Path({folder!r}) / "out.json")
writer.__enter__().write("half")
"""


def test_a_folder_in_use_names_who_has_it_and_is_free_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    other = child(HOLD_FOLDER.format(folder=str(folder)))
    with pytest.raises(ConfigError) as caught, locked_folder(folder):
        pass
    assert f"{folder}: is in use by process {other.pid} on " in str(caught.value)
    kill(other)
    with locked_folder(folder):
        assert (folder / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert list(folder.iterdir()) == []


def test_a_folder_that_was_made_for_nothing_is_removed_and_another_is_not(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name in ("there", "new"):
        with locked_folder(tmp_path / name):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_what_a_killed_process_was_writing_is_removed_by_the_next_write(tmp_path: Path) -> None:
    other = child(WRITE_FILE.format(folder=str(tmp_path)))
    assert [path.name.endswith(PART) for path in tmp_path.iterdir()] == [True]
    write_text(tmp_path / "a.json", "a")
    assert len(list(tmp_path.iterdir())) == 2, "the file of a process that lives was removed"
    kill(other)
    remove_leftovers.cache_clear()
    write_text(tmp_path / "b.json", "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.json"]


def test_a_folder_of_a_killed_process_is_removed_and_links_and_foreign_parts_are_not(tmp_path: Path) -> None:
    left = tmp_path / f".split.abcdefgh{PART}"
    (left / "shots").mkdir(parents=True)
    (left / "shots/seed0.json").write_text("{}")
    (tmp_path / "outside").mkdir()
    (tmp_path / f".link.abcdefgh{PART}").symlink_to(tmp_path / "outside")
    (tmp_path / "film.mkv.part").write_text("of a browser")
    with part_folder_of(tmp_path / "split") as place:
        assert place.is_dir()
        remove_leftovers.cache_clear()
        remove_leftovers(tmp_path)
        assert place.is_dir()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"outside", f".link.abcdefgh{PART}", "film.mkv.part"}


def test_writers_that_remove_leftovers_at_once_never_take_each_others_file(tmp_path: Path) -> None:
    faults: list[Exception] = []

    def write() -> None:
        for _ in range(150):
            remove_leftovers.cache_clear()
            try:
                with part_of(tmp_path / "out") as (descriptor, part):
                    os.close(descriptor)
                    assert part.exists()
            except Exception as error:
                faults.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert list(tmp_path.iterdir()) == []
