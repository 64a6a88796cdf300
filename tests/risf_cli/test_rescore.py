"""`risf rescore` as a person runs it: files, pipes, records, and one clear line for every fault."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from risf_cli.app import load_command
from risf_core.files import sha256_of
from tests.conftest import Run
from tests.messages import assert_names, error_of
from tests.risf_cli.photos import write_photos
from tests.tiny_encoder import TINY

CATEGORIES = [{"id": 2, "name": "cat"}, {"id": 7, "name": "tvmonitor"}]
ROWS = [
    {"image_id": 5, "category_id": 7, "bbox": [4.25, 10, 30.5, 30], "score": 0.625, "note": "kept"},
    {"image_id": 9, "category_id": 2, "bbox": [20, 20, 40, 40], "score": 0.8},
    {"image_id": 9, "category_id": 7, "bbox": [20, 20, 40, 40], "score": 0.3},
    {"image_id": 5, "category_id": 2, "bbox": [1, 1, 5, 5], "score": 0.01},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with two photos, their annotations and four detections; the commands run in it."""
    images = write_photos(tmp_path / "photos")
    dataset = {"images": images, "categories": CATEGORIES, "annotations": [{"bbox": "never read"}]}
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    (tmp_path / "dets.json").write_text(json.dumps(ROWS))
    (tmp_path / "names.txt").write_text("cat\ntvmonitor\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(risf: Run, folder: Path, tiny: tuple[Path, Path]):
    """Runs `risf rescore` with the tiny encoder in this process."""
    encoder = ["--clip-config", tiny[0], "--clip-weights", tiny[1], "--device", "cpu", "--precision", "fp32"]

    def call(*arguments: object, stdin: str | None = None, annotations: str | None = "gt.json"):
        given = ["--annotations", annotations] if annotations else []
        words = ["rescore", *arguments, *given, "--images", "photos", *encoder]
        return risf(*words, stdin=stdin)

    return call


def test_the_result_goes_to_stdout_with_only_scores_and_parts_changed(run):
    result = run("dets.json")
    assert result.exit_code == 0
    after = json.loads(result.stdout)
    assert [{**row, "score": 0} for row in ROWS] == [
        {key: row[key] for key in before} | {"score": 0} for row, before in zip(after, ROWS, strict=True)
    ]
    assert after[3] == ROWS[3]
    for row, before in zip(after[:3], ROWS, strict=False):
        assert row["score_detector"] == before["score"]
        assert row["score"] == pytest.approx(0.7 * before["score"] + 0.3 * row["score_clip"], abs=1e-12)


def test_a_file_is_named_on_stdout_and_a_record_lies_beside_it(run, folder, tiny):
    result = run("dets.json", "--out", "new/after.json", "--alpha", 0.5, "--cache", "none")
    assert result.exit_code == 0, result.output
    assert result.stdout == "new/after.json\n"
    assert len(json.loads((folder / "new/after.json").read_text())) == 4
    record = json.loads((folder / "new/after.json.record.json").read_text())
    stated = record["arguments"] | record["settings"]
    told = {parameter.name.rstrip("_") for parameter in load_command("rescore").params}
    # aliases, templates, keep_parts, a folder of images, the values of other options
    renamed = {"alias", "template", "plain", "allow_outside", "preset"}
    assert told - renamed - {"json", "quiet"} <= stated.keys()
    assert (stated["alpha"], stated["boxes"], stated["workers"]) == (0.5, None, None)
    assert record["classes"] == {"rescored": ["cat", "tvmonitor"], "novel": []}
    assert record["encoder"]["config"] == TINY
    assert record["inputs"]["clip_config"]["sha256"] == sha256_of(tiny[0])
    assert record["processes"] == 1
    assert record["settings"]["alpha"] == 0.5
    assert record["settings"]["temperature"] == 14.2857  # 1 / 0.07, where open_clip starts
    assert record["prompts"]["texts"] == [["a photo of cat"], ["a photo of tv"], ["a photo of background"]]
    assert record["encoder"]["weights_sha256"] == sha256_of(tiny[1])
    assert record["encoder"]["preprocessing"]["side"] == 32
    assert record["inputs"]["detections"] == {"path": "dets.json", "sha256": sha256_of(folder / "dets.json")}
    assert record["inputs"]["annotations"]["sha256"] == sha256_of(folder / "gt.json")
    counts = record["counts"]
    assert (counts["read"], counts["eligible"], counts["unique_crops"], counts["rescored"]) == (4, 3, 2, 3)
    assert counts["above_before"] == {"0.05": 3, "0.3": 2, "0.5": 2}
    assert record["matching"]["found_by"] == {"file name": 2}
    assert {"risf", "torch", "open_clip_torch", "python"} <= record["versions"].keys()
    assert record["seconds"] > 0 < record["encoded_crops_per_second"]


def test_talk_on_stderr_says_what_was_matched_and_done(run):
    talk = run("dets.json").stderr.splitlines()
    assert "read 4 detections of 2 classes" in talk
    assert "found 2 photos by file name" in talk
    assert "temperature 14.2857 (the encoder's own)" in talk
    assert "crops 32x32 squash, RGB, bicubic, mean 0.4815 0.4578 0.4082, std 0.2686 0.2613 0.2758" in talk
    assert "in prompts: tvmonitor -> tv (--alias NAME=TEXT changes that)" in talk
    assert any(line.startswith("re-scored 3 of 4 rows by 2 distinct crops (") for line in talk)
    assert "left as they are: 1 outside the score range (--min-score, --max-score)" in talk
    assert talk[-1].startswith("rows over common thresholds: 3 -> 3 over 0.05, 2 -> ")


def test_quiet_says_nothing(run):
    assert run("dets.json", "--quiet").stderr == ""


def test_json_prints_the_record(run):
    result = run("dets.json", "--out", "after.json", "--json", "--quiet")
    assert json.loads(result.stdout)["counts"]["rescored"] == 3


def test_json_without_a_file_is_refused(run):
    assert_names(error_of(run("dets.json", "--json")), "--json", "--out", "prints")


def test_plain_leaves_the_parts_out(run):
    assert [row.keys() for row in json.loads(run("dets.json", "--plain").stdout)] == [row.keys() for row in ROWS]


def test_stdin_is_read_and_the_same_input_gives_the_same_bytes(run):
    assert run("-", stdin=json.dumps(ROWS)).stdout == run("dets.json", "--workers", 0).stdout


def test_classes_alone_find_photos_by_number(run):
    rows = [{**row, "category_id": {2: 1, 7: 2}[row["category_id"]]} for row in ROWS]
    result = run("-", "--classes", "names.txt", stdin=json.dumps(rows), annotations=None)
    assert result.exit_code == 0, result.output
    by_names = [row["score"] for row in json.loads(result.stdout)]
    assert by_names == [row["score"] for row in json.loads(run("dets.json").stdout)]
    assert "found 2 photos by number in the file name" in result.stderr


def test_first_id_says_where_the_names_count_from(run, folder):
    (folder / "names.yaml").write_text("names: {0: cat, 1: tvmonitor}\n")
    rows = [{**row, "category_id": {2: 0, 7: 1}[row["category_id"]]} for row in ROWS]
    for options in (["names.txt", "--first-id", 0], ["names.yaml"]):  # a map states its ids itself
        result = run("-", "--classes", *options, stdin=json.dumps(rows), annotations=None)
        assert result.exit_code == 0, result.output
        assert [row["category_id"] for row in json.loads(result.stdout)] == [1, 0, 1, 0]
        assert [row["score"] for row in json.loads(result.stdout)] == [
            row["score"] for row in json.loads(run("dets.json").stdout)
        ]


def test_a_dataset_dict_with_scores_brings_its_own_classes_and_stays_a_dict(run, folder):
    dataset = json.loads((folder / "gt.json").read_text())
    dataset["annotations"] = [{**row, "id": number} for number, row in enumerate(ROWS)]
    result = run("-", stdin=json.dumps(dataset), annotations=None)
    after = json.loads(result.stdout)
    assert after["images"] == dataset["images"]
    assert [row["id"] for row in after["annotations"]] == [0, 1, 2, 3]
    assert "score_clip" in after["annotations"][0]


def test_conventions_that_a_person_states_are_converted(run, folder):
    corners = [
        {**row, "bbox": [*row["bbox"][:2], row["bbox"][0] + row["bbox"][2], row["bbox"][1] + row["bbox"][3]]}
        for row in ROWS
    ]
    positions = [{**row, "category_id": {2: 0, 7: 1}[row["category_id"]]} for row in corners]
    names = [{**row, "image_id": f"{row['image_id']:012d}.jpg"} for row in positions]
    options = ["--boxes", "xyxy", "--category-ids", "positions", "--image-ids", "file-names"]
    assert json.loads(run("-", *options, stdin=json.dumps(names)).stdout) == json.loads(run("dets.json").stdout)


def test_an_empty_list_stays_an_empty_list(run):
    result = run("-", stdin="[]")
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])


def test_novel_classes_alone_can_be_rescored(run):
    after = json.loads(run("dets.json", "--rescore-classes", "novel", "--novel", "tvmonitor").stdout)
    assert ["score_clip" in row for row in after] == [True, False, True, False]


def test_alias_template_and_background_reach_the_prompts(run, folder):
    options = [
        "--alias",
        "tvmonitor=a tv screen",
        "--template",
        "photo: {}",
        "--template",
        "{}",
        "--background",
        "none",
    ]
    run("dets.json", "--out", "after.json", *options)
    assert json.loads((folder / "after.json.record.json").read_text())["prompts"]["texts"] == [
        ["photo: cat", "cat"],
        ["photo: a tv screen", "a tv screen"],
    ]


def test_the_released_quirks_are_named_in_the_record(run, folder):
    run("dets.json", "--out", "after.json", "--compat", "released")
    record = json.loads((folder / "after.json.record.json").read_text())
    assert record["encoder"]["preprocessing"]["crop"] == "released"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda row: row.update(image_id=77),
            "stdin: image_id 77 not among the 2 images of the annotations (5, 9); 2 of the 3 ids fit: "
            "pass the annotations the detector ran on, or decide about such rows with --on-unmatched",
        ),
        (
            lambda row: row.update(category_id=3),
            "stdin: category_id 3 unknown to the 2 classes (ids 2..7); "
            "pass the detector's own annotations, or decide about such rows with --on-unmatched",
        ),
        (
            lambda row: row.update(score=1.5),
            "stdin: row 0: score 1.5 is outside 0..1 (1 such row) (logits? pass them through the sigmoid or softmax "
            "that the detector was trained with); scores must be probabilities",
        ),
    ],
)
def test_rows_that_do_not_fit_are_named(run, change, message):
    rows = json.loads(json.dumps(ROWS))
    change(rows[0])
    assert error_of(run("-", stdin=json.dumps(rows))) == message


def test_rows_that_do_not_fit_stay_as_they_are_on_demand(run):
    strangers = [{**ROWS[0], "image_id": 77}, {**ROWS[0], "category_id": 3}]
    result = run("-", "--on-unmatched", "keep", stdin=json.dumps([*ROWS, *strangers]))
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)[4:] == strangers
    assert result.stderr.count("image_id 77") == 1


def test_rows_left_as_they_are_are_named_in_talk_and_record(run, folder):
    strangers = [{**ROWS[0], "image_id": 77}, {**ROWS[0], "category_id": 3}]
    options = ["--on-unmatched", "keep", "--out", "after.json"]
    result = run("-", *options, stdin=json.dumps([*ROWS, *strangers]))
    for line in ("image_id 77", "category_id 3"):
        assert f"warning: {line} unknown to the annotations or classes; their rows stay as they are" in result.stderr
    matching = json.loads((folder / "after.json.record.json").read_text())["matching"]
    assert (matching["images_not_in_annotations"], matching["unknown_categories"]) == ([77], [3])


def test_a_row_left_as_it_is_never_comes_to_mean_another_class(run):
    rows = [{**ROWS[0], "category_id": 0}, {**ROWS[0], "category_id": 7}]  # 7 is no position, and a class's id
    options = ["--category-ids", "positions", "--on-unmatched", "keep"]
    assert_names(error_of(run("-", *options, stdin=json.dumps(rows))), "7", "2", "'tvmonitor'", "--on-unmatched drop")


def test_a_missing_photo_is_named_or_passed_over(run, folder):
    (folder / "photos" / "000000000009.jpg").unlink()
    assert_names(
        error_of(run("dets.json")),
        "1",
        "2",
        "9",
        "'000000000009.jpg'",
        "'000000000005.jpg'",
        "--images",
        "--on-unmatched keep",
    )
    result = run("dets.json", "--on-unmatched", "keep")
    assert [("score_clip" in row) for row in json.loads(result.stdout)] == [True, False, False, False]
    assert "warning: 1 of 2 images have no photo in photos: image_id 9 (" in result.stderr
    assert "; their rows stay as they are" in result.stderr


def test_a_corrupt_jpeg_is_named_and_nothing_is_written(run, folder):
    photo = folder / "photos" / "000000000009.jpg"
    photo.write_bytes(photo.read_bytes()[:400])
    (folder / "after.json").write_text("old")
    message = error_of(run("dets.json", "--out", "after.json"))
    assert message.startswith("photos/000000000009.jpg: ")
    assert "replace the file; or pass --on-unreadable keep" in message
    assert (folder / "after.json").read_text() == "old"


def test_corners_are_recognised_and_named(run):
    rows = [{"image_id": 5, "category_id": 2, "bbox": [10, 30, 75, 55], "score": 0.5}] * 4
    assert error_of(run("-", stdin=json.dumps(rows))) == (
        "stdin: the boxes look like corners [x0, y0, x1, y1], not [x, y, width, height]: read so, "
        "many run past their images; pass --boxes xyxy"
    )


def test_without_annotations_the_photos_tell_corners_and_scale_relative_boxes(run):
    rows = [{"image_id": 5, "category_id": 1, "bbox": [40, 30, 75, 55], "score": 0.5}] * 4
    classes = ["--classes", "names.txt"]
    assert error_of(run("-", *classes, stdin=json.dumps(rows), annotations=None)).startswith(
        "stdin: the boxes look like corners"
    )
    relative = [{"image_id": 9, "category_id": 1, "bbox": [0.5, 0.5, 0.25, 0.125], "score": 0.01}]
    done = run("-", *classes, "--boxes", "xywh-relative", stdin=json.dumps(relative), annotations=None)
    assert [row["bbox"] for row in json.loads(done.stdout)] == [[35, 45, 17.5, 11.25]]  # 70 wide, 90 high


def test_positions_in_place_of_ids_are_recognised_and_named(run):
    rows = [{**ROWS[0], "category_id": 0}]
    assert_names(error_of(run("-", stdin=json.dumps(rows))), "0", "2", "--category-ids positions")
    assert error_of(run("-", "--classes", "names.txt", stdin=json.dumps(rows), annotations=None)).endswith(
        "the ids look like positions from 0: pass --first-id 0"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--classes", "names.txt"], "--annotations and --classes both name the classes; pass one of them"),
        (["--first-id", 0], "--first-id counts the names of --classes; pass both"),
        (["--alias", "cat"], "--alias 'cat' is not NAME=TEXT, as in tvmonitor='tv screen'"),
        (["--alias", "cat=a", "--alias", "cat=b"], "--alias names the class 'cat' twice; keep one"),
        (["--rescore-classes", ","], "--rescore-classes ',' names no class; give all, novel or names with commas"),
        (
            ["--compat", "released", "--crop", "pad"],
            "--compat released cuts crops in its own way; leave out --crop pad",
        ),
        (["--alpha", 2], "--alpha must be in 0..1, got 2"),
    ],
)
def test_options_that_contradict_or_make_no_sense_are_refused(run, arguments, message):
    assert error_of(run("dets.json", *arguments)) == message


def test_what_is_missing_is_named_in_one_line(risf, folder):
    nothing = risf("rescore", "dets.json")
    assert (nothing.exit_code, nothing.stdout) == (1, "")
    assert_names(nothing.stderr, "error", "--images", "`images: ...`", "risf.yaml")
    no_classes = risf("rescore", "dets.json", "--images", "photos")
    assert_names(no_classes.stderr, "error", "dets.json", "--annotations", "--classes", "risf.yaml")


def test_bare_rescore_takes_the_rest_from_risf_yaml(risf, folder, tiny):
    (folder / "risf.yaml").write_text(
        f"annotations: gt.json\nimages: [photos]\nclip-config: {tiny[0]}\nclip_weights: {tiny[1]}\nprecision: fp32\n"
        "rescore:\n  alpha: 0.25\n"
    )
    done = risf("rescore", "dets.json")
    assert done.exit_code == 0, done.stderr
    row = json.loads(done.stdout)[1]
    assert row["score"] == pytest.approx(0.25 * 0.8 + 0.75 * row["score_clip"], abs=1e-12)


def test_what_was_rescored_before_is_not_rescored_again(run, folder):
    run("dets.json", "--out", "after.json")
    line = "after.json: 3 rows with score_detector or score_clip: this file has been re-scored before"
    assert line in error_of(run("after.json"))
    rows = json.loads((folder / "after.json").read_text())
    calibrated = [{name: value for name, value in row.items() if name != "score_clip"} for row in rows]
    (folder / "after.json").write_text(json.dumps(calibrated))  # as a fusion without terms leaves them
    assert line in error_of(run("after.json"))


def test_what_is_read_is_not_overwritten(run, folder, tiny):
    (folder / "shots.json").write_text("{}")
    for own in ("gt.json", "shots.json", *tiny):
        before = Path(own).read_bytes()
        line = f"--out {own} would overwrite an input; choose another name"
        assert error_of(run("dets.json", "--out", own, "--support", "shots.json")) == line
        assert Path(own).read_bytes() == before
    assert_names(error_of(run("dets.json", "--out", "./dets.json")), "--out", "dets.json", "overwrite")


def test_an_empty_list_is_told(run):
    assert "warning: stdin: holds no detections" in run("-", stdin="[]").stderr


def test_a_typed_encoder_beats_the_one_of_risf_yaml(risf, folder, tiny):
    (folder / "risf.yaml").write_text(
        f"annotations: gt.json\nimages: photos\nclip_config: {tiny[0]}\nclip_weights: {tiny[1]}\n"
    )
    done = risf("rescore", "dets.json", "--clip", "ViT-B-32:nope")
    assert_names(error_of(done), "--clip ViT-B-32:nope", "'nope'", "'openai'")


def test_stdout_by_its_name_is_stdout(risf, folder, tiny):
    given = ["--annotations", "gt.json", "--images", "photos", "--clip-config", tiny[0], "--clip-weights", tiny[1]]
    done = risf("rescore", "dets.json", *given, "--out", "/dev/stdout")
    assert len(json.loads(done.stdout)) == 4


def test_a_full_disk_at_the_last_moment_leaves_the_old_output_whole(run, folder, monkeypatch):
    import errno

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (folder / "after.json").write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    assert error_of(run("dets.json", "--out", "after.json")) == (
        "after.json: no space left on the disk; the file that was there is unchanged; free some or write elsewhere"
    )
    assert (folder / "after.json").read_text() == "old"
    assert not list(folder.glob("*.part"))
    assert not list(folder.glob(".*.part"))


def test_a_bar_with_rate_and_time_left_is_drawn_on_a_terminal(monkeypatch):
    import io

    from rich.console import Console

    from risf_cli import render

    screen = io.StringIO()
    monkeypatch.setattr(
        render, "console", lambda **options: Console(file=screen, force_terminal=True, width=100, color_system=None)
    )
    monkeypatch.setattr(render, "LEAST_SECONDS", 0.1)
    with render.progress_of("re-scoring", "crops") as progress:
        progress(0, 50)
        time.sleep(0.3)
        progress(40, 50)
    drawn = screen.getvalue()
    assert re.search(r"re-scoring .* 40/50 crops +\d+\.?\d* crops/s +0:00:0\d left", drawn), drawn


def test_an_interrupt_ends_with_130_and_leaves_the_old_output(folder, tiny):
    (folder / "after.json").write_text("old")
    code = (
        "import sys, time\n"
        "from risf_core.encoder import preprocessing as encoder\n"
        "decode = encoder.decode_rgb\n"
        "def slow(*arguments):\n"
        "    print('decoding', flush=True)\n"
        "    time.sleep(1.5)\n"
        "    return decode(*arguments)\n"
        "encoder.decode_rgb = slow\n"
        "from risf_cli.app import main\n"
        "main()\n"
    )
    options = ["--annotations", "gt.json", "--images", "photos", "--clip-config", str(tiny[0])]
    options += ["--clip-weights", str(tiny[1]), "--cache", "none"]
    command = [sys.executable, "-c", code, "rescore", "dets.json", *options]
    process = subprocess.Popen(
        [*command, "--out", "after.json"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("decoding")  # two threads may say so at once
    process.send_signal(signal.SIGINT)
    _, talk = process.communicate(timeout=120)
    assert process.returncode == 130
    assert talk.splitlines()[-1] == "interrupted"
    assert sorted(os.listdir(folder)) == ["after.json", "dets.json", "gt.json", "names.txt", "photos"]
    assert (folder / "after.json").read_text() == "old"


def test_a_progress_line_comes_every_tenth_away_from_a_terminal(capsys, monkeypatch):
    from risf_cli.render import progress_of

    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with progress_of("re-scoring", "crops") as progress:
        for done in range(1, 101):
            now[0] += 1.0
            progress(done, 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4] == "re-scoring: 50/100 crops, 1.0 crops/s, 50 s left"


def test_an_output_that_cannot_be_written_is_named_before_the_work(run):
    Path("file").touch()
    done = run("dets.json", "--out", "file/out.json", "--clip-weights", "gone.pt")
    assert (done.exit_code, done.stderr) == (
        1,
        "error: file/out.json: cannot be written, because file is a file and not a folder; choose another path\n",
    )


@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices with names are POSIX's")
def test_pipes_and_devices_are_read_once_and_get_no_record(run):
    os.mkfifo("pipe")
    writer = subprocess.Popen([sys.executable, "-c", "open('pipe', 'w').write(open('dets.json').read())"])
    done = run("pipe", "--out", "/dev/null", "--json")
    assert writer.wait(timeout=60) == 0
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["read"] == len(ROWS)
    assert not Path("/dev/null.record.json").exists()
