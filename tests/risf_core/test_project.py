"""Defaults from risf.yaml and the published layout: which source wins, and all faults at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from risf_core.errors import ConfigError, DataError
from risf_core.project import load_project
from tests.messages import assert_names

COMMANDS = ("rescore", "evaluate", "prepare-splits")
OPTIONS = ("annotations", "classes", "images", "clip_weights", "alpha", "novel")


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path


def settings(folder: Path, text: str) -> None:
    (folder / "risf.yaml").write_text(text, encoding="utf-8")


def layout(folder: Path, *places: str, root: str = "datasets") -> None:
    for place in places:
        path = folder / root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix:
            path.write_text("{}")
        else:
            path.mkdir()


def defaults(folder: Path, command="rescore", options=OPTIONS, given=()):
    readers = {name: lambda value: value for name in options}
    return load_project(folder).defaults(command, readers, commands=COMMANDS, given=given)


def refusal(folder: Path, **arguments) -> str:
    with pytest.raises(ConfigError) as caught:
        defaults(folder, **arguments)
    return str(caught.value)


def test_an_empty_folder_says_nothing(folder):
    assert defaults(folder) == {}
    settings(folder, "# nothing yet\n")
    assert defaults(folder) == {}


def test_the_published_layout_gives_annotations_and_all_folders_of_photos(folder):
    layout(folder, "coco/annotations/instances_val2014.json", "coco/val2014", "coco/train2014")
    images = [os.path.join("datasets", "coco", name) for name in ("val2014", "train2014")]
    annotations = os.path.join("datasets", "coco", "annotations", "instances_val2014.json")
    assert defaults(folder) == {"annotations": annotations, "images": images}
    layout(folder, "cocosplit/datasplit/5k.json")
    assert defaults(folder)["annotations"] == os.path.join("datasets", "cocosplit", "datasplit", "5k.json")
    assert defaults(folder, options=["images"]) == {"images": images}


@pytest.mark.parametrize("root", ["my/data", "absolute"])
def test_the_root_of_the_layout_can_lie_elsewhere(folder, root):
    root = str(folder / "elsewhere") if root == "absolute" else root
    layout(folder, "coco/val2014", root=root)
    settings(folder, f"data_root: {root}\n")
    assert defaults(folder) == {"images": [os.path.join(root, "coco", "val2014")]}


def test_risf_yaml_beats_the_layout_and_a_section_beats_both(folder):
    layout(folder, "cocosplit/datasplit/5k.json")
    settings(folder, "annotations: mine.json\nevaluate:\n  annotations: other.json\n")
    assert defaults(folder) == {"annotations": "mine.json"}
    assert defaults(folder, "evaluate") == {"annotations": "other.json"}


def test_keys_may_be_written_with_dashes_and_sections_too(folder):
    settings(folder, "clip-weights: a.pt\nprepare-splits:\n  clip_weights: b.pt\n")
    assert defaults(folder) == {"clip_weights": "a.pt"}
    assert defaults(folder, "prepare-splits") == {"clip_weights": "b.pt"}
    settings(folder, "prepare_splits:\n  clip-weights: b.pt\n")
    assert defaults(folder, "prepare-splits") == {"clip_weights": "b.pt"}


def test_what_a_command_has_no_option_for_is_not_its_default(folder):
    settings(folder, "images: photos\nnovel: coco20\nevaluate:\nrescore:\n  alpha: 0.5\n")
    assert defaults(folder, "evaluate", options=["novel"]) == {"novel": "coco20"}
    assert defaults(folder, "rescore", options=["novel", "alpha"]) == {"novel": "coco20", "alpha": 0.5}


def test_a_key_without_a_value_says_nothing(folder):
    layout(folder, "coco/val2014")
    settings(folder, "images:\nnovel:\n")
    assert defaults(folder) == {"images": [os.path.join("datasets", "coco", "val2014")]}


def test_classes_that_are_stated_beat_annotations_of_a_weaker_source(folder):
    layout(folder, "cocosplit/datasplit/5k.json")
    annotations = os.path.join("datasets", "cocosplit", "datasplit", "5k.json")
    assert defaults(folder) == {"annotations": annotations}
    assert defaults(folder, given=["classes"]) == {}
    settings(folder, "classes: names.txt\n")
    assert defaults(folder) == {"classes": "names.txt"}
    assert defaults(folder, options=["annotations"]) == {"annotations": annotations}  # a command without --classes
    settings(folder, "classes: names.txt\nrescore: {annotations: mine.json}\n")
    assert defaults(folder) == {"annotations": "mine.json"}
    settings(folder, "classes: names.txt\nannotations: mine.json\n")  # for the command to refuse
    assert defaults(folder) == {"classes": "names.txt", "annotations": "mine.json"}


def test_options_that_are_given_need_no_default(folder):
    settings(folder, "annotations: mine.json\nimages: photos\n")
    assert defaults(folder, given=["images"]) == {"annotations": "mine.json"}
    assert defaults(folder, given=["annotations"]) == {"images": "photos"}
    assert defaults(folder, given=["classes"]) == {"images": "photos"}


def test_the_working_folder_is_the_default(folder, monkeypatch):
    settings(folder, "novel: voc1\n")
    monkeypatch.chdir(folder)
    assert load_project().settings == {"novel": "voc1"}


def test_all_faults_are_named_at_once(folder):
    settings(
        folder,
        "anotations: a\n1: b\nalpha: 0.5\nevaluate: yes\ndata_root: [a]\nnovel: bad\nclip-weights: a\n"
        "rescore:\n  imges: c\n  alpha: bad\n",
    )

    def reads(value: object) -> object:
        if value == "bad":
            raise ConfigError("'bad' does not fit")
        return value

    with pytest.raises(ConfigError) as caught:
        load_project(folder).defaults("rescore", dict.fromkeys(OPTIONS, reads), commands=COMMANDS)
    assert_names(
        str(caught.value),
        "risf.yaml",
        "'anotations'",
        "'annotations'",
        "'1'",
        "'alpha'",
        "'a'",
        "'imges'",
        "'images'",
        "'bad'",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "risf.yaml: holds list, not keys and values"),
        ("annotations: [a", "risf.yaml: is not valid YAML: while parsing a flow sequence in \"<unicode string>\", "
            "line 1, column 14: annotations: [a ^ expected ',' or ']', but got '<stream end>' in "
            "\"<unicode string>\", line 1, column 16: annotations: [a ^"),
        ("rescroe:\n  alpha: 1\n", "risf.yaml: unknown key 'rescroe' (did you mean 'rescore'?)"),
        ("rescore:\n  alpha: 1\n  alpha: 2\n", "risf.yaml: key 'alpha' appears twice (lines 2 and 3); keep one"),
        ("clip-weights: a\nclip_weights: b\n", "risf.yaml: key 'clip_weights' appears twice (lines 1 and 2); keep one"),
    ],
)  # fmt: skip
def test_what_is_no_settings_file_is_named(folder, text, message):
    settings(folder, text)
    assert refusal(folder) == message


def test_a_settings_file_that_is_no_utf8_is_named(folder):
    (folder / "risf.yaml").write_bytes("novel: cœur".encode("utf-16"))
    with pytest.raises(DataError) as caught:
        load_project(folder)
    assert str(caught.value) == (
        f"{folder / 'risf.yaml'}: is UTF-16 text, as Windows writes it; save the settings file as UTF-8"
    )
    (folder / "risf.yaml").write_bytes(b"\xef\xbb\xbfnovel: voc1\r\n")
    assert defaults(folder) == {"novel": "voc1"}


def test_detections_of_the_working_folder_are_what_bare_evaluate_reads(folder):
    for name in ("rescored.json", "detections.json"):
        (folder / name).write_text("[]")
    options = ("detections", "annotations")
    assert defaults(folder, command="evaluate", options=options) == {"detections": ["detections.json", "rescored.json"]}
    assert defaults(folder, command="rescore", options=options) == {}
    (folder / "rescored.json").unlink()
    assert defaults(folder, command="evaluate", options=options) == {"detections": ["detections.json"]}


def test_nothing_is_fitted_to_the_published_test_annotations_unasked(folder):
    layout(folder, "cocosplit/datasplit/5k.json", "coco/val2014")
    found = load_project(folder).defaults("tune", {"annotations": str, "images": list}, commands=("tune",))
    assert list(found) == ["images"]
    settings(folder, "annotations: labelled.json\n")
    found = load_project(folder).defaults("tune", {"annotations": str}, commands=("tune",))
    assert found == {"annotations": "labelled.json"}


def test_report_takes_both_files_of_the_folder_or_none(folder):
    for name in ("detections.json", "rescored.json"):
        (folder / name).write_text("[]")
    both = {"before": ["detections.json"], "after": ["rescored.json"]}
    found = defaults(folder, command="report", options=["before", "after"])
    assert {name: value if isinstance(value, list) else [value] for name, value in found.items()} == both
    assert defaults(folder, command="report", options=["before", "after"], given=["before"]) == {}
