"""COCO detections files: a round trip changes nothing, and each fault is one line that names row, value and way out."""

from __future__ import annotations

import errno
import gc
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from risf_core.errors import DataError, OutputError
from risf_core.formats.coco import result_rows
from risf_core.formats.conventions import Conventions
from risf_core.formats.detections_file import RecognisedDetections, read_detections_file, write_detections_file
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
ROW = {"image_id": 1, "category_id": 17, "bbox": [1.5, 2, 30, 40], "score": 0.5}

EXTRA_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12)
SIZES = st.integers(0, 2**53) | st.floats(0, 1e12)
ROWS = st.lists(
    st.builds(
        lambda core, extra: {**{k: v for k, v in extra.items() if k not in core}, **core},
        st.fixed_dictionaries(
            {
                "score": st.floats(0, 1) | st.integers(0, 1),
                "bbox": st.tuples(NUMBERS, NUMBERS, SIZES, SIZES).map(list),
                "category_id": st.sampled_from(PETS.category_ids),
                "image_id": st.integers(-(2**70), 2**70) | st.text(),
            }
        ),
        st.dictionaries(st.text(), EXTRA_VALUES, max_size=2),
    ),
    max_size=6,
).filter(lambda rows: not rows or max(max(row["bbox"]) for row in rows) > 2)  # else they look relative


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return Path()


def read(content, vocabulary=PETS, *, on_unmatched="error", **conventions) -> RecognisedDetections:
    """What is read of a file `d.json` in the working folder with that content."""
    Path("d.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return reread("d.json", vocabulary, on_unmatched=on_unmatched, **conventions)


def reread(path, vocabulary=PETS, *, on_unmatched="error", **conventions) -> RecognisedDetections:
    conventions = Conventions(**conventions)
    return read_detections_file(path, None, vocabulary, conventions=conventions, on_unmatched=on_unmatched)


def write(target, file: RecognisedDetections) -> None:
    """In the form that came in."""
    to, around = file.form.name, file.envelope
    write_detections_file(target, file.detections, file.vocabulary, file.images, to=to, envelope=around)


def round_trip(content, **options):
    """What another reader finds in the file that was written from what was read."""
    write("out.json", read(content, **options))
    return json.loads(Path("out.json").read_text(encoding="utf-8"))


def refusal(content, **options) -> str:
    with pytest.raises(DataError) as caught:
        read(content, **options)
    return str(caught.value)


@given(ROWS)
def test_order_ids_unknown_keys_and_every_digit_survive_a_round_trip(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("round")
    (folder / "d.json").write_text(json.dumps(rows))
    write(folder / "out.json", reread(folder / "d.json", PETS))
    written = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    assert written == rows
    assert [type(row["image_id"]) for row in written] == [type(row["image_id"]) for row in rows]


def test_a_row_may_hold_any_key_of_another_form(folder):
    rows = [
        {"image_id": 40, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 0.5, "instances": []},
        {"image_id": 10, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 0.25, "instances": None},
    ]
    for content in (rows, rows[::-1]):
        (folder / "d.json").write_text(json.dumps(content))
        assert reread(folder / "d.json", PETS).form.name == "coco"


@given(ROWS, st.dictionaries(st.text(), EXTRA_VALUES, max_size=3))
def test_the_dict_around_the_rows_survives_too(tmp_path_factory, rows, around):
    document = {
        **around,
        "images": [{"id": 1, "extra": [1]}, *({"id": i} for i in {row["image_id"] for row in rows} - {1})],
        "categories": [{"id": i, "name": name} for i, name in zip(PETS.category_ids, PETS.names, strict=True)],
        "annotations": rows,
    }
    folder = tmp_path_factory.mktemp("round")
    (folder / "d.json").write_text(json.dumps(document))
    file = reread(folder / "d.json", None)  # no vocabulary given: the file's own
    assert file.vocabulary.names == ("horse", "cat", "dog")  # in ascending order of their ids
    write(folder / "out.json", file)
    assert json.loads((folder / "out.json").read_text(encoding="utf-8")) == document


def test_a_second_round_trip_gives_the_same_bytes(folder):
    first = read([ROW, {**ROW, "image_id": "1", "k": "é"}])
    write("a.json", first)
    write("b.json", reread("a.json", PETS))
    assert Path("a.json").read_bytes() == Path("b.json").read_bytes()


def test_the_written_file_has_one_row_a_line(folder):
    write("out.json", read([ROW, ROW]))
    row = '{"image_id": 1, "category_id": 17, "bbox": [1.5, 2.0, 30.0, 40.0], "score": 0.5}'
    assert Path("out.json").read_text() == f"[\n{row},\n{row}\n]\n"


def test_digits_that_ruin_arithmetic_are_kept(folder):
    # 0.1 + 0.2 - 0.1 is not 0.2 in binary: corners and back would change it
    content = '[{"image_id": 1, "category_id": 3, "bbox": [0.1, 16.790000000000003, 0.2, 1e-7], "score": 0.30000000000000004}]'  # noqa: E501
    content = content.replace("0.1,", "110.1,")
    write("out.json", read(content))
    assert (
        '"bbox": [110.1, 16.790000000000003, 0.2, 1e-07], "score": 0.30000000000000004' in Path("out.json").read_text()
    )


def test_the_table_says_what_the_rows_say(folder):
    rows = [{**ROW, "segmentation": None}, {**ROW, "category_id": 3, "image_id": 9, "score": 1}]
    table = read(rows).detections
    assert table.image_ids.tolist() == [1, 9]
    assert table.labels.tolist() == [0, 2]
    assert table.scores.tolist() == [0.5, 1.0]
    assert table.boxes_xywh.tolist() == [ROW["bbox"]] * 2
    assert table.extras.tolist() == [{"segmentation": None}, None]


@pytest.mark.parametrize("content", [[], {"annotations": [], "categories": []}])
def test_no_rows_are_a_table_of_no_rows(folder, content):
    assert len(read(content).detections) == 0
    assert round_trip(content) == content


def test_half_a_surrogate_pair_in_an_id_survives(folder):
    rows = [{**ROW, "image_id": "\ud83d"}]
    assert round_trip(rows) == rows


def test_nan_in_a_key_that_is_not_ours_is_passed_on(folder):
    written = round_trip('[{"image_id": 1, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 1, "depth": NaN}]')
    assert np.isnan(written[0]["depth"])


def test_rows_of_unknown_categories_stay_as_they_are_on_demand(folder):
    rows = [{**ROW, "category_id": 99, "k": 1}, ROW]
    assert read(rows, on_unmatched="keep").detections.labels.tolist() == [-1, 0]
    assert round_trip(rows, on_unmatched="keep") == rows


def test_positions_and_corners_are_written_as_dataset_ids_and_sizes(folder):
    rows = [{**ROW, "category_id": 2, "bbox": [10, 20, 30, 60]}]
    options = {"category_ids": "positions", "boxes": "xyxy"}
    assert round_trip(rows, **options) == [{**ROW, "category_id": 3, "bbox": [10, 20, 20, 40]}]


def test_sizes_of_the_dict_itself_tell_corners(folder):
    images = [{"id": 1, "height": 100, "width": 100}, {"id": 2, "height": None, "width": 5}]
    document = {"images": images, "annotations": [{**ROW, "bbox": [60, 60, 90, 90]}]}
    assert refusal(document) == (
        "d.json: the boxes look like corners [x0, y0, x1, y1], not [x, y, width, height]: read so, many run past "
        "their images; pass `boxes=xyxy`"
    )
    relative = {"images": images, "annotations": [{**ROW, "bbox": [0.5, 0.5, 0.25, 0.5]}]}
    assert read(relative, boxes="xywh-relative").detections.boxes_xywh.tolist() == [[50, 50, 25, 50]]


def test_stdin_and_stdout_are_detections_files_too(monkeypatch, capfdbinary):
    content = json.dumps([{**ROW, "k": "é"}], ensure_ascii=False).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="ascii"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(open(1, "wb", closefd=False), encoding="ascii"))  # noqa: SIM115
    write("-", reread("-", PETS))
    assert json.loads(capfdbinary.readouterr().out.decode("utf-8")) == [{**ROW, "k": "é"}]


def test_a_full_disk_at_the_last_moment_keeps_the_old_detections_whole(folder, monkeypatch):
    old = [{**ROW, "score": 0.25}]
    Path("out.json").write_text(json.dumps(old))
    file = read([ROW])

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError) as caught:
        write("out.json", file)
    assert str(caught.value) == (
        "out.json: no space left on the disk; the file that was there is unchanged; free some or write elsewhere"
    )
    assert json.loads(Path("out.json").read_text()) == old
    assert sorted(os.listdir()) == ["d.json", "out.json"]


def test_an_output_whose_folder_is_a_file_is_named(folder):
    file = read([ROW])
    with pytest.raises(OutputError) as caught:
        write("d.json/out.json", file)
    assert_names(str(caught.value), "d.json/out.json", "d.json", "written")


FORM = "each row needs image_id, category_id, bbox [x, y, width, height] and score"


def without(key: str) -> dict[str, object]:
    return {name: value for name, value in ROW.items() if name != key}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('[{"image_id": 1, "ca', "the JSON ends too early (line 1, column 18): the file is cut short; write or copy it "
            "again"),
        ("[] trailing", "the JSON ends before line 1, column 4, and more text follows; the detections file must be one "
            "JSON value (JSON lines? put the rows between [ and ], with commas)"),
        ({"annotations": {}}, f"holds an object without a list under 'annotations', not a list of detections; {FORM}"),
        ({"annotations": [without("score")]}, "its annotations carry no score, so they are ground truth and not "
            "detections; pass it as `annotations`, and the detector's results as `detections`"),
        ({"annotations": [ROW, without("score")]}, f'row 1 has no "score"; {FORM}'),
        ({"annotations": [ROW], "images": 3},
            "has no list of images; a COCO dataset has images, annotations and categories"),
        ({"annotations": [ROW], "categories": [{"name": "cat"}]},
            'category {"name": "cat"} needs a whole-numbered id and a name'),
        ([ROW, [1, 2]], f"row 1 is list, not an object; {FORM}"),
        ([without("image_id")], f'row 0 has no "image_id"; {FORM}'),
        ([ROW, without("category_id")], f'row 1 has no "category_id"; {FORM}'),
        ([ROW, without("bbox")], f'row 1 has no "bbox"; {FORM}'),
        ([{**ROW, "bbox": [1, 2, 3]}], "row 0: bbox [1, 2, 3] has 3 numbers, not 4 (x, y, width, height)"),
        ([{**ROW, "bbox": list(range(900))}], "row 0: bbox [" + ", ".join(map(str, range(900)))[:99] + "... has 900 "
            "numbers, not 4 (x, y, width, height)"),
        ([{**ROW, "bbox": None}], "row 0: bbox is null, not a list of 4 numbers (x, y, width, height)"),
        ([{**ROW, "bbox": "1234"}], 'row 0: bbox is "1234", not a list of 4 numbers (x, y, width, height)'),
        ([{**ROW, "bbox": [1, 2, "3", 4]}],
            'row 0: bbox [1, 2, "3", 4] holds something that is not a number (x, y, width, height)'),
        ([{**ROW, "bbox": [1, 2, True, 4]}],
            "row 0: bbox [1, 2, true, 4] holds something that is not a number (x, y, width, height)"),
        ([ROW, {**ROW, "bbox": [1, 2, float("nan"), 4]}],
            "row 1: bbox [1.0, 2.0, nan, 4.0] holds a number that is not finite (1 such row); leave these rows out"),
        ([{**ROW, "bbox": [float("-inf"), 2, 3, 4]}] * 2,
            "row 0: bbox [-inf, 2.0, 3.0, 4.0] holds a number that is not finite (2 such rows); leave these rows out"),
        ([ROW, {**ROW, "bbox": [1, 2, 10**400, 4]}],
            "row 1: bbox [1.0, 2.0, inf, 4.0] holds a number that is not finite (1 such row); leave these rows out"),
        ([{**ROW, "bbox": [1, 2, -3, 4]}], "row 0: bbox [1.0, 2.0, -3.0, 4.0] has a negative width or height "
            "(1 such row); a box is [x, y, width, height]"),
        ([{**ROW, "score": float("nan")}],
            "row 0: score nan is outside 0..1 (1 such row); scores must be probabilities"),
        ([ROW, {**ROW, "score": -0.25}],
            "row 1: score -0.25 is outside 0..1 (1 such row) (logits? pass them through the sigmoid or softmax that "
            "the detector was trained with); scores must be probabilities"),
        ([ROW] * 9 + [{**ROW, "score": 3.5}],
            "row 9: score 3.5 is outside 0..1 (1 such row) (logits? pass them through the sigmoid or softmax that "
            "the detector was trained with); scores must be probabilities"),
        ([{**ROW, "score": 1.0000001}], "row 0: score 1.0000001 is outside 0..1 (1 such row) (rounding? set what is "
            "over 1 to 1); scores must be probabilities"),
        ([{**ROW, "score": 97}, {**ROW, "score": 3}], "row 0: score 97.0 is outside 0..1 (2 such rows) (percentages? "
            "divide them by 100); scores must be probabilities"),
        ([{**ROW, "score": 10**400}], "row 0: score inf is outside 0..1 (1 such row); scores must be probabilities"),
        ([{**ROW, "score": "high"}], 'row 0: score is "high", not a number in 0..1'),
        ([{**ROW, "score": True}], "row 0: score is true, not a number in 0..1"),
        ([{**ROW, "image_id": 1.5}], "row 0: image_id is 1.5, not a whole number or a string"),
        ([{**ROW, "image_id": None}], "row 0: image_id is null, not a whole number or a string"),
        ([{**ROW, "category_id": [17]}], "row 0: category_id is [17], not a whole number"),
        ([{**ROW, "category_id": 99}], "category_id 99 unknown to the 3 classes (ids 3..18); pass the detector's own "
            "annotations, or decide about such rows with `on_unmatched`"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_that_names_row_value_and_way_out(folder, content, message):
    assert refusal(content) == f"d.json: {message}"


@pytest.mark.parametrize(
    ("content", "kind"),
    [({}, "an object without a list under 'annotations'"), ("3", "int"), ("null", "NoneType")],
)
def test_what_holds_no_rows_is_named(folder, content, kind):
    assert refusal(content, format="coco") == f"d.json: holds {kind}, not a list of detections; {FORM}"
    assert refusal(content).startswith("d.json: is not recognised as detections of any known form")
    assert "pass `format` with one of coco, " in refusal(content)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"predictions": [ROW]}, "'predictions': a list"),
        ({"shapes": [], "imagePath": "a.jpg"}, "an object with the keys 'shapes', 'imagePath'"),
        ("<html>", "is a web page"),
        ("a;b", "its first line is 'a;b'"),
    ],
)
def test_what_is_not_recognised_is_described(folder, content, said):
    assert said in refusal(content)


@pytest.mark.parametrize("content", [[ROW], {"annotations": [ROW]}])
def test_a_file_that_names_no_classes_needs_some(folder, content):
    assert refusal(content, vocabulary=None) == (
        "d.json: names no classes; pass `annotations` or `classes` (or set one in risf.yaml)"
    )


def test_result_rows_are_cocos_own_dicts(folder):
    rows = list(result_rows(read([ROW]).detections, PETS))
    assert rows == [ROW]
    assert {type(value) for row in rows for value in row.values()} == {int, list, float}


def test_a_file_of_many_rows_keeps_their_order_and_each_its_own_keys(folder):
    rows = [{**ROW, "image_id": n, "score": n / 40_000, **({"n": n} if n % 7 == 0 else {})} for n in range(40_000)]
    (folder / "many.json").write_text(json.dumps(rows))
    write(folder / "again.json", reread(folder / "many.json", PETS))
    assert json.loads((folder / "again.json").read_text()) == rows


def test_the_garbage_collector_is_left_as_it_was(folder):
    (folder / "bad.json").write_text("[{]")
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            with pytest.raises(DataError):
                reread(folder / "bad.json", PETS)
            assert gc.isenabled() == enabled
        finally:
            gc.enable()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_id": 1.0}, "image_id as a float (1)"),
        ({"category_id": 17.0}, "category_id as a float (1)"),
        ({"category_id": "17"}, "category_id as text (1)"),
        ({"score": "0.5"}, "score as text (1)"),
    ],
)
def test_values_of_another_type_are_read_where_their_meaning_is_certain(folder, caplog, change, said) -> None:
    plain, odd = read([ROW]).detections, read([{**ROW, **change}]).detections
    assert (odd.image_ids.tolist(), odd.labels.tolist(), odd.scores.tolist()) == (
        plain.image_ids.tolist(), plain.labels.tolist(), plain.scores.tolist()
    )  # fmt: skip
    assert said in caplog.text


def test_names_in_the_place_of_category_ids_are_names(folder, caplog) -> None:
    found = read([{**ROW, "category_id": "horse"}, {**ROW, "category_id": "cat"}]).detections
    assert [PETS.names[label] for label in found.labels] == ["horse", "cat"]
    assert "category_id as the name of the class (2)" in caplog.text
    with pytest.raises(DataError) as refused:
        read([{**ROW, "category_id": "cow"}])
    assert "'cow'" in str(refused.value)
