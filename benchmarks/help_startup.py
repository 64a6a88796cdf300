"""How long `risf --help` takes beside an empty one-command Typer app: both in turn, medians, and their ratio."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

GOAL = 1.6  # at most so many times the empty app

EMPTY_APP = """\
import typer

app = typer.Typer()


@app.command()
def main() -> None:
    pass


app()
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=21, help="runs of each, one after the other in turn")
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "empty.py"
        empty.write_text(EMPTY_APP)
        commands = {
            "empty": [sys.executable, str(empty), "--help"],
            "risf": [sys.executable, "-c", "from risf_cli.app import main; main()", "--help"],
        }
        for command in commands.values():  # bytecode and the disk's cache are warm for both
            seconds_of(command, folder)
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                seconds[name].append(seconds_of(command, folder))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = medians["risf"] / medians["empty"]
    print(f"empty Typer app --help   {medians['empty'] * 1000:7.1f} ms   median of {runs}")
    print(f"risf --help              {medians['risf'] * 1000:7.1f} ms   median of {runs}")
    print(f"ratio                    {ratio:7.2f}      goal: at most {GOAL}")
    sys.exit(ratio > GOAL)


def seconds_of(command: list[str], folder: str) -> float:
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, env={**os.environ, "COLUMNS": "100"}, capture_output=True, check=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
