"""Jobs in processes that run together, forked from a server that has loaded torch once for all of them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path

LOADED = ["risf_cli.app", "risf_core.encoder.open_clip", "risf_core.engines.train"]
Job = Callable[[], object]  # of a module's top, or a partial of such a function, as it is pickled


@dataclass(frozen=True)
class Ended:
    """How a process ended, minus the signal where one killed it, and what it printed."""

    code: int
    stdout: str
    stderr: str


def risf(*words: object) -> None:
    """The job `risf ...`."""
    from risf_cli.app import main

    sys.argv = ["risf", *map(str, words)]
    main()


def start(job: Job, folder: Path, *, printed: Path, **environment: object) -> multiprocessing.process.BaseProcess:
    """Start a job in a working folder; what it prints goes to `printed`.out and .err."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=_run, args=(job, folder, printed, {k: str(v) for k, v in environment.items()}))
    process.start()
    return process


def run_together(*jobs: Job, folder: Path, patience: float = 120) -> list[Ended]:
    """Run jobs in a working folder as torchrun would, one process each, until all have ended.

    Where one fails, the others have `patience` seconds left; torchrun ends them at once.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    meeting = {"WORLD_SIZE": len(jobs), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    printed = [folder / f"printed{rank}" for rank in range(len(jobs))]
    processes = [
        start(job, folder, printed=printed[rank], **meeting, RANK=rank, LOCAL_RANK=rank)
        for rank, job in enumerate(jobs)
    ]
    try:
        end = time.monotonic() + 120
        while any(process.is_alive() for process in processes) and time.monotonic() < end:
            if any(process.exitcode for process in processes):
                end = min(end, time.monotonic() + patience)
            wait([process.sentinel for process in processes if process.is_alive()], timeout=1)
    finally:
        for process in processes:
            process.terminate()
            process.join()
    read = [[path.with_suffix(end).read_text() for end in (".out", ".err")] for path in printed]
    return [Ended(process.exitcode, *texts) for process, texts in zip(processes, read, strict=True)]


def _run(job: Job, folder: Path, printed: Path, environment: Mapping[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(environment)
    for number, end in ((1, ".out"), (2, ".err")):
        os.dup2(os.open(printed.with_suffix(end), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = 1
    try:
        job()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # without what the server would do on leaving
