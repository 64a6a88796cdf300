"""What every test may use: the folder of real data, a tiny encoder, and a way to run a command."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from risf_cli.app import app

Run = Callable[..., Result]
SHORT_DEMO = ("--photos", 40, "--iterations", 6, "--shots", 1, "--device", "cpu")

os.environ["OMP_NUM_THREADS"] = "1"  # one sum has one order, and tests run side by side; torch reads it when it loads

with contextlib.suppress(ImportError):  # the environments of other packages are without it
    from hypothesis import HealthCheck, settings

    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # busy machines
    settings.load_profile("patient")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder `real/` of RISF_TEST_DATA; the test is skipped where it is unset."""
    root = os.environ.get("RISF_TEST_DATA")
    if not root:
        pytest.skip("RISF_TEST_DATA is unset: it names the folder that holds real/")
    return Path(root) / "real"


@pytest.fixture(scope="session")
def risf() -> Run:
    """Runs `risf ...` in this process and the current folder, in a terminal of `columns` without colours."""

    def run(*words: object, stdin: str | None = None, columns: int = 120) -> Result:
        environment = {"COLUMNS": str(columns), "NO_COLOR": "1", "TERM": "dumb"}
        return CliRunner().invoke(app, [str(word) for word in words], input=stdin, env=environment, prog_name="risf")

    return run


@pytest.fixture(scope="session")
def short_demo(risf: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A folder with what a short `risf demo` makes, which nobody changes, and what that printed."""
    folder = tmp_path_factory.mktemp("short") / "demo"
    result = risf("demo", *SHORT_DEMO, "--out", folder)
    assert result.exit_code == 0, result.output
    return folder, result


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
