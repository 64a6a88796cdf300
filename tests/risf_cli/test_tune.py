"""`risf tune` as a person runs it, and `risf rescore --fusion` with what it wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.rescore.fitted import log_odds_of
from tests.conftest import Run
from tests.messages import assert_names, error_of

CATEGORIES = [{"id": 2, "name": "cat"}, {"id": 7, "name": "dog"}]
COUNT = 12  # images


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twelve photos with a cat and a dog each; a detector that finds both, sometimes under the wrong name, and more."""
    rng = np.random.default_rng(3)
    (tmp_path / "photos").mkdir()
    images, boxes, rows = [], [], []
    for image_id in range(1, COUNT + 1):
        name = f"{image_id:03d}.png"
        Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(tmp_path / "photos" / name)
        images.append({"id": image_id, "file_name": name, "height": 60, "width": 80})
        for category_id, x in ((2, 2), (7, 42)):
            box = [x, 5, 30, 40]
            boxes.append(
                {"id": len(boxes) + 1, "image_id": image_id, "category_id": category_id, "bbox": box, "area": 1200}
            )
            wrong = 9 - category_id
            score = float(rng.uniform(0.3, 0.9))
            rows.append({"image_id": image_id, "category_id": category_id, "bbox": box, "score": score})
            rows.append({"image_id": image_id, "category_id": wrong, "bbox": box, "score": round(1 - score, 6)})
        rows.append({"image_id": image_id, "category_id": 2, "bbox": [20, 45, 9, 9], "score": 0.03})
    dataset = {"images": images, "annotations": boxes, "categories": CATEGORIES}
    (tmp_path / "gt.json").write_text(json.dumps(dataset))
    few = {**dataset, "annotations": boxes[:6], "images": images[:3]}
    (tmp_path / "shots.json").write_text(json.dumps(few))
    (tmp_path / "dets.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(risf: Run, folder: Path, tiny: tuple[Path, Path]):
    """Runs a command with the tiny encoder in this process."""
    encoder = ["--clip-config", tiny[0], "--clip-weights", tiny[1], "--device", "cpu", "--precision", "fp32"]

    def call(command: str, *arguments: object, annotations: str = "gt.json"):
        words = [command, *arguments, "--annotations", annotations, "--images", "photos", *encoder]
        return risf(*words)

    return call


def test_tune_writes_a_fusion_that_rescore_applies(run, folder: Path) -> None:
    done = run("tune", "dets.json", "--bootstrap", 20)
    assert done.exit_code == 0, done.output
    for words in ("detector", "paper, alpha 0.7", "best single alpha", "fitted fusion", "AP50", "verdict: re-scoring"):
        assert words in done.stdout
    assert done.stdout.splitlines()[-1] == "fusion.json"
    content = json.loads((folder / "fusion.json").read_text())
    assert content["arguments"]["seed"] == 0
    assert content["conditions"]["classes"] == ["cat", "dog"]
    assert content["inputs"]["detections"]["sha256"]
    assert content["labels"]["images"] == COUNT

    done = run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json")
    assert done.exit_code == 0, done.output
    before, after = (json.loads((folder / name).read_text()) for name in ("dets.json", "after.json"))
    assert [{key: row[key] for key in ("image_id", "category_id", "bbox")} for row in after] == [
        {key: row[key] for key in ("image_id", "category_id", "bbox")} for row in before
    ]
    assert [row["score_detector"] for row in after] == [row["score"] for row in before]
    fusion = content["fusion"]
    for row in after:  # what fusion.json says, by hand
        log_odds = log_odds_of(np.array([row["score_detector"]]))[0]
        alone = fusion["alone"]["intercept"] + fusion["alone"]["slope"] * log_odds
        if not fusion["terms"] or "score_clip" not in row:
            assert row["score"] == pytest.approx(1 / (1 + np.exp(-alone)), abs=1e-9)
    record = json.loads((folder / "after.json.record.json").read_text())
    assert record["fitted"] == fusion
    assert record["inputs"]["fusion"]["sha256"]


def test_the_same_seed_gives_the_same_file(run, folder: Path) -> None:
    files = []
    for name in ("one.json", "two.json"):
        assert run("tune", "dets.json", "--bootstrap", 10, "--seed", 4, "--out", name, "-q").exit_code == 0
        files.append(json.loads((folder / name).read_text()))
        del files[-1]["arguments"]["out"]
    assert files[0] == files[1]


def test_json_is_the_file_itself(run, folder: Path) -> None:
    done = run("tune", "dets.json", "--bootstrap", 0, "--json", "--quiet")
    assert json.loads(done.stdout) == json.loads((folder / "fusion.json").read_text())
    methods = json.loads(done.stdout)["cross_validation"]["methods"]
    assert [method["name"] for method in methods] == [
        "detector", "paper, alpha 0.7", "best single alpha", "fitted fusion",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--template", "a drawing of {}"], "other prompts:"),
        (["--crop", "pad"], "another crop rule: squash there, pad here; pass --crop as it was"),
        (["--min-score", 0.1], "another score range: [0.05, 1.0] there, [0.1, 1.0] here"),
        (["--alias", "cat=kitten"], "other prompts:"),
    ],
)
def test_a_fusion_fitted_to_something_else_is_refused(run, options: list[object], message: str) -> None:
    assert run("tune", "dets.json", "--bootstrap", 0, "-q").exit_code == 0
    line = error_of(run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json", *options, "-q"))
    assert line.startswith(f"--fusion fusion.json: was fitted with {message}")
    assert not Path("after.json").exists()


def test_texts_that_the_labels_chose_are_those_of_rescore(run, folder: Path) -> None:
    given = ["--template", "a drawing of {}", "--alias", "cat=kitten"]
    assert run("tune", "dets.json", "--bootstrap", 0, "-q", *given).exit_code == 0
    content = json.loads((folder / "fusion.json").read_text())
    content["texts"] = {"templates": ["a drawing of {}"], "aliases": {"cat": "kitten"}}  # as if chosen
    (folder / "fusion.json").write_text(json.dumps(content))
    assert run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json", "-q").exit_code == 0
    record = json.loads((folder / "after.json.record.json").read_text())
    assert record["prompts"]["texts"][0] == ["a drawing of kitten"]
    other = ["--template", "a photo of one {}"]
    line = error_of(run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json", *other, "-q"))
    assert "other prompts" in line


def test_several_names_of_a_class_are_tried_where_labels_choose(run, folder: Path) -> None:
    names = ["--alias", "cat=kitten", "--alias", "cat=tabby"]
    assert "--alias names the class 'cat' twice" in error_of(run("tune", "dets.json", *names))
    assert run("tune", "dets.json", *names, "--templates", "auto", "--bootstrap", 0, "-q").exit_code == 0
    content = json.loads((folder / "fusion.json").read_text())
    assert content["arguments"]["texts"]["names"] == {"cat": ["kitten", "tabby"]}
    assert run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json", "-q").exit_code == 0
    line = error_of(run("tune", "dets.json", "--templates", "auto", "--evidence", "none"))
    assert line.startswith("--templates auto compares crops with names, --evidence none does not")


def test_a_fusion_of_other_weights_is_refused(risf: Run, run, folder: Path, tmp_path_factory) -> None:
    from tests.tiny_encoder import TINY, save_tiny

    assert run("tune", "dets.json", "--bootstrap", 0, "-q").exit_code == 0
    config, weights = save_tiny(tmp_path_factory.mktemp("other"), "tiny-clip", TINY, seed=1)
    words = ["rescore", "dets.json", "--fusion", "fusion.json", "--annotations", "gt.json", "--images", "photos", "-q"]
    words += ["--clip-config", str(config), "--clip-weights", str(weights), "--precision", "fp32"]
    assert "was fitted with another weights:" in error_of(risf(*words))


def test_a_fusion_that_is_not_there_and_a_rule_that_is_none(run) -> None:
    line = error_of(run("rescore", "dets.json", "--fusion", "fusoin.json"))
    assert line == "fusoin.json: there is no such fusion file; check the path"
    line = error_of(run("rescore", "dets.json", "--fusion", "linaer"))
    assert line.startswith("--fusion 'linaer' is unknown (did you mean 'linear'?)")


def test_shots_are_a_second_voice_in_the_fit_and_in_the_formula(run, folder: Path) -> None:
    done = run("rescore", "dets.json", "--support", "shots.json", "--evidence", "support", "--out", "after.json")
    assert done.exit_code == 0, done.output
    row = json.loads((folder / "after.json").read_text())[20]  # of a photo that is no support
    assert row["score"] == pytest.approx(0.7 * row["score_detector"] + 0.3 * row["score_support"], abs=1e-12)
    assert "score_clip" not in row
    record = json.loads((folder / "after.json.record.json").read_text())
    assert (record["support"]["crops"], record["support"]["photos"]) == (6, 3)

    assert run("tune", "dets.json", "--support", "shots.json", "--bootstrap", 0, "-q").exit_code == 0
    content = json.loads((folder / "fusion.json").read_text())
    assert content["conditions"]["evidence"] == "both"
    with_support = ["--support", "shots.json", "--fusion", "fusion.json", "--out", "after.json", "-q"]
    assert run("rescore", "dets.json", *with_support).exit_code == 0
    line = error_of(run("rescore", "dets.json", "--fusion", "fusion.json", "-q"))
    assert "was fitted with another evidence: both there, text here; pass --evidence and --support as they were" in line


def test_a_split_is_read_as_sparse_labels_and_said_so(risf: Run, run, folder: Path) -> None:
    words = ["prepare-splits", "--coco", "gt.json", "--novel", "dog", "--shots", "5", "--seeds", "1", "--out", "split"]
    done = risf(*words)
    assert done.exit_code == 0, done.output
    done = run("tune", "dets.json", "--bootstrap", 0, annotations="split/shots/seed1.json")
    assert done.exit_code == 0, done.output
    assert "sparse labels: only detections on labelled boxes are judged" in done.stderr
    content = json.loads((folder / "fusion.json").read_text())
    assert content["labels"]["sparse"] is True
    assert content["labels"]["boxes"] == 10
    assert content["fusion"]["alone"] == {"slope": 1.0, "intercept": 0.0}
    shots = ["--support", "split", "--split-seed", 1, "--shots", 5, "--bootstrap", 0, "-q"]
    done = run("tune", "dets.json", *shots, annotations="split/shots/seed1.json")  # judged by shots of other photos
    assert done.exit_code == 0, done.output
    assert json.loads((folder / "fusion.json").read_text())["support"]["crops"] == 10
    done = run("tune", "dets.json", "--sparse", "--bootstrap", 0, "-q")
    assert json.loads((folder / "fusion.json").read_text())["labels"]["sparse"] is True


def test_bad_input_is_one_line(run, folder: Path) -> None:
    dataset = json.loads((folder / "gt.json").read_text())
    (folder / "one.json").write_text(json.dumps({**dataset, "images": dataset["images"][:1]}))
    (folder / "far.json").write_text(
        json.dumps({**dataset, "annotations": [{**row, "bbox": [0, 50, 4, 4]} for row in dataset["annotations"]]})
    )
    line = error_of(run("tune", "dets.json", annotations="one.json"))
    assert line == (
        "1 labelled image with detections to judge and to re-score; a fit needs at least 2, and 10 to be of use"
    )
    line = error_of(run("tune", "dets.json", annotations="far.json"))
    assert line.startswith("none of 48 detections is right (same class, overlap 0.5): do annotations and detections")
    line = error_of(run("tune", "dets.json", "--evidence", "support"))
    assert_names(line, "--evidence", "--support", "support")
    line = error_of(run("tune", "dets.json", "--support", "shots.json", "--evidence", "text"))
    assert_names(line, "--evidence", "--support")
    line = error_of(run("tune", "dets.json", "--out", "photos"))
    assert line.startswith("--out photos would overwrite an input")
    line = error_of(run("tune", "dets.json", "--out", "-"))
    assert_names(line, "--out", "`risf rescore`")
    renamed = [{**category, "name": f"x{category['id']}"} for category in dataset["categories"]]
    (folder / "renamed.json").write_text(json.dumps({**dataset, "categories": renamed}))
    line = error_of(run("rescore", "dets.json", "--support", "renamed.json"))
    assert_names(line, "renamed.json", "24", "2", "'x2'", "'x7'")


def test_files_that_are_read_are_not_written_over_and_rescored_ones_not_fitted(run, folder: Path) -> None:
    before = (folder / "dets.json").read_bytes()
    line = error_of(run("tune", "dets.json", "--out", "dets.json"))
    assert_names(line, "--out", "dets.json", "overwrite")
    assert error_of(run("tune", "dets.json", "--out", "gt.json")).startswith("--out gt.json would overwrite an input")
    assert (folder / "dets.json").read_bytes() == before
    run("rescore", "dets.json", "--out", "after.json")
    assert "has been re-scored before" in error_of(run("tune", "after.json"))


def test_the_formulas_share_beside_a_fitted_fusion_is_refused_and_not_in_the_record(run, folder: Path) -> None:
    assert run("tune", "dets.json", "--bootstrap", 0).exit_code == 0
    line = error_of(run("rescore", "dets.json", "--fusion", "fusion.json", "--alpha", 0.4))
    assert "--alpha" in line
    assert "fusion.json has its own weights" in line
    assert run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "after.json").exit_code == 0
    record = json.loads((folder / "after.json.record.json").read_text())
    assert record["fitted"]["fused"]
    assert not record["settings"].keys() & {"alpha", "fusion"}
    assert record["settings"]["temperature"] == 14.2857  # 1 / 0.07, where open_clip starts


def test_shots_are_not_counted_among_the_crops_from_the_cache(run, folder: Path) -> None:
    for known in (6, 24):  # the shots' own boxes, then all
        options = ["--support", "shots.json", "--evidence", "both", "--out", "after.json", "--cache", "own"]
        assert run("rescore", "dets.json", *options).exit_code == 0
        record = json.loads((folder / "after.json.record.json").read_text())
        assert (record["counts"]["from_cache"], record["counts"]["unique_crops"]) == (known, 24)
        assert record["encoded_crops_per_second"] >= 0


def test_rows_of_an_unknown_category_stay_as_they_are_under_a_fusion(run, folder: Path) -> None:
    assert run("tune", "dets.json").exit_code == 0
    rows = json.loads((folder / "dets.json").read_text())
    (folder / "more.json").write_text(json.dumps([*rows, {**rows[0], "category_id": 77}]))
    done = run("rescore", "more.json", "--fusion", "fusion.json", "--on-unmatched", "keep", "--out", "after.json")
    assert done.exit_code == 0, done.stderr
    after = json.loads((folder / "after.json").read_text())
    assert after[-1] == {**rows[0], "category_id": 77}
    assert after[0]["score"] != rows[0]["score"]


def test_ids_that_do_not_fit_are_refused_as_evaluate_refuses_them(run, folder: Path) -> None:
    rows = json.loads((folder / "dets.json").read_text())
    (folder / "strange.json").write_text(json.dumps([{**row, "category_id": 5} for row in rows]))
    assert "category_id 5" in error_of(run("tune", "strange.json"))
    (folder / "elsewhere.json").write_text(json.dumps([{**row, "image_id": row["image_id"] + 900} for row in rows]))
    line = error_of(run("tune", "elsewhere.json"))
    assert line.startswith("elsewhere.json: image_id 901, 902, 903, 904, 905 and 7 more not among the 12 images")


def test_detections_of_images_without_labels_are_passed_over_and_counted(run, folder: Path) -> None:
    dataset = json.loads((folder / "gt.json").read_text())
    few = [image["id"] for image in dataset["images"][:8]]
    labelled = {
        **dataset,
        "images": dataset["images"][:8],
        "annotations": [row for row in dataset["annotations"] if row["image_id"] in few],
    }
    (folder / "labelled.json").write_text(json.dumps(labelled))
    rows = [row for row in json.loads((folder / "dets.json").read_text()) if row["image_id"] in few]
    (folder / "few.json").write_text(json.dumps(rows))
    contents = []
    for name in ("dets.json", "few.json"):
        done = run("tune", name, "--bootstrap", 0, annotations="labelled.json")
        assert done.exit_code == 0, done.output
        told = "20 rows left out (20 of an unknown photo)" in done.stderr
        assert told == (name == "dets.json")
        contents.append(json.loads((folder / "fusion.json").read_text()))
    assert contents[0]["fusion"] == contents[1]["fusion"]
    assert contents[0]["labels"] == contents[1]["labels"]


def test_without_annotations_the_line_names_option_and_key(risf: Run, folder: Path) -> None:
    done = risf("tune", "dets.json", "--images", "photos")
    assert error_of(done).startswith(
        "risf tune needs --annotations; pass it, or write `annotations: ...` into risf.yaml"
    )


def test_every_term_of_a_fusion_has_words() -> None:
    from risf_cli import tune_tables
    from risf_core.rescore.fitted import TERMS

    assert set(tune_tables._TERM_NAMES) == set(TERMS)


def test_a_calibration_needs_neither_photos_nor_encoder_and_leaves_ap_as_it_is(risf: Run, folder: Path) -> None:
    done = risf("tune", "dets.json", "--annotations", "gt.json", "--evidence", "none")
    assert done.exit_code == 0, done.output
    for words in ("LaECE0", "detector", "logistic", "line per class", "isotonic", "verdict: "):
        assert words in done.stdout
    content = json.loads((folder / "fusion.json").read_text())
    assert content["conditions"] == {"classes": ["cat", "dog"], "category ids": [2, 7], "evidence": "none"}
    done = risf("rescore", "dets.json", "--annotations", "gt.json", "--fusion", "fusion.json", "--out", "after.json")
    assert done.exit_code == 0, done.output
    assert "calibrated 60 of 60 rows" in done.stderr
    before, after = (json.loads((folder / name).read_text()) for name in ("dets.json", "after.json"))
    assert [row["score_detector"] for row in after] == [row["score"] for row in before]
    assert [row["score"] for row in after] != [row["score"] for row in before]
    done = risf("evaluate", "dets.json", "after.json", "--annotations", "gt.json", "--bootstrap", 0, "--json")
    first, second = (result["metrics"] for result in json.loads(done.stdout)["results"])
    assert first == second


def test_neither_torch_nor_scipys_users_are_loaded_to_apply_a_calibration(risf: Run, folder: Path) -> None:
    assert risf("tune", "dets.json", "--annotations", "gt.json", "--evidence", "none", "-q").exit_code == 0
    words = ["rescore", "dets.json", "--annotations", "gt.json", "--fusion", "fusion.json", "--out", "after.json"]
    for call in (["tune", "dets.json", "--annotations", "gt.json", "--evidence", "none"], words):
        script = (
            f"import runpy, sys; sys.argv = {['risf', *call]!r}\n"
            "try: runpy.run_module('risf_cli', run_name='__main__')\n"
            "except SystemExit as end: assert not end.code, end.code\n"
            "print('torch' in sys.modules, 'open_clip' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "False False"


def test_a_calibration_is_refused_where_it_cannot_be_right(risf: Run, folder: Path) -> None:
    line = error_of(risf("tune", "dets.json", "--annotations", "gt.json", "--evidence", "none", "--sparse"))
    assert line.startswith("--evidence none needs images whose objects are all labelled")
    line = error_of(risf("rescore", "dets.json", "--annotations", "gt.json", "--evidence", "none", "--out", "a.json"))
    assert line.startswith("--evidence none needs --fusion, a file that `risf tune` wrote")
    with_shots = ["--evidence", "none", "--support", "shots.json"]
    line = error_of(risf("tune", "dets.json", "--annotations", "gt.json", *with_shots))
    assert_names(line, "--evidence none", "--support")
    assert risf("tune", "dets.json", "--annotations", "gt.json", "--evidence", "none", "-q").exit_code == 0
    (folder / "names.txt").write_text("cat\ncow\n")
    line = error_of(
        risf("rescore", "dets.json", "--classes", "names.txt", "--fusion", "fusion.json", "--out", "a.json")
    )
    assert "fusion.json" in line or "category_id" in line


@pytest.mark.parametrize("evidence", ["none", "text"])
def test_thresholds_are_written_shown_and_applied(risf: Run, run, folder: Path, evidence: str) -> None:
    done = run("tune", "dets.json", "--evidence", evidence, "--precision-at", 0.7, "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    assert "precision (95 %)" in done.stdout
    stated = json.loads((folder / "fusion.json").read_text())["thresholds"]
    assert set(stated) == {"cat", "dog"}
    done = run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "all.json")
    assert done.exit_code == 0, done.output
    done = run("rescore", "dets.json", "--fusion", "fusion.json", "--out", "kept.json", "--apply-thresholds")
    assert done.exit_code == 0, done.output
    every, kept = (json.loads((folder / name).read_text()) for name in ("all.json", "kept.json"))
    least = {2: stated["cat"]["score"], 7: stated["dog"]["score"]}
    assert kept == [row for row in every if row["score"] >= least[row["category_id"]]]
    assert 0 < len(kept) < len(every)
    assert f"dropped {len(every) - len(kept)} rows below the threshold of their class" in done.stderr
    record = json.loads((folder / "kept.json.record.json").read_text())
    assert record["counts"]["below_threshold"] == len(every) - len(kept)
    assert record["counts"]["above_after"]["0.05"] == sum(row["score"] > 0.05 for row in kept)


def test_thresholds_that_cannot_be_had_are_refused(risf: Run, folder: Path) -> None:
    tune = ["tune", "dets.json", "--annotations", "gt.json", "--evidence", "none"]
    assert "leave one out" in error_of(risf(*tune, "--precision-at", 0.9, "--best", "f1"))
    assert error_of(risf(*tune, "--precision-at", 90)) == "--precision-at must be between 0 and 1, got 90"
    sparse = ["tune", "dets.json", "--annotations", "gt.json", "--images", "photos", "--sparse", "--best", "f1"]
    assert "--best need images whose objects are all labelled" in error_of(risf(*sparse, "--clip-weights", "gt.json"))
    assert risf(*tune, "-q").exit_code == 0
    rescore = ["rescore", "dets.json", "--annotations", "gt.json", "--out", "a.json", "--apply-thresholds"]
    assert error_of(risf(*rescore, "--images", "photos")).startswith("--apply-thresholds needs --fusion, a file with")
    line = error_of(risf(*rescore, "--fusion", "fusion.json"))
    assert line.startswith("--apply-thresholds finds no thresholds in fusion.json; risf tune writes them")
    line = error_of(risf(*rescore[:-1], "--fusion", "fusion.json", "--budget", 3))
    assert "is a calibration, which asks no encoder; leave out --budget 3" in line
    content = json.loads((folder / "fusion.json").read_text())
    (folder / "fusion.json").write_text(json.dumps({**content, "thresholds": {"cat": {"score": 0.5}}}))
    assert "no threshold of the class 'dog'" in error_of(risf(*rescore, "--fusion", "fusion.json"))
