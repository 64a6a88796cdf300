"""What every test may use: the folder of real data, and a way to run the command as a person does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder `real/` of RISF_TEST_DATA; the test is skipped where it is unset."""
    root = os.environ.get("RISF_TEST_DATA")
    if not root:
        pytest.skip("RISF_TEST_DATA is unset: it names the folder that holds real/")
    return Path(root) / "real"


@pytest.fixture
def risf(tmp_path: Path) -> Run:
    """Runs `risf ...` in a fresh process in an empty folder and returns what it printed and its exit code."""

    def run(*arguments: object, stdin: str | None = None, cwd: Path = tmp_path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "risf_cli", *map(str, arguments)]
        environment = {**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}
        return subprocess.run(
            command, input=stdin, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return run


@pytest.fixture(scope="session", autouse=True)
def heeds_interrupts() -> None:
    """Processes that tests start end on Ctrl-C, also where the tests themselves were started in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The user's cache folder is another one while tests run, in their processes too."""
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    yield
    if before is None:
        del os.environ["XDG_CACHE_HOME"]
    else:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Config and weights of a tiny encoder."""
    from tests.tiny_encoder import TINY, save_tiny

    return save_tiny(tmp_path_factory.mktemp("tiny"), "tiny-clip", TINY)
