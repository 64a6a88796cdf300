"""`risf evaluate` as a person runs it: tables, JSON, files, pipes and errors."""

from __future__ import annotations

import json
from functools import partial

import pytest

from tests.conftest import Run
from tests.messages import assert_names

IMAGES = [{"id": i, "file_name": f"{i:012d}.jpg", "height": 100, "width": 100} for i in (5, 9)]
CATEGORIES = [{"id": 2, "name": "cat"}, {"id": 4, "name": "dog"}]
TRUTH = {
    "images": IMAGES,
    "categories": CATEGORIES,
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 2, "bbox": [10, 10, 30, 30]},
        {"id": 2, "image_id": 9, "category_id": 4, "bbox": [20, 20, 40, 40]},
    ],
}
HIT = {"image_id": 5, "category_id": 2, "bbox": [10, 10, 30, 30], "score": 0.9}
OTHER_HIT = {"image_id": 9, "category_id": 4, "bbox": [20, 20, 40, 40], "score": 0.8}
MISS = {"image_id": 9, "category_id": 4, "bbox": [60, 60, 30, 30], "score": 0.7}

BY_IDS = "(by --image-ids dataset), classes by --category-ids dataset"


@pytest.fixture
def evaluate(risf: Run):
    return partial(risf, "evaluate")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working folder with ground truth and three detections files of known AP: 1, 0.5 and none."""
    for name, content in {"gt": TRUTH, "both": [HIT, OTHER_HIT], "half": [HIT, MISS], "none": []}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_json_holds_raw_values_of_every_class_and_group(evaluate, folder):
    done = evaluate("half.json", "--annotations", "gt.json", "--novel", "dog", "--json")
    assert done.exit_code == 0
    assert_names(done.stderr, "note", "half.json", "--format", "2", BY_IDS)
    content = json.loads(done.stdout)
    assert (content["annotations"], content["images"], content["boxes"]) == ("gt.json", 2, 2)
    assert (content["novel"], content["max_dets"]) == (["dog"], [1, 10, 100])
    (result,) = content["results"]
    assert (result["detections"], result["rows"], result["evaluator"]) == ("half.json", 2, "ultrafast-pycocotools")
    metrics = result["metrics"]
    # by hand: the small cat is found, the middle-sized dog is not, and nothing is large
    assert [round(metrics[name], 12) for name in ("AP", "bAP", "nAP", "nAP50", "AR")] == [0.5, 1, 0, 0, 0.5]
    assert [round(metrics[name], 12) for name in ("APs", "APm", "APl")] == [1, 0, -1]
    assert round(result["per_class"]["cat"]["AP75"], 12) == 1
    assert "difference" not in result


def test_several_files_stand_side_by_side_with_their_differences(evaluate, folder):
    arguments = ("half.json", "both.json", "none.json", "--annotations", "gt.json", "--bootstrap", "0")
    content = json.loads(evaluate(*arguments, "--json").stdout)
    assert [round(result["metrics"]["AP"], 12) for result in content["results"]] == [0.5, 1, 0]
    assert [round(result["difference"]["AP"], 12) for result in content["results"][1:]] == [0.5, -0.5]
    assert content["results"][1]["difference"]["APl"] is None
    lines = evaluate(*arguments, "--per-class").stdout.splitlines()
    assert next(line.split() for line in lines if line.split()[:1] == ["AP"] and "by" not in line) == [
        "AP", "50.00", "100.00", "+50.00", "0.00", "-50.00",
    ]  # fmt: skip
    assert next(line.split() for line in lines if line.split()[:1] == ["dog"]) == [
        "dog", "1", "0.00", "100.00", "+100.00", "0.00", "+0.00",
    ]  # fmt: skip


def test_one_file_is_shown_with_its_groups_as_columns(evaluate, folder):
    lines = evaluate("half.json", "--annotations", "gt.json", "--novel", "dog").stdout.splitlines()
    assert [line.split() for line in lines if "all classes" in line] == [["all", "classes", "base", "novel"]]
    assert [line.split() for line in lines if line.split()[:1] == ["AP50"]] == [["AP50", "50.00", "100.00", "0.00"]]
    assert not [line for line in lines if "by class" in line or line.split()[:1] in (["APs"], ["AR1"])]


def test_classes_and_all_metrics_follow_the_summary_where_they_are_wanted(evaluate, folder):
    options = ("half.json", "--annotations", "gt.json", "--novel", "dog")
    short, long = (evaluate(*options, *more).stdout.splitlines() for more in ((), ("--per-class", "--all-metrics")))
    assert [line.split()[0] for line in short if "." in line] == ["AP", "AP50", "AP75"]
    assert [line.split()[0] for line in long if "." in line] == [
        *("AP", "AP50", "AP75", "APs", "APm", "AR1", "AR10", "AR100", "ARs", "ARm"), "dog", "cat",
    ]  # fmt: skip
    assert [line for line in long if "by class" in line] == [
        "AP by class: novel, 1 of 1 classes have boxes", "AP by class: base, 1 of 1 classes have boxes",
    ]  # fmt: skip


def test_out_writes_the_json_and_the_table_is_still_printed(evaluate, folder):
    done = evaluate("both.json", "--annotations", "gt.json", "--out", "metrics/val.json")
    assert "AP75" in done.stdout
    written = json.loads((folder / "metrics" / "val.json").read_text())
    assert written == json.loads(evaluate("both.json", "--annotations", "gt.json", "--json").stdout)
    assert written == json.loads(evaluate("both.json", "--annotations", "gt.json", "--out", "-").stdout)


def test_detections_come_from_stdin_also_as_a_dataset_with_scores(evaluate, folder):
    listed = evaluate("-", "--annotations", "gt.json", "--json", stdin=json.dumps([HIT, MISS]))
    assert json.loads(listed.stdout)["results"][0]["detections"] == "stdin"
    scored = {**TRUTH, "annotations": [HIT, MISS]}
    enveloped = evaluate("-", "--annotations", "gt.json", "--json", stdin=json.dumps(scored))
    contents = [json.loads(done.stdout) for done in (listed, enveloped)]
    recognised = [content.pop("recognised")[0] for content in contents]
    assert contents[0] == contents[1]
    assert ["COCO results list" in recognised[0], "COCO dataset with scores" in recognised[1]] == [True, True]


def test_classes_of_a_dataset_with_scores_go_by_name_unless_told_otherwise(evaluate, folder):
    scored = {**TRUTH, "categories": [{"id": 2, "name": "lion"}, {"id": 4, "name": "dog"}], "annotations": [HIT]}
    done = evaluate("-", "--annotations", "gt.json", stdin=json.dumps(scored))
    assert (done.exit_code, done.stderr) == (
        1,
        "error: stdin: class 'lion' not among the 2 classes; pass --rename with OLD=NEW, or go by ids with "
        "--category-ids\n",
    )
    for option in (["--rename", "lion=cat"], ["--category-ids", "dataset"]):
        done = evaluate("-", "--annotations", "gt.json", "--json", *option, stdin=json.dumps(scored))
        assert round(json.loads(done.stdout)["results"][0]["per_class"]["cat"]["AP"], 12) == 1
    assert "--rename takes OLD=NEW, got 'lion'" in evaluate("-", "--annotations", "gt.json", "--rename", "lion").stderr


def test_no_detections_are_ap_zero_and_a_warning(evaluate, folder):
    done = evaluate("none.json", "--annotations", "gt.json", "--json")
    assert done.exit_code == 0
    assert done.stderr == "warning: there are no detections: every AP is 0\n"
    assert json.loads(done.stdout)["results"][0]["metrics"]["AP"] == 0


def test_a_list_of_names_is_not_annotations_and_the_accepted_forms_are_named(evaluate, folder):
    (folder / "names.txt").write_text("cat\ndog\n")
    done = evaluate("half.json", "--annotations", "names.txt")
    assert done.exit_code == 1
    assert_names(done.stderr, "error", "names.txt", "COCO JSON", "Pascal VOC", "data.yaml")


def test_the_reference_evaluator_gives_the_same_values(evaluate, folder):
    arguments = ("half.json", "--annotations", "gt.json", "--json")
    reference = evaluate(*arguments, "--evaluator", "pycocotools")
    assert reference.stdout == evaluate(*arguments).stdout.replace("ultrafast-pycocotools", "pycocotools")


@pytest.mark.parametrize(
    ("given", "caps"),
    [("100", [1, 10, 100]), ("300", [1, 10, 300]), ("5", [1, 5]), ("1", [1]), ("100,1000", [100, 1000])],
)
def test_max_dets_is_the_last_cap_or_all_of_them(evaluate, folder, given, caps):
    done = evaluate("half.json", "--annotations", "gt.json", "--json", "--max-dets", given)
    content = json.loads(done.stdout)
    assert content["max_dets"] == caps
    assert [f"AR{cap}" in content["results"][0]["metrics"] for cap in caps] == [True] * len(caps)


def test_annotations_come_from_risf_yaml_and_from_the_published_layout(evaluate, folder):
    expected = evaluate("half.json", "--annotations", "gt.json", "--json", "--novel", "cat")
    (folder / "risf.yaml").write_text("annotations: gt.json\nnovel: cat\n")
    assert evaluate("half.json", "--json").stdout == expected.stdout
    (folder / "risf.yaml").unlink()
    layout = folder / "datasets" / "cocosplit" / "datasplit"
    layout.mkdir(parents=True)
    (layout / "5k.json").write_text(json.dumps(TRUTH))
    assert json.loads(evaluate("half.json", "--json").stdout)["annotations"] == str(
        (layout / "5k.json").relative_to(folder)
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["half.json"],
            "risf evaluate needs --annotations; pass it, or write `annotations: ...` into risf.yaml of the working "
            "folder",
        ),
        ([], "risf evaluate needs a detections file: risf evaluate detections.json (- is stdin)"),
        (
            ["-", "-", "--annotations", "gt.json"],
            "- (stdin) can be read once only; write the other inputs to files",
        ),
        (["-", "--annotations", "-"], "- (stdin) can be read once only; write the other inputs to files"),
        (["gone.json", "--annotations", "gt.json"], "gone.json: there is no such detections file; check the path"),
        (["half.json", "--annotations", "gone.json"], "gone.json: there is no such annotations file; check the path"),
        (
            ["half.json", "--annotations", "both.json"],
            "both.json: holds list, not a COCO dataset (an object with images, annotations and categories); "
            "a list is a detections file",
        ),
        (
            ["gt.json", "--annotations", "gt.json"],
            "gt.json: its annotations carry no score, so they are ground truth and not detections; "
            "pass it as --annotations, and the detector's results as DETECTIONS",
        ),
        (
            ["half.json", "--annotations", "gt.json", "--max-dets", "0"],
            "--max-dets takes whole numbers from 1 with commas, got '0'; COCO's are 1,10,100",
        ),
        (
            ["half.json", "--annotations", "gt.json", "--novel", "dgo"],
            "--novel: 'dgo' not among the 2 classes (did you mean 'dog'?); published sets are coco20, voc1, voc2, voc3",
        ),
        (
            ["half.json", "--annotations", "gt.json", "--out", "gt.json/metrics.json"],
            "gt.json/metrics.json: cannot be written, because gt.json is a file and not a folder; choose another path",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_exit_code_one(evaluate, folder, arguments, message):
    done = evaluate(*arguments, stdin="[]")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({**HIT, "image_id": 0}, "stdin: image_id 0 not among the 2 images of the annotations (5, 9); the ids look "
            "like positions from 0: pass --image-ids positions"),
        ({**HIT, "image_id": "000000000005.jpg"}, "stdin: image_id '000000000005.jpg' not among the 2 images of the "
            "annotations (5, 9); the ids look like file names: pass --image-ids file-names"),
        ({**HIT, "category_id": 0}, "stdin: category_id 0 unknown to the 2 classes (ids 2..4); the ids look like "
            "positions from 0: pass --category-ids positions"),
        ({**HIT, "bbox": [1, 2, 3]}, "stdin: row 0: bbox [1, 2, 3] has 3 numbers, not 4 (x, y, width, height)"),
        ({**HIT, "score": 1.5}, "stdin: row 0: score 1.5 is outside 0..1 (1 such row) (logits? pass them through "
            "the sigmoid or softmax that the detector was trained with); scores must be probabilities"),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_named_with_the_way_out(evaluate, folder, row, message):
    done = evaluate("-", "--annotations", "gt.json", stdin=json.dumps([row]))
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_the_ways_out_that_errors_name_do_work(evaluate, folder):
    rows = [{**HIT, "image_id": 0, "category_id": 0}, {**OTHER_HIT, "image_id": 1, "category_id": 1}]
    done = evaluate(
        "-", "--annotations", "gt.json", "--json", "--image-ids", "positions",
        "--category-ids", "positions", stdin=json.dumps(rows),
    )  # fmt: skip
    assert round(json.loads(done.stdout)["results"][0]["metrics"]["AP"], 12) == 1
    stray = [HIT, OTHER_HIT, {**HIT, "image_id": 77}, {**HIT, "category_id": 77}]
    done = evaluate("-", "--annotations", "gt.json", "--json", "--on-unmatched", "drop", stdin=json.dumps(stray))
    assert round(json.loads(done.stdout)["results"][0]["metrics"]["AP"], 12) == 1
    assert_names(done.stderr, "warning", "stdin", "--format", "2", BY_IDS, "1")


def test_an_unknown_evaluator_is_wrong_usage(evaluate, folder):
    assert evaluate("half.json", "--annotations", "gt.json", "--evaluator", "slow").exit_code == 2


def test_bare_evaluate_reads_the_detections_that_lie_in_the_working_folder(evaluate, folder):
    (folder / "risf.yaml").write_text("annotations: gt.json\n")
    (folder / "half.json").rename(folder / "detections.json")
    (folder / "both.json").rename(folder / "rescored.json")
    done = evaluate()
    assert done.exit_code == 0, done.stderr
    assert done.stdout.split()[:3] == ["detections", "rescored", "diff"]


@pytest.fixture
def crowded_folder(tmp_path, monkeypatch):
    """Ground truth of 12 photos with a cat each; one file finds every other cat, another all, a third none."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 100, "width": 100} for i in range(1, 13)]
    cat = {"category_id": 2, "bbox": [10, 10, 30, 30]}
    truth = [{"id": i, "image_id": i, **cat} for i in range(1, 13)]
    found = [{"image_id": i, **cat, "score": 0.5 + i / 100} for i in range(1, 13)]
    missed = [{**row, "bbox": [60, 60, 30, 30]} if row["image_id"] % 2 else row for row in found]
    content = {"images": images, "categories": CATEGORIES, "annotations": truth}
    for name, rows in {"gt": content, "half": missed, "all": found, "none": []}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_files_that_are_compared_get_intervals_unless_they_are_runs(evaluate, folder):
    compared = json.loads(evaluate("half.json", "both.json", "--annotations", "gt.json", "--json").stdout)
    assert compared["bootstrap"]["resamples"] == 1000
    for files in (["half.json"], ["half.json", "both.json", "--aggregate"]):
        assert "bootstrap" not in json.loads(evaluate(*files, "--annotations", "gt.json", "--json").stdout)


def test_bootstrap_gives_each_figure_and_each_difference_an_interval(evaluate, crowded_folder):
    arguments = ("half.json", "all.json", "--annotations", "gt.json", "--bootstrap", "200")
    done = evaluate(*arguments, "--json", "--quiet")
    assert done.stderr == ""
    content = json.loads(done.stdout)
    assert content["bootstrap"] == {"resamples": 200, "seed": 0, "level": 0.95}
    first, second = content["results"]
    low, high = second["difference_intervals"]["metrics"]["AP"]
    assert 0 < low < second["difference"]["AP"] < high
    assert second["difference_intervals"]["per_class"]["cat"]["AP"] == [low, high]
    assert second["difference_intervals"]["per_class"]["dog"]["AP"] is None
    assert first["intervals"]["metrics"]["AP"][0] < first["metrics"]["AP"] < first["intervals"]["metrics"]["AP"][1]
    assert "difference_intervals" not in first
    assert evaluate(*arguments, "--json", "--quiet").stdout == done.stdout
    assert evaluate(*arguments, "--json", "--quiet", "--seed", "1").stdout != done.stdout
    truth = json.loads((crowded_folder / "gt.json").read_text())
    few = {**truth, "annotations": truth["annotations"][:3]}
    (crowded_folder / "few.json").write_text(json.dumps(few))
    lines = evaluate(*arguments).stdout.splitlines()
    assert lines[-2:] == [
        "± 95 % interval: paired bootstrap over 12 images, 200 resamples",
        "* the interval of the difference does not contain 0",
    ]
    options = ("--annotations", "few.json", "--bootstrap", "20", "--per-class")
    few = evaluate("half.json", *options).stdout.splitlines()
    assert few[-1] == "± - a class with boxes in fewer than 5 images has no interval"
    # by hand: hit k of half.json has precision k / (2 k - 1) and recall k / 12; 9, 8, 9, 8, 8, 9 thresholds lie between
    half = (9 * 1 + 8 * 2 / 3 + 9 * 3 / 5 + 8 * 4 / 7 + 8 * 5 / 9 + 9 * 6 / 11) / 101
    shown = next(line.split() for line in lines if line.split()[:1] == ["AP75"])
    assert shown[:5] == ["AP75", f"{100 * half:.2f}", "100.00", "*", f"{100 * (1 - half):+.2f}"]


def test_aggregate_takes_files_as_runs(evaluate, crowded_folder):
    arguments = ("none.json", "all.json", "--annotations", "gt.json", "--aggregate", "--csv", "classes.csv")
    content = json.loads(evaluate(*arguments, "--json").stdout)
    # by hand: AP 0 and 1, so s = sqrt(.5) and 1.96 s / sqrt(2) = .98
    assert {k: round(v, 9) for k, v in content["aggregate"]["metrics"]["AP"].items()} == {
        "mean": 0.5, "deviation": round(0.5**0.5, 9), "interval": 0.98,
    }  # fmt: skip
    assert [round(result["metrics"]["AP"], 9) for result in content["results"]] == [0, 1]
    header, cat, dog = (crowded_folder / "classes.csv").read_text().splitlines()
    assert header.startswith("class,category_id,group,boxes,runs,AP_mean,AP_interval,AP50_mean")
    assert cat.startswith("cat,2,all,12,2,0.5,0.9799999999999999,0.5,")
    assert dog.startswith("dog,4,all,0,2,,,")
    lines = evaluate(*arguments).stdout.splitlines()
    assert ["AP", "50.00", "±", "98.00"] in [line.split() for line in lines]
    assert lines[-1] == "mean ± 95 % interval of the mean over 2 runs (1.96 s / sqrt(n))"
    alone = evaluate("all.json", "--annotations", "gt.json", "--aggregate").stdout.splitlines()
    assert alone[-1] == "mean ± 95 % interval of the mean over 1 run: none, two are needed"


def test_csv_of_files_has_a_row_for_each_file_and_class(evaluate, crowded_folder):
    evaluate("none.json", "all.json", "--annotations", "gt.json", "--csv", "classes.csv")
    rows = (crowded_folder / "classes.csv").read_text().splitlines()
    assert rows[0].startswith("detections,class,category_id,group,boxes,AP,AP50,AP75,APs")
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ["none.json", "cat"], ["none.json", "dog"], ["all.json", "cat"], ["all.json", "dog"],
    ]  # fmt: skip


def test_the_voc_protocol_puts_ap50_first_and_leaves_difficult_boxes_out(evaluate, crowded_folder):
    content = json.loads((crowded_folder / "gt.json").read_text())
    for box in content["annotations"]:
        box["difficult"] = box["image_id"] % 2  # the very cats that half.json misses
    (crowded_folder / "gt.json").write_text(json.dumps(content))
    done = evaluate("half.json", "--annotations", "gt.json", "--protocol", "voc", "--json")
    content = json.loads(done.stdout)
    assert "max_dets" not in content
    (result,) = content["results"]
    assert list(result["metrics"]) == ["AP50", "AP", "AP75"]
    assert (result["protocol"], result["evaluator"]) == ("voc", "risf")
    # by hand: six boxes count; from the best score on hit and miss take turns, so hit k has precision k / (2 k - 1) and
    # recall k / 6: recalls 0 and .1 are reached by the first hit, .2 and .3 by the second, .6 alone by the fourth
    assert result["metrics"]["AP50"] == pytest.approx(
        (2 * 1 + 2 * 2 / 3 + 2 * 3 / 5 + 4 / 7 + 2 * 5 / 9 + 2 * 6 / 11) / 11
    )
    assert evaluate("half.json", "--annotations", "gt.json", "--protocol", "voc").exit_code == 0
    interval = evaluate("half.json", "--annotations", "gt.json", "--protocol", "voc", "--bootstrap", "20")
    assert interval.exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--aggregate", "--bootstrap", "9"], "--aggregate is about runs and --bootstrap about images; choose one"),
        (["--protocol", "voc", "--max-dets", "9"], "--max-dets is COCO's; the voc protocol counts all detections"),
        (["--bootstrap", "1"], "a bootstrap needs at least 2 resamples, got 1; 1000 is usual"),
    ],
)
def test_options_that_do_not_go_together_are_refused(evaluate, crowded_folder, options, message):
    done = evaluate("half.json", "--annotations", "gt.json", *options)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_images_without_detections_are_told_where_they_are_the_most(evaluate, folder):
    truth = {**TRUTH, "images": [*IMAGES, {"id": 11, "file_name": "x.jpg", "height": 100, "width": 100}]}
    (folder / "more.json").write_text(json.dumps(truth))
    (folder / "one.json").write_text(json.dumps([HIT]))
    told = evaluate("one.json", "--annotations", "more.json", "--quiet").stderr
    assert told == (
        "warning: one.json: 2 of 3 images have no detections, so all their boxes count as missed; "
        "was the detector run on them?\n"
    )
    assert evaluate("both.json", "--annotations", "more.json", "--quiet").stderr == ""


@pytest.mark.parametrize("option", ["--out", "--csv"])
@pytest.mark.parametrize("read", ["gt.json", "both.json", "link.json", "novel.txt"])
def test_no_output_is_written_over_a_file_that_is_read(evaluate, folder, option, read):
    (folder / "novel.txt").write_text("dog\n")
    (folder / "link.json").symlink_to("gt.json")
    before = (folder / read).read_bytes()
    done = evaluate("half.json", "both.json", "--annotations", "gt.json", "--novel", "novel.txt", option, read)
    assert done.exit_code == 1
    assert_names(done.stderr, "error", option, read, "overwrite")
    assert (folder / read).read_bytes() == before


@pytest.mark.parametrize("option", ["--out", "--csv"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(evaluate, folder, option):
    (folder / "taken").mkdir()
    done = evaluate("missing.json", "--annotations", "gt.json", option, "taken")
    assert (done.exit_code, done.stderr) == (1, "error: taken: is a folder; name a file in it\n")


@pytest.mark.parametrize("more", [(), ("--json",), ("--aggregate",)])
def test_csv_needs_the_name_of_a_file(evaluate, folder, more):
    done = evaluate("both.json", "--annotations", "gt.json", "--csv", "-", *more)
    assert (done.exit_code, done.stdout) == (1, "")
    assert_names(done.stderr, "error", "--csv", "--out", "written")
    assert not (folder / "-").exists()


def test_two_outputs_need_two_names(evaluate, folder):
    done = evaluate("both.json", "--annotations", "gt.json", "--out", "x", "--csv", "./x")
    assert_names(done.stderr, "error", "--out", "--csv", "choose")
    assert not (folder / "x").exists()


def test_errors_say_what_costs_ap_and_what_scores_can_mend(evaluate, folder):
    done = evaluate("half.json", "--annotations", "gt.json", "--errors", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    lines = [line.rsplit(maxsplit=1) for line in done.stdout.splitlines()]
    rows = {parts[0].strip(): parts[1] for parts in lines if len(parts) == 2}
    # by hand: the dog is missed (half of the classes' AP), the row beside it is background below the cat that is right
    assert (rows["missed objects"], rows["background"], rows["wrong class"]) == ("50.00", "0.00", "0.00")
    assert rows["perfect scores: AP"] == "50.00"
    assert "not the 50.0 lost to missed objects" in done.stdout
    content = json.loads(evaluate("half.json", "--annotations", "gt.json", "--errors", "--json").stdout)
    assert content["results"][0]["errors"]["counts"]["missed"] == 1
    refused = evaluate("half.json", "--annotations", "gt.json", "--errors", "--protocol", "voc")
    assert refused.exit_code == 1
    assert "--errors" in refused.stderr
