"""Running `risf rescore` again: from the cache, after a kill, and in several processes, always to the same bytes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.encoder import open_clip as encoder_module
from tests.conftest import Run

PHOTOS, ROWS_A_PHOTO = 24, 12


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dozen photos with a dozen detections each."""
    folder = tmp_path_factory.mktemp("again")
    rng = np.random.default_rng(8)
    (folder / "photos").mkdir()
    images, rows = [], []
    for image_id in range(1, PHOTOS + 1):
        height, width = rng.integers(60, 120, 2).tolist()
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            folder / f"photos/{image_id}.png"
        )
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": height, "width": width})
        for _ in range(ROWS_A_PHOTO):
            x, y = rng.uniform(0, 40, 2).round(2).tolist()
            side = rng.uniform(5, 60, 2).round(2).tolist()
            category, score = int(rng.integers(1, 4)), float(rng.uniform(0.1, 1))
            rows.append({"image_id": image_id, "category_id": category, "bbox": [x, y, *side], "score": score})
    categories = [{"id": number, "name": name} for number, name in enumerate(["cat", "dog", "bird"], start=1)]
    (folder / "gt.json").write_text(json.dumps({"images": images, "categories": categories, "annotations": []}))
    (folder / "dets.json").write_text(json.dumps(rows))
    return folder


def words(folder: Path, tiny: tuple[Path, Path], cache: Path | str, out: Path, *more: object) -> list[str]:
    given = ["--annotations", folder / "gt.json", "--images", folder / "photos", "--clip-config", tiny[0]]
    run = ["--clip-weights", tiny[1], "--device", "cpu", "--precision", "fp32", "--batch-size", 16]
    return [
        str(word) for word in ("rescore", folder / "dets.json", *given, *run, "--cache", cache, "--out", out, *more)
    ]


@pytest.fixture(scope="module")
def run(risf: Run):
    """Runs `risf ...` and returns what it says."""

    def run(*arguments: object) -> str:
        result = risf(*arguments)
        assert result.exit_code == 0, result.output
        return result.stderr

    return run


@pytest.fixture(scope="module")
def undisturbed(run, folder, tiny, tmp_path_factory) -> bytes:
    """What a run without a cache writes."""
    out = tmp_path_factory.mktemp("undisturbed") / "out.json"
    run(*words(folder, tiny, "none", out))
    return out.read_bytes()


def test_a_second_run_builds_no_model_and_gives_the_same_bytes(run, folder, tiny, tmp_path, undisturbed, monkeypatch):
    run(*words(folder, tiny, tmp_path / "cache", tmp_path / "first.json"))
    monkeypatch.setattr(encoder_module, "build_model", lambda source: pytest.fail("a model was built"))
    talk = run(*words(folder, tiny, tmp_path / "cache", tmp_path / "second.json"))
    assert f"({PHOTOS * ROWS_A_PHOTO} from the cache)" in talk
    assert (tmp_path / "first.json").read_bytes() == (tmp_path / "second.json").read_bytes() == undisturbed


def test_another_formula_costs_no_pass_of_the_image_encoder(run, folder, tiny, tmp_path, monkeypatch):
    run(*words(folder, tiny, tmp_path / "cache", tmp_path / "out.json"))
    monkeypatch.setattr(encoder_module.OpenClipEncoder, "_forward", lambda *a: pytest.fail("a crop was encoded"))
    changed = ["--alpha", 0.3, "--fusion", "log-odds", "--template", "a drawing of {}", "--background", "nothing"]
    run(*words(folder, tiny, tmp_path / "cache", tmp_path / "out.json", *changed))
    record = json.loads((tmp_path / "out.json.record.json").read_text())
    assert record["counts"]["from_cache"] == record["counts"]["unique_crops"] == PHOTOS * ROWS_A_PHOTO


def test_cache_info_and_prune_speak_of_what_was_kept(run, risf, folder, tiny, tmp_path):
    run(*words(folder, tiny, tmp_path / "cache", tmp_path / "out.json"))
    shown = risf("cache", "info", "--cache", str(tmp_path / "cache"))
    assert f"{PHOTOS * ROWS_A_PHOTO} crops and 4 texts" in shown.stdout
    assert "tiny-clip, weights" in shown.stdout
    pruned = risf("cache", "prune", "--cache", str(tmp_path / "cache"), "--unused-days", "0", "--json")
    assert json.loads(pruned.stdout)["crops"] == 0
    unclear = risf("cache", "prune", "--cache", str(tmp_path / "cache"))
    assert unclear.stderr == "error: risf cache prune needs --unused-days N (0 drops all) or --max-size MB\n"


# Runs in forked processes of their own, so that the libraries are imported once; each batch takes a moment.
KILL_AND_RESUME = """
import json, os, pathlib, random, signal, sys, time
from risf_cli.app import main
from risf_core.encoder import cached as cached_encoder, open_clip as encoder

cached_encoder._KEPT_AFTER = 0.1  # seconds; the runs here are as much shorter than real ones
forward = encoder.OpenClipEncoder._forward
encoder.OpenClipEncoder._forward = lambda self, crops: time.sleep(0.02) or forward(self, crops)
words, folder = json.loads(sys.argv[1]), pathlib.Path(sys.argv[2])
moments = random.Random(20)


def start(number):
    process = os.fork()
    if process:
        return process
    cache, out = str(folder / f"cache{number}"), str(folder / f"out{number}.json")
    sys.argv = ["risf", *(cache if w == "CACHE" else out if w == "OUT" else w for w in words)]
    try:
        main()
    except SystemExit as end:
        os._exit(end.code or 0)
    os._exit(9)


begun = time.monotonic()
assert os.waitpid(start("whole"), 0)[1] == 0
length = time.monotonic() - begun
for number in range(20):
    process = start(number)
    time.sleep(moments.uniform(0, length))
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    assert os.waitpid(start(number), 0)[1] == 0
"""


def test_a_run_killed_at_twenty_random_moments_goes_on_to_the_same_bytes(folder, tiny, tmp_path, undisturbed):
    script = tmp_path / "kill_and_resume.py"
    script.write_text(KILL_AND_RESUME)
    arguments = json.dumps(words(folder, tiny, "CACHE", "OUT", "--quiet"))
    done = subprocess.run([sys.executable, script, arguments, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    from_cache = []
    for number in range(20):
        assert (tmp_path / f"out{number}.json").read_bytes() == undisturbed
        record = json.loads((tmp_path / f"out{number}.json.record.json").read_text())
        from_cache.append(record["counts"]["from_cache"])
    assert any(0 < count < PHOTOS * ROWS_A_PHOTO for count in from_cache), from_cache


def torchrun(folder: Path, processes: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*command, "-m", "risf_cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def test_several_processes_share_the_work_and_write_the_same_bytes(folder, tiny, tmp_path, undisturbed):
    done = torchrun(folder, 2, *words(folder, tiny, tmp_path / "cache", tmp_path / "out.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "out.json")]
    assert (tmp_path / "out.json").read_bytes() == undisturbed
    record = json.loads((tmp_path / "out.json.record.json").read_text())
    assert record["counts"]["rescored"] == record["counts"]["unique_crops"] == PHOTOS * ROWS_A_PHOTO


def test_a_dead_process_ends_all_with_a_clear_error_and_keeps_the_cache(risf, folder, tiny, tmp_path):
    bad = tmp_path / "photos"
    bad.mkdir()
    for photo in (folder / "photos").iterdir():
        (bad / photo.name).write_bytes(photo.read_bytes())
    broken = bad / "24.png"  # an image of the second process, its last
    broken.write_bytes(broken.read_bytes()[:60])
    given = words(folder, tiny, tmp_path / "cache", tmp_path / "out.json")
    given[given.index(str(folder / "photos"))] = str(bad)
    done = torchrun(folder, 2, *given)
    assert done.returncode != 0
    assert f"error: {broken}: the image is damaged and cannot be decoded" in done.stderr
    assert not (tmp_path / "out.json").exists()
    kept = risf("cache", "info", "--cache", str(tmp_path / "cache"), "--json")
    assert json.loads(kept.stdout)["crops"] > 0


KILLED = """
import os, signal, sys
from risf_core.encoder import cached as cached_encoder, open_clip as encoder

cached_encoder._KEPT_AFTER = 0.0
forward, batches = encoder.OpenClipEncoder._forward, []


def counted(self, crops):
    batches.append(1)
    if os.environ["RANK"] == "1" and len(batches) == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return forward(self, crops)


encoder.OpenClipEncoder._forward = counted
from risf_cli.app import main

main()
"""


def test_a_killed_process_ends_all_and_the_next_run_goes_on_from_the_cache(run, folder, tiny, tmp_path, undisturbed):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    given = words(folder, tiny, tmp_path / "cache", tmp_path / "out.json")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *given], env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode != 0
    assert "SIGKILL" in done.stderr or "exitcode  : -9" in done.stderr, done.stderr
    assert not (tmp_path / "out.json").exists()
    talk = run(*given)
    assert (tmp_path / "out.json").read_bytes() == undisturbed
    assert "(0 from the cache)" not in talk


def test_several_processes_cannot_share_stdin(risf, folder, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    given = words(folder, tiny, "none", tmp_path / "out.json")
    given[1] = "-"
    result = risf(*given, stdin="[]")
    assert result.stderr == "error: several processes cannot read stdin; write the detections to a file and name it\n"
