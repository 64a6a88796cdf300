"""COCO files as training data: what is needed, what is joined, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from risf_core.datasets.coco import read_coco_dataset, read_coco_rows
from risf_core.errors import DataError
from risf_core.vocabulary import ClassVocabulary
from tests.messages import assert_names

WriteJson = Callable[..., Path]
CATEGORIES = [{"id": 7, "name": "cat"}, {"id": 2, "name": "dog"}]


def document(images: list[int], rows: list[tuple], *, names: str = "{}.jpg", categories=CATEGORIES) -> dict:
    """A COCO document of (annotation id, image id, category id, bbox) rows."""
    return {
        "images": [{"id": i, "file_name": names.format(i), "height": 4, "width": 6} for i in images],
        "annotations": [
            {"id": id_, "image_id": image, "category_id": category, "bbox": bbox, "segmentation": [[1, 2, 3, 4, 5, 6]]}
            for id_, image, category, bbox in rows
        ],
        "categories": categories,
    }


def test_boxes_labels_and_images_are_those_of_the_file(write_json: WriteJson) -> None:
    content = document([5, 3], [(10, 3, 7, [1.1, 2, 3.25, 4]), (11, 5, 2, [0, 0, 6, 4]), (12, 3, 7, [1, 1, 0, 2])])
    content["annotations"][1]["iscrowd"] = 1
    data = read_coco_dataset(write_json("a.json", content))
    assert data.vocabulary == ClassVocabulary(("dog", "cat"), (2, 7))
    assert [info.image_id for info in data.images] == [5, 3]
    assert data.boxes_xywh.tolist() == [[1.1, 2, 3.25, 4], [0, 0, 6, 4], [1, 1, 0, 2]]
    assert data.labels.tolist() == [1, 0, 1]
    assert data.image_positions.tolist() == [1, 0, 1]
    assert data.crowd.tolist() == [False, True, False]
    assert data.usable.tolist() == [True, False, False]
    assert data.usable_per_class().tolist() == [0, 1]
    assert data.boxes[0].tolist() == [1.1, 2, 1.1 + 3.25, 6]
    assert not data.boxes_xywh.flags.writeable


def test_annotations_without_ids_are_numbered(write_json: WriteJson) -> None:
    content = document([1], [(4, 1, 7, [0, 0, 1, 1]), (None, 1, 7, [0, 0, 2, 1]), (4, 1, 2, [0, 0, 1, 1])])
    data = read_coco_dataset(write_json("a.json", content))
    assert data.annotation_ids.tolist() == [4, 5, 6]
    assert data.notes == (
        "1 annotations had an id that was taken: renumbered",
        "1 annotations had no whole-numbered id: numbered anew",
    )


def test_joined_files_keep_their_order_and_clashing_ids_are_renumbered(write_json: WriteJson) -> None:
    one = write_json("one.json", document([1, 2], [(1, 1, 7, [1, 0, 1, 1]), (2, 2, 2, [2, 0, 1, 1])]))
    # image 2 is the same image, image 1 another one under the same id; both annotation ids are taken
    other = document([1, 2], [(1, 1, 2, [3, 0, 1, 1]), (2, 2, 7, [4, 0, 1, 1])])
    other["images"][0]["file_name"] = "elsewhere.jpg"
    data = read_coco_dataset([one, write_json("two.json", other)])
    assert [(info.image_id, info.file_name) for info in data.images] == [
        (1, "1.jpg"), (2, "2.jpg"), (3, "elsewhere.jpg"),
    ]  # fmt: skip
    assert [data.images[p].image_id for p in data.image_positions.tolist()] == [1, 2, 3, 2]
    assert data.boxes_xywh[:, 0].tolist() == [1, 2, 3, 4]
    assert data.annotation_ids.tolist() == [1, 2, 3, 4]
    assert data.notes == (
        "1 image of the joined files had an id that was taken: renumbered",
        "2 annotations had an id that was taken: renumbered",
    )
    assert len(data.source.sha256) == 2


def test_annotations_of_unlisted_images_or_categories_are_left_out_and_counted(write_json: WriteJson) -> None:
    rows = [(1, 99, 7, [0, 0, 1, 1]), (2, 1, 7, [5, 0, 1, 1]), (3, 1, 55, [0, 0, 1, 1])]
    data = read_coco_dataset(write_json("a.json", document([1], rows)))
    assert data.annotation_ids.tolist() == [2]
    assert data.file_rows.tolist() == [1]
    assert data.notes == (
        "2 of 3 annotations are of images or categories that are not listed (annotation id 1, annotation id 3): "
        "left out",
    )


def test_an_image_that_is_listed_twice_is_one_image(write_json: WriteJson) -> None:
    content = document([1, 2, 1], [(1, 1, 7, [0, 0, 1, 1])])
    assert [info.image_id for info in read_coco_dataset(write_json("a.json", content)).images] == [1, 2]


def test_the_files_own_rows_come_back_whole(write_json: WriteJson) -> None:
    content = document([1, 2], [(1, 1, 7, [1, 0, 1, 1]), (2, 2, 2, [2, 0, 1, 1]), (3, 2, 2, [3, 0, 1, 1])])
    content["info"] = {"year": 2014}
    content["annotations"][0]["part_of"] = {"image_id": 1, "category_id": 7}  # itself not an annotation of the file
    content["annotations"][2]["attributes"] = {"occluded": True}
    rows = read_coco_rows(read_coco_dataset(write_json("a.json", content)), [2])
    assert dict(rows.annotations) == {2: content["annotations"][2]}
    assert rows.images[1] == content["images"][0]
    assert (rows.info, rows.licenses) == ({"year": 2014}, [])
    assert list(rows.categories) == CATEGORIES


def test_with_vocabulary_goes_by_name_and_leaves_other_classes_out(write_json: WriteJson) -> None:
    data = read_coco_dataset(write_json("a.json", document([1], [(1, 1, 7, [1, 0, 1, 1]), (2, 1, 2, [2, 0, 1, 1])])))
    turned = data.with_vocabulary(ClassVocabulary(("cat", "dog"), (7, 2)))
    assert turned.labels.tolist() == [0, 1]
    alone = data.with_vocabulary(ClassVocabulary(("cat",), (7,)))
    assert (alone.labels.tolist(), alone.annotation_ids.tolist()) == ([0], [1])


def test_joined_files_that_disagree_on_a_category_are_refused(write_json: WriteJson) -> None:
    one = write_json("one.json", document([1], []))
    two = write_json("two.json", document([2], [], categories=[{"id": 7, "name": "lion"}]))
    with pytest.raises(DataError) as caught:
        read_coco_dataset([one, two])
    assert_names(str(caught.value), two, "7", "'lion'", "'cat'", one)
    with pytest.raises(DataError) as caught:
        read_coco_dataset([one, one])
    assert_names(str(caught.value), "`coco`", one)


def one_image(bbox: object, **content: object) -> dict:
    """A COCO document with an annotation of image 7, class cat (3), an image of 640 x 480."""
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "height": 480, "width": 640}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 5, "name": " fridge "}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": bbox, **content}],
    }


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ({"image_id": "7"}, "image_id as text (1)"),
        ({"image_id": 7.0}, "image_id as a float (1)"),
        ({"category_id": "3", "area": "12.5"}, "category_id as text (1), area as text (1)"),
        ({"category_id": 3.0}, "category_id as a float (1)"),
        ({"category_id": "cat"}, "category_id as text (1)"),
        ({"iscrowd": "0", "ignore": "false"}, "iscrowd as text (1), ignore as text (1)"),
        ({"bbox": ["1", "2", 3, "4"]}, "bbox as text (1)"),
        ({"bbox": "[1, 2, 3, 4]"}, "bbox as text (1)"),
        ({"bbox": None, "segmentation": [[1, 2, 4, 2, 4, 6]]}, "bbox around the polygon (1)"),
        ({"bbox": [], "segmentation": [[1, 2, 4, 5], [2, 6, 3, 6, 3, 6]]}, "bbox around the polygon (1)"),
    ],
)
def test_values_with_one_meaning_are_taken_and_counted(write_json: WriteJson, content: dict, note: str) -> None:
    data = read_coco_dataset(write_json("a.json", one_image(**{"bbox": [1, 2, 3, 4], **content})))
    assert data.boxes_xywh.tolist() == [[1, 2, 3, 4]]
    assert data.image_ids.tolist() == [7]
    assert data.labels.tolist() == [0]
    assert data.areas.tolist() == [12.5 if "area" in content else 12]
    assert not data.crowd.any()
    assert not data.difficult.any()
    assert data.notes == (f"read as numbers or boxes: {note}",)


def test_ids_that_are_text_throughout_are_numbers_for_classes_and_names_are_stripped(write_json: WriteJson) -> None:
    content = one_image([1, 2, 3, 4], category_id="3", image_id=139)
    content["categories"][0]["id"] = "3"
    content["images"][0].update(id="139", width="640", height=480.0)
    data = read_coco_dataset(write_json("a.json", content))
    assert data.vocabulary == ClassVocabulary(("cat", "fridge"), (3, 5))
    assert data.images[0].size == (480, 640)
    assert data.image_ids.tolist() == ["139"]


def test_a_mask_without_a_polygon_is_refused_with_the_way_out(write_json: WriteJson) -> None:
    with pytest.raises(DataError, match=r"a.json: annotation id 1: has the bbox null and a mask that is not a polygon"):
        read_coco_dataset(write_json("a.json", one_image(None, segmentation={"counts": "abc", "size": [480, 640]})))


def test_a_file_whose_ids_all_lead_nowhere_is_refused(write_json: WriteJson) -> None:
    with pytest.raises(DataError, match=r"no annotation is of a listed image and category: .*image_id 9 .* are 7"):
        read_coco_dataset(write_json("a.json", one_image([1, 2, 3, 4], image_id=9)))


TRUE_BOXES = [[400, 300, 100, 90], [300, 350, 320, 100], [20, 30, 50, 60], [500, 100, 100, 300]]


@pytest.mark.parametrize(
    ("convert", "said"),
    [
        (lambda x, y, w, h: [x, y, x + w, y + h], "look like corners"),
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "look like a centre"),
        (lambda x, y, w, h: [x / 640, y / 480, w / 640, h / 480], "look relative"),
        (lambda x, y, w, h: [2 * x, 2 * y, 2 * w, 2 * h], "are the stated sizes"),
    ],
)
def test_boxes_of_another_convention_are_refused(
    write_json: WriteJson, convert: Callable[..., list[float]], said: str
) -> None:
    content = one_image(TRUE_BOXES[0])
    content["annotations"] = [{"image_id": 7, "category_id": 3, "bbox": box} for box in TRUE_BOXES]
    assert "beyond" not in " ".join(read_coco_dataset(write_json("a.json", content)).notes)
    for row in content["annotations"]:
        row["bbox"] = convert(*row["bbox"])
    with pytest.raises(DataError, match=said):
        read_coco_dataset(write_json("b.json", content))


def test_boxes_beyond_their_image_are_counted(write_json: WriteJson) -> None:
    content = one_image(TRUE_BOXES[0])
    content["annotations"] = [{"image_id": 7, "category_id": 3, "bbox": box} for box in TRUE_BOXES * 3]
    content["annotations"][0]["bbox"] = [600, 10, 100, 50]
    assert "1 of 12 boxes reach beyond their image" in read_coco_dataset(write_json("a.json", content)).notes
