"""Files are written whole or not at all, and what cannot be read says why."""

from __future__ import annotations

import errno
import io
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from risf_core.errors import DataError, OutputError
from risf_core.files import (
    atomic_writer,
    is_stream,
    open_output,
    read_json,
    read_text,
    sha256_of,
    write_json,
    write_text,
)
from risf_core.outputs import check_writable

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path()


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refusal(function, *arguments, **options) -> str:
    """The message that the call ends in."""
    with pytest.raises((DataError, OutputError)) as caught:
        function(*arguments, **options)
    return str(caught.value)


# Writing


def test_a_file_and_its_folders_are_made_and_nothing_else_is_left(folder):
    write_text(folder / "a" / "b" / "out.txt", "höhe\n")
    assert (folder / "a/b/out.txt").read_bytes() == "höhe\n".encode()
    assert names_in(folder / "a/b") == ["out.txt"]


def test_json_ends_in_a_newline_and_keeps_letters_readable(folder):
    write_json(folder / "out.json", {"name": "bœuf"})
    assert (folder / "out.json").read_text(encoding="utf-8") == '{\n  "name": "bœuf"\n}\n'


def test_half_a_surrogate_pair_is_written_as_its_escape(folder):
    write_json(folder / "out.json", ["\ud800"])
    assert json.loads((folder / "out.json").read_text(encoding="utf-8")) == ["\ud800"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
def test_the_old_file_stays_whole_when_the_block_fails(folder, failure):
    (folder / "out.txt").write_text("old")

    def interrupted() -> None:
        with atomic_writer(folder / "out.txt") as handle:
            handle.write("new")
            raise failure

    with pytest.raises(failure):
        interrupted()
    assert (folder / "out.txt").read_text() == "old"
    assert names_in(folder) == ["out.txt"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(
    ("number", "why"), [(errno.ENOSPC, "no space left on the disk"), (errno.EDQUOT, os.strerror(errno.EDQUOT))]
)
def test_a_disk_that_is_full_at_the_last_moment_leaves_the_old_file_whole(folder, monkeypatch, call, number, why):
    def full(*_arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, full)
    assert refusal(write_text, folder / "new.txt", "x") == f"new.txt: {why}; free some or write elsewhere"
    assert names_in(folder) == []
    (folder / "out.txt").write_text("old")
    assert refusal(write_text, folder / "out.txt", "new") == (
        f"out.txt: {why}; the file that was there is unchanged; free some or write elsewhere"
    )
    assert (folder / "out.txt").read_text() == "old"
    assert names_in(folder) == ["out.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of file size are POSIX's")
def test_a_limit_of_file_size_met_half_way_leaves_the_old_file_whole(folder):
    (folder / "out.json").write_text("[1]")
    script = """
import resource, sys
from pathlib import Path
from risf_core.errors import OutputError
from risf_core.files import write_json
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_json(Path("out.json"), list(range(100_000)))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == (
        f"out.json: {os.strerror(errno.EFBIG)}; the file that was there is unchanged; free some or write elsewhere\n"
    )
    assert (folder / "out.json").read_text() == "[1]"
    assert names_in(folder) == ["out.json"]


@pytest.mark.parametrize("place", ["file/out.txt", "file/sub/out.txt"])
@pytest.mark.parametrize("function", [lambda path: write_text(path, "x"), check_writable])
def test_a_folder_that_is_a_file_is_named(folder, place, function):
    (folder / "file").write_text("mine")
    assert refusal(function, folder / place) == (
        f"{place}: cannot be written, because file is a file and not a folder; choose another path"
    )
    assert (folder / "file").read_text() == "mine"


@pytest.mark.parametrize("function", [lambda path: write_text(path, "x"), check_writable])
def test_a_target_that_is_a_folder_is_named(folder, function):
    (folder / "out").mkdir()
    assert refusal(function, folder / "out") == "out: is a folder; name a file in it"


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_named(folder):
    (folder / "locked").mkdir(mode=0o500)
    for function in (lambda path: write_text(path, "x"), check_writable):
        assert refusal(function, folder / "locked" / "out.txt") == (
            "locked/out.txt: cannot be written: Permission denied; choose another path"
        )


def test_a_file_system_that_may_not_be_written_is_named(folder, monkeypatch):
    def refused(**_options: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkstemp", refused)
    assert refusal(write_text, folder / "out.txt", "x") == (
        f"out.txt: cannot be written: {os.strerror(errno.EROFS)}; choose another path"
    )


def test_a_check_beforehand_makes_the_folder_and_no_file(folder):
    check_writable(folder / "runs" / "out.json")
    check_writable(Path(os.devnull))
    assert names_in(folder) == ["runs"]
    assert names_in(folder / "runs") == []


def test_a_name_as_long_as_names_may_be_can_be_written(folder):
    name = "n" * 250 + ".json"
    write_text(folder / name, "x")
    assert names_in(folder) == [name]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_permissions_are_those_of_the_old_file_or_of_any_new_one(folder):
    (folder / "old.txt").write_text("old")
    (folder / "old.txt").chmod(0o640)
    (folder / "plain.txt").write_text("x")
    for name in ("old.txt", "new.txt"):
        write_text(folder / name, "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes["old.txt"] == 0o640
    assert modes["new.txt"] == modes["plain.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")
def test_a_link_stays_a_link_and_its_target_is_replaced(folder):
    (folder / "store").mkdir()
    (folder / "store" / "real.txt").write_text("old")
    (folder / "link.txt").symlink_to("store/real.txt")
    (folder / "dangling.txt").symlink_to("store/later.txt")
    write_text(folder / "link.txt", "new")
    write_text(folder / "dangling.txt", "made")
    assert (folder / "link.txt").is_symlink()
    assert (folder / "store" / "real.txt").read_text() == "new"
    assert (folder / "store" / "later.txt").read_text() == "made"
    assert names_in(folder / "store") == ["later.txt", "real.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with names are POSIX's")
def test_pipes_and_devices_are_written_and_stay_what_they_are(folder):
    os.mkfifo(folder / "pipe")
    received: list[str] = []
    reader = threading.Thread(target=lambda: received.append((folder / "pipe").read_text()))
    reader.start()
    write_text(folder / "pipe", "through the pipe")
    reader.join(timeout=10)
    assert received == ["through the pipe"]
    assert stat.S_ISFIFO((folder / "pipe").stat().st_mode)
    write_text(Path("/dev/null"), "gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    assert [is_stream(name) for name in ("-", "pipe", "/dev/null", "/dev/stdout", ".", "new.txt")] == [
        True, True, True, True, False, False,
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="/dev/stdout is POSIX's")
@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_stdout_takes_text_as_utf8_whatever_the_terminal_speaks(folder, name):
    script = f"from risf_core.files import open_output\nwith open_output({name!r}) as handle: handle.write('é\\n')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=environment)
    assert done.stdout == "é\n".encode()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_stdout_on_a_full_disk_is_an_output_error():
    script = """
from risf_core.errors import OutputError
from risf_core.files import open_output
import os, sys
try:
    with open_output("-") as handle: handle.write("x" * 100_000)
except OutputError as error:
    sys.stderr.write(str(error))
    sys.stderr.flush()
    os._exit(0)
"""
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, check=True
        )
    assert done.stderr == f"stdout: cannot be written: {os.strerror(errno.ENOSPC)}; give `out` a file"


def test_open_output_writes_files_as_atomically(folder):
    (folder / "out.txt").write_text("old")

    def fail() -> None:
        with open_output("out.txt") as handle:
            handle.write("new")
            raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert (folder / "out.txt").read_text() == "old"


def test_sha256_is_the_files(folder):
    (folder / "abc").write_bytes(b"abc")
    # FIPS 180-2, appendix B.1
    assert sha256_of(folder / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# Reading


@given(JSON_VALUES)
def test_json_comes_back_as_it_was_written(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("json") / "value.json"
    write_json(path, value)
    assert repr(read_json(path, what="file")) == repr(value)  # by repr: NaN is NaN, and 1 is not 1.0


@given(st.lists(JSON_VALUES, min_size=1, max_size=3) | st.dictionaries(st.text(), JSON_VALUES, min_size=1), st.data())
def test_json_cut_anywhere_is_called_cut_short(tmp_path_factory, value, data):
    text = json.dumps(value, ensure_ascii=data.draw(st.booleans()))
    cut = data.draw(st.integers(1, len(text) - 1))
    path = tmp_path_factory.mktemp("json") / "cut.json"
    path.write_bytes(text[:cut].encode())
    assert "the JSON ends too early (line 1, column " in refusal(read_json, path, what="file")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'[{"score": 0.5, "im', "the JSON ends too early (line 1, column 17): the file is cut short; write or copy it "
            "again"),
        (b'[1,\n 2' + bytes(8), "the JSON ends too early (line 2, column 3): the file is cut short; write or copy it "
            "again"),
        (b"", "is empty; the detections file must hold JSON (an empty list is written [])"),
        (b" \r\n", "is empty; the detections file must hold JSON (an empty list is written [])"),
        (b"[]\n{}", "the JSON ends before line 2, column 1, and more text follows; the detections file must be "
            "one JSON value (JSON lines? put the rows between [ and ], with commas)"),
        (b"[{'a': 1}]", "is not valid JSON at line 1, column 3: Expecting property name enclosed in double quotes; "
            "the detections file must be JSON"),
        (b"\x80\x04\x95", "is not UTF-8 text, so it cannot be the detections file (byte 0); is it a pickle or an "
            "archive?"),
        (b'["caf\xe9"]', "is text, but not UTF-8 (byte 5); save the detections file as UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a pointer of Git LFS, not the file itself; "
            "fetch it with `git lfs pull`"),
        (b"\n<!DOCTYPE html><html>", "is a web page, not the file itself; download the file by its direct link"),
        ("[]".encode("utf-16"), "is UTF-16 text, as Windows writes it; save the detections file as UTF-8"),
        ("[]".encode("utf-16-be"), "is UTF-16 text, as Windows writes it; save the detections file as UTF-8"),
        ("[]".encode("utf-16-le"), "is UTF-16 text, as Windows writes it; save the detections file as UTF-8"),
        (b"[" * 100_000, "is nested too deeply to be read"),
        (b"[" + b"1" * 5000 + b"]", "holds a number of thousands of digits, which cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_json_is_named(folder, content, message):
    (folder / "d.json").write_bytes(content)
    assert refusal(read_json, "d.json", what="detections file") == f"d.json: {message}"


def test_a_byte_order_mark_and_windows_line_ends_are_no_fault(folder):
    (folder / "d.json").write_bytes(b"\xef\xbb\xbf[\r\n1\r\n]\r\n")
    assert read_json("d.json", what="file") == [1]


def test_of_a_key_that_stands_twice_the_last_counts(folder):
    (folder / "d.json").write_text('{"a": 1, "a": 2}')
    assert read_json("d.json", what="file") == {"a": 2}


def test_files_that_cannot_be_read_are_named(folder):
    (folder / "sub").mkdir()
    (folder / "file").touch()
    assert refusal(read_text, "gone.txt", what="class list") == (
        "gone.txt: there is no such class list; check the path"
    )
    assert refusal(read_text, "sub", what="class list") == "sub: is a folder; name a file in it"
    assert refusal(read_text, "file/x", what="class list") == "file/x: the class list cannot be read: Not a directory"


def test_stdin_is_utf8_and_can_be_read_once(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO('\ufeff["é"]'.encode()), encoding="ascii"))
    assert read_json("-", what="detections file") == ["é"]
    assert refusal(read_json, Path("-"), what="annotations file") == (
        "stdin: is empty; the annotations file must hold JSON (an empty list is written []); stdin can be read once "
        "only"
    )
