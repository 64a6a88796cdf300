"""`risf prepare-splits` as a person runs it."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import Run
from tests.messages import assert_names

EXPECTED = Path(__file__).parents[1] / "data" / "expected_splits"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def own_data(tmp_path: Path) -> Path:
    """A COCO file of 12 images, without info, licenses and iscrowd, with photos beside it."""
    (tmp_path / "photos").mkdir()
    annotations = []
    for image in range(1, 13):
        Image.new("RGB", (60, 40), (20 * image, 90, 90)).save(tmp_path / "photos" / f"{image}.jpg")
        for place, category_id in enumerate([3, 3, 8] if image > 9 else [8] if image > 5 else [3]):
            annotations.append(
                {"id": 10 * image + place, "image_id": image, "category_id": category_id, "bbox": [place, 2, 20, 9]}
            )
    content = {
        "images": [{"id": i, "file_name": f"{i}.jpg", "height": 40, "width": 60} for i in range(1, 13)],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "scratch"}, {"id": 8, "name": "dent"}],
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def published_layout(tmp_path: Path) -> Path:
    """datasets/ with COCO's training file and its 5k, and VOC2007 and VOC2012."""
    root = tmp_path / "datasets"
    (root / "cocosplit/datasplit").mkdir(parents=True)
    packed_coco = (EXPECTED / "coco_like.json.gz").read_bytes()
    (root / "cocosplit/datasplit/trainvalno5k.json").write_bytes(gzip.decompress(packed_coco))
    test = {"images": [{"id": 1, "file_name": "COCO_val2014_000000000001.jpg"}], "annotations": [], "categories": []}
    (root / "cocosplit/datasplit/5k.json").write_text(json.dumps(test))
    with tarfile.open(EXPECTED / "voc_like.tar.gz") as packed:
        packed.extractall(root, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    return root


def test_the_bare_line_works_in_the_published_layout(risf: Run, published_layout: Path) -> None:
    done = risf("prepare-splits", "--seeds", "1")  # the seed alone, for the test's time
    assert (done.exit_code, done.stdout) == (0, "datasets/risfsplit/coco20\n"), done.stderr
    manifest = json.loads((published_layout / "risfsplit/coco20/split.json").read_text())
    assert (manifest["benchmark"], manifest["novel_set"]) == ("coco", "coco20")
    assert manifest["source"]["files"][0]["path"] == "../../cocosplit/datasplit/trainvalno5k.json"
    assert manifest["held_out"]["path"] == "../../cocosplit/datasplit/5k.json"
    assert manifest["settings"]["shots"] == [1, 2, 3, 5, 10, 30]


def test_a_novel_set_of_voc_takes_voc_from_the_published_layout(risf: Run, published_layout: Path) -> None:
    done = risf("prepare-splits", "--novel", "voc2", "--seeds", "1-2", "--layout", "both")
    assert (done.exit_code, done.stdout) == (0, "datasets/risfsplit/voc2\n"), done.stderr
    expected = json.loads(gzip.decompress((EXPECTED / "tfa_voc_expected.json.gz").read_bytes()))
    for name, lines in expected.items():
        assert (published_layout / "risfsplit/voc2" / name).read_text().split() == lines


def test_voc_alone_is_found_too_and_its_test_list_is_held_out(risf: Run, published_layout: Path) -> None:
    shutil.rmtree(published_layout / "cocosplit")
    stem = (published_layout / "VOC2007/ImageSets/Main/trainval.txt").read_text().split()[0]
    (published_layout / "VOC2007/ImageSets/Main/test.txt").write_text(f"{stem}\n")
    done = risf("prepare-splits", "--seeds", "1", "--shots", "1")
    assert (done.exit_code, done.stdout) == (0, "datasets/risfsplit/voc1\n")
    assert "note: 1 of 650 training images are on the held-out list: left out" in done.stderr


def test_an_empty_folder_is_told_what_to_name(risf: Run) -> None:
    done = risf("prepare-splits")
    assert (done.exit_code, done.stdout) == (1, "")
    assert_names(done.stderr, "error", "cocosplit/datasplit/trainvalno5k.json", "--coco", "--voc", "--yolo")


def test_own_data_need_no_more_than_their_file(risf: Run, own_data: Path) -> None:
    done = risf("prepare-splits", "--coco", own_data)
    assert (done.exit_code, done.stdout) == (0, "datasets/risfsplit/own\n"), done.stderr
    assert "2 classes, 2 novel (own); shots 1,2,3,5; seeds 0-9" in done.stderr
    assert "note: left out: 10 shots of 'dent' (7 boxes in 7 images)" in done.stderr


def test_json_says_what_was_made(risf: Run, own_data: Path) -> None:
    done = risf("prepare-splits", "--coco", own_data, "--novel", "dent", "--shots", "4", "--seeds", "0,5", "--json")
    content = json.loads(done.stdout)
    marks = content.pop("marks")
    assert content == {
        "folder": "datasets/risfsplit/own", "benchmark": "own", "novel_set": "own", "classes": 2, "novel": ["dent"],
        "shots": [4], "seeds": [0, 5], "layouts": ["risf"], "base": {"boxes": 11, "images": 8}, "notes": [],
        "preview": None,
    }  # fmt: skip
    assert {(mark["seed"], mark["kind"]) for mark in marks} >= {(0, "outside-ladder"), (5, "outside-ladder")}


def test_the_options_of_drawing_reach_the_split(risf: Run, own_data: Path, tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_text("dent\n")
    done = risf(
        "prepare-splits", "--coco", own_data, "--novel", "novel.txt", "--only", "scratch", "--shots", "10",
        "--at-least", "--seeds", "2,4-5", "--drop-images-with-novel", "--layout", "tfa", "--out", "s", "--json",
    )  # fmt: skip
    content = json.loads(done.stdout)
    assert (content["novel"], content["seeds"], content["base"]) == (["dent"], [2, 4, 5], {"boxes": 5, "images": 5})
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [
        "README.md", "seed2", "seed4", "seed5", "split.json",
    ]  # fmt: skip
    assert [path.name for path in (tmp_path / "s/seed4").iterdir()] == ["full_box_10shot_scratch_trainval.json"]
    manifest = json.loads((tmp_path / "s/split.json").read_text())
    assert manifest["settings"]["at_least"]
    assert manifest["settings"]["drawn_classes"] == ["scratch"]


def test_several_files_are_joined_and_a_list_is_held_out(risf: Run, own_data: Path, tmp_path: Path) -> None:
    content = json.loads(own_data.read_text())
    for image in content["images"]:
        image["file_name"] = f"more/{image['file_name']}"
    (tmp_path / "more.json").write_text(json.dumps(content))
    (tmp_path / "test.txt").write_text("more/3.jpg\n11\n")
    done = risf(
        "prepare-splits",
        "--coco",
        own_data,
        "--coco",
        "more.json",
        "--held-out",
        "test.txt",
        "--shots",
        "1",
        "--out",
        "s",
    )
    assert done.exit_code == 0, done.stderr
    assert "note: 12 images of the joined files had an id that was taken: renumbered" in done.stderr
    assert "note: 2 of 24 training images are on the held-out list: left out" in done.stderr


def test_yolo_folders_are_read(risf: Run, tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / "set/train" / part).mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (50, 50)).save(tmp_path / f"set/train/images/{number}.png")
        (tmp_path / f"set/train/labels/{number}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "set/data.yaml").write_text("train: train/images\nnames: [bolt]\n")
    done = risf(
        "prepare-splits", "--yolo", "set/data.yaml", "--shots", "2", "--seeds", "0", "--out", "s", "--preview", "2"
    )
    assert (done.exit_code, done.stdout) == (0, "s\n"), done.stderr
    assert (tmp_path / "s/preview-2-shots-seed-0.png").is_file()
    assert risf("check-split", "s").exit_code == 0


def test_risf_yaml_holds_the_options_and_the_place(risf: Run, own_data: Path, tmp_path: Path) -> None:
    (tmp_path / "risf.yaml").write_text(
        "split: my/split\nnovel: dent\nprepare-splits:\n  coco: [own.json]\n  shots: 2\n  seeds: 0-1\n"
    )
    done = risf("prepare-splits")
    assert (done.exit_code, done.stdout) == (0, "my/split\n"), done.stderr
    manifest = json.loads((tmp_path / "my/split/split.json").read_text())
    assert manifest["settings"]["shots"] == [2]
    assert manifest["settings"]["seeds"] == [0, 1]
    assert [row["novel"] for row in manifest["classes"]] == [False, True]
    assert risf("check-split").stderr.endswith("my/split: sound\n")
    (tmp_path / "risf.yaml").write_text("data_root: elsewhere\n")
    assert risf("prepare-splits", "--coco", "own.json").stdout == "elsewhere/risfsplit/own\n"


def test_data_that_are_typed_beat_those_of_risf_yaml(risf: Run, own_data: Path, tmp_path: Path) -> None:
    (tmp_path / "risf.yaml").write_text("prepare-splits:\n  voc: nowhere\n  held_out: nothing.json\n  shots: [1, 2]\n")
    assert risf("prepare-splits").stderr.startswith("reading nowhere\nerror: nowhere: there is no such folder")
    done = risf("prepare-splits", "--coco", own_data, "--out", "s")
    assert (done.exit_code, done.stdout) == (0, "s\n"), done.stderr
    (tmp_path / "risf.yaml").write_text("prepare-splits:\n  coco: own.json\n")  # one file needs no list
    assert risf("prepare-splits", "--shots", "1").exit_code == 0


def test_check_prints_what_the_split_holds(risf: Run, own_data: Path) -> None:
    risf("prepare-splits", "--coco", own_data, "--novel", "dent", "--shots", "1,3", "--seeds", "0-2", "--out", "s")
    done = risf("check-split", "s")
    assert done.exit_code == 0
    assert "s: sound" in done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["class", "1", "3", "images", "per", "image"] in lines
    assert ["dent", "1", "3", "3.0", "1.00"] in lines
    assert done.stdout.index("1 novel class") < done.stdout.index("1 base class")
    content = json.loads(risf("check-split", "s", "--seeds", "1", "--json").stdout)
    assert (content["sound"], content["seeds"], content["faults"]) == (True, [1], [])
    assert content["classes"][1]["boxes"] == {"1": [1, 1], "3": [3, 3]}


def test_check_does_not_take_what_risf_yaml_says_of_drawing(risf: Run, own_data: Path, tmp_path: Path) -> None:
    risf("prepare-splits", "--coco", own_data, "--novel", "dent", "--shots", "1", "--seeds", "0-2", "--out", "s")
    (tmp_path / "risf.yaml").write_text(
        "novel: scratch\nimages: photos\nprepare-splits:\n  coco: nowhere.json\n  held_out: nothing.json\n"
        "  seeds: 7\n  shots: 2\n  out: elsewhere\n  layout: tfa\n  force: true\n  preview: 9\n"
    )
    done = risf("check-split", "s", "--json")
    assert done.exit_code == 0, done.stderr
    assert (json.loads(done.stdout)["seeds"], json.loads(done.stdout)["preview"]) == ([0, 1, 2], None)
    assert risf("check-split", "s", "--preview", "1").exit_code == 0  # the photos are risf.yaml's
    assert risf("check-split", "s", "--held-out", "nothing.json").exit_code == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preview", "2", "--images", "photos"], "the split holds 1, 3 shots; got 2"),
        (["--preview", "3", "--images", "empty"], "empty: holds no photo"),
        (["--preview", "3"], "--preview needs the photos; name their folder with --images"),
    ],
)
def test_what_a_contact_sheet_lacks_is_told_before_the_split_is_written(
    risf: Run, own_data: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    (tmp_path / "empty").mkdir()
    done = risf("prepare-splits", "--coco", own_data, "--shots", "1,3", "--seeds", "4", "--out", "s", *options)
    assert done.exit_code == 1
    assert message in done.stderr.splitlines()[-1]
    assert not (tmp_path / "s").exists()


def test_check_names_the_faults_and_ends_with_1(risf: Run, own_data: Path) -> None:
    risf("prepare-splits", "--coco", own_data, "--shots", "1", "--seeds", "0", "--out", "s")
    own_data.write_text(own_data.read_text() + " ")
    done = risf("check-split", "s")
    assert done.exit_code == 1
    assert "fault: the source is not what the split was drawn from (its SHA-256 differs): own.json" in done.stderr
    assert done.stderr.endswith("error: s: the split is not sound, 1 fault (named above)\n")


def test_check_reads_the_layout_that_people_have(risf: Run, published_layout: Path, tmp_path: Path) -> None:
    risf("prepare-splits", "--novel", "voc1", "--seeds", "1", "--layout", "tfa", "--out", "theirs")
    for name in ("split.json", "README.md"):
        (tmp_path / "theirs" / name).unlink()
    done = risf("check-split", "theirs", "--novel", "voc1")
    assert done.exit_code == 1
    assert "with --voc, for their boxes" in done.stderr
    done = risf("check-split", "theirs", "--novel", "voc1", "--voc", "datasets")
    assert done.exit_code == 0, done.stderr
    assert "5 novel classes" in done.stdout


def test_a_contact_sheet_is_drawn_with_the_split_or_later(risf: Run, own_data: Path, tmp_path: Path) -> None:
    options = ("--coco", own_data, "--shots", "1,3", "--seeds", "4,5", "--out", "s")
    done = risf("prepare-splits", *options, "--preview", "3", "--images", "photos", "--json")
    sheet = tmp_path / json.loads(done.stdout)["preview"]
    assert sheet.name == "preview-3-shots-seed-4.png"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG"
    risf("check-split", "s", "--seeds", "5", "--preview", "1", "--images", "photos")
    assert (tmp_path / "s/preview-1-shots-seed-5.png").is_file()
    assert risf("prepare-splits", *options).exit_code == 0  # a picture does not make it another split
    done = risf("check-split", "s", "--preview", "1")
    assert done.stderr.endswith("error: --preview needs the photos; name their folder with --images\n")


def test_another_split_in_the_folder_needs_force(risf: Run, own_data: Path, tmp_path: Path) -> None:
    risf("prepare-splits", "--coco", own_data, "--shots", "1", "--seeds", "0", "--out", "s")
    done = risf("prepare-splits", "--coco", own_data, "--shots", "2", "--seeds", "0", "--out", "s")
    assert done.exit_code == 1
    assert done.stderr.endswith(
        "error: s: holds another split (shots 1, here 2); choose another --out, or replace it whole with --force\n"
    )
    assert (
        risf("prepare-splits", "--coco", own_data, "--shots", "2", "--seeds", "0", "--out", "s", "--force").exit_code
        == 0
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shots", "0"], "--shots takes whole numbers from 1 on, got 0"),
        (["--shots", "five"], "--shots takes whole numbers and ranges with commas (0-4,7), got 'five'"),
        (["--seeds", "5-3"], "--seeds: the range 5-3 is empty; write the lower number first"),
        (["--seeds", ""], "--seeds takes whole numbers and ranges with commas (0-4,7), got ''"),
        (["--novel", "scrach"],
         "--novel: 'scrach' not among the 2 classes (did you mean 'scratch'?); published sets are coco20, voc1, voc2, "
         "voc3"),
        (["--novel", "dent,dent"], "--novel names 'dent' twice; keep one"),
        (["--voc", "x"], "--coco and --voc name different data; give one of them"),
        (["--held-out", "-"],
         "--held-out - (stdin) cannot be read again, as checking and training a split do; name a file"),
        (["--coco", "-"], "--coco - (stdin) cannot be read again, as checking and training a split do; name a file"),
        (["--held-out", "no.json"], "no.json: there is no such held-out list; check the path"),
        (["--shots", "9"],
         "cannot draw 9 shots of 'dent' (7 boxes in 7 images): let --at-least take more boxes where no images make "
         "exactly that many, or ask for other --shots, or leave classes out with --only"),
    ],
)  # fmt: skip
def test_options_at_fault_end_in_one_line(risf: Run, own_data: Path, options: list[str], message: str) -> None:
    done = risf("prepare-splits", "--coco", own_data, "--quiet", *options)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


def test_quiet_says_nothing_and_the_path_stays(risf: Run, own_data: Path) -> None:
    done = risf("prepare-splits", "--coco", own_data, "--shots", "1", "--out", "s", "-q")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "s\n", "")
