"""Running `risf rescore` again: from the cache, after a kill, and in several processes, always to the same bytes."""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.encoder import cached as cached_encoder
from risf_core.encoder import open_clip as encoder_module
from tests import together
from tests.conftest import Run
from tests.messages import assert_names

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
    assert_names(unclear.stderr, "error", "--unused-days", "0", "--max-size")


def slow_risf(*words: str) -> None:
    """The job `risf ...` in which each batch takes a moment, and what is encoded is kept soon."""
    cached_encoder._KEPT_AFTER = 0.1  # seconds; the runs here are as much shorter than real ones
    forward = encoder_module.OpenClipEncoder._forward
    encoder_module.OpenClipEncoder._forward = lambda self, crops: time.sleep(0.02) or forward(self, crops)
    together.risf(*words)


def test_a_run_killed_at_twenty_random_moments_goes_on_to_the_same_bytes(folder, tiny, tmp_path, undisturbed):
    def start(number: int | str):
        given = words(folder, tiny, tmp_path / f"cache{number}", tmp_path / f"out{number}.json", "--quiet")
        return together.start(partial(slow_risf, *given), tmp_path, printed=tmp_path / f"printed{number}")

    def run_whole(number: int | str) -> None:
        process = start(number)
        process.join()
        assert process.exitcode == 0, (tmp_path / f"printed{number}.err").read_text()

    run_whole("first")  # which starts the server that the others are forked from
    begun = time.monotonic()
    run_whole("whole")
    length = time.monotonic() - begun
    moments = random.Random(20)
    from_cache = []
    for number in range(20):
        process = start(number)
        time.sleep(moments.uniform(0, length))
        process.kill()
        process.join()
        run_whole(number)
        assert (tmp_path / f"out{number}.json").read_bytes() == undisturbed
        record = json.loads((tmp_path / f"out{number}.json.record.json").read_text())
        from_cache.append(record["counts"]["from_cache"])
    assert any(0 < count < PHOTOS * ROWS_A_PHOTO for count in from_cache), from_cache


def test_several_processes_share_the_work_and_write_the_same_bytes(folder, tiny, tmp_path, undisturbed):
    job = partial(together.risf, *words(folder, tiny, tmp_path / "cache", tmp_path / "out.json"))
    first, second = together.run_together(job, job, folder=tmp_path)
    assert (first.code, second.code) == (0, 0), first.stderr
    assert (first.stdout, second.stdout) == (f"{tmp_path / 'out.json'}\n", "")
    assert (tmp_path / "out.json").read_bytes() == undisturbed
    record = json.loads((tmp_path / "out.json.record.json").read_text())
    assert record["counts"]["rescored"] == record["counts"]["unique_crops"] == PHOTOS * ROWS_A_PHOTO


@pytest.mark.parametrize(
    "options",
    [
        ["--evidence", "photo"],
        ["--evidence", "text+photo"],
        ["--relabel", 2],
        ["--evidence", "text+photo", "--budget", 7],
    ],
)
def test_more_than_crops_is_kept_and_shared_like_crops(folder, tiny, tmp_path, run, options):
    """The same bytes without a cache, with an empty one, with a full one, and in two processes."""
    runs = {"none": "none", "first": tmp_path / "cache", "second": tmp_path / "cache"}
    for name, cache in runs.items():
        run(*words(folder, tiny, cache, tmp_path / f"{name}.json", *options))
    job = partial(together.risf, *words(folder, tiny, tmp_path / "other", tmp_path / "two.json", *options))
    assert [done.code for done in together.run_together(job, job, folder=tmp_path)] == [0, 0]
    assert len({(tmp_path / f"{name}.json").read_bytes() for name in (*runs, "two")}) == 1
    counts = json.loads((tmp_path / "second.json.record.json").read_text())["counts"]
    assert counts["tiles"] == (5 * PHOTOS if "--evidence" in options else 0)
    assert bool(counts["added"]) == ("--relabel" in options)
    assert counts["from_cache"] == counts["tiles"] + counts["unique_crops"]


def test_a_dead_process_ends_all_with_a_clear_error_and_keeps_the_cache(risf, folder, tiny, tmp_path):
    bad = tmp_path / "photos"
    bad.mkdir()
    for photo in (folder / "photos").iterdir():
        (bad / photo.name).write_bytes(photo.read_bytes())
    broken = bad / "24.png"  # an image of the second process, its last
    broken.write_bytes(broken.read_bytes()[:60])
    given = words(folder, tiny, tmp_path / "cache", tmp_path / "out.json")
    given[given.index(str(folder / "photos"))] = str(bad)
    job = partial(together.risf, *given)
    first, second = together.run_together(job, job, folder=tmp_path, patience=0)
    assert second.code == 1
    assert f"error: {broken}: the image is damaged and cannot be decoded" in second.stderr
    assert first.code
    assert not (tmp_path / "out.json").exists()
    kept = risf("cache", "info", "--cache", str(tmp_path / "cache"), "--json")
    assert json.loads(kept.stdout)["crops"] > 0


def killed_risf(*words: str) -> None:
    """The job `risf ...` in which the second process is killed at its fifth batch."""
    cached_encoder._KEPT_AFTER = 0.0
    forward, batches = encoder_module.OpenClipEncoder._forward, itertools.count(1)

    def counted(self, crops):
        if os.environ["RANK"] == "1" and next(batches) == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return forward(self, crops)

    encoder_module.OpenClipEncoder._forward = counted
    together.risf(*words)


def test_a_killed_process_ends_all_and_the_next_run_goes_on_from_the_cache(folder, tiny, tmp_path, undisturbed, run):
    given = words(folder, tiny, tmp_path / "cache", tmp_path / "out.json")
    job = partial(killed_risf, *given)
    first, second = together.run_together(job, job, folder=tmp_path, patience=0)
    assert first.code
    assert second.code == -signal.SIGKILL
    assert not (tmp_path / "out.json").exists()
    talk = run(*given)
    assert (tmp_path / "out.json").read_bytes() == undisturbed
    assert "(0 from the cache)" not in talk


def test_several_processes_cannot_share_stdin(risf, folder, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "29500")
    given = words(folder, tiny, "none", tmp_path / "out.json")
    given[1] = "-"
    result = risf(*given, stdin="[]")
    assert result.stderr == "error: several processes cannot read stdin; write the detections to a file and name it\n"
