"""What a COCO file says of its images and classes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from risf_core.datasets.index import images_by_id, read_coco_index
from risf_core.errors import DataError
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

CATEGORY = {"id": 1, "name": "cat"}


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda content: Path("gt.json").write_text(json.dumps(content))


def test_images_are_indexed_by_their_own_ids_in_the_order_of_the_file(write):
    write({"images": [{"id": "b", "file_name": "b.png", "height": 3, "width": 4}, {"id": 1}], "categories": [CATEGORY]})
    index = read_coco_index("gt.json")
    assert list(index.images) == ["b", 1]
    assert index.images["b"] == ImageInfo("b", "b.png", 3, 4)
    assert index.images["b"].size == (3, 4)
    assert index.images[1].size is None
    assert index.vocabulary.names == ("cat",)


def test_boxes_are_not_looked_at(write):
    write({"images": [], "categories": [CATEGORY], "annotations": "none of them"})
    assert len(read_coco_index("gt.json").vocabulary) == 1


def test_images_known_by_their_address_alone_are_named_by_its_end(write):
    # as in LVIS: folder and file are the last two parts
    write({"images": [{"id": 1, "coco_url": "http://x.org/train2017/0001.jpg"}], "categories": []})
    assert read_coco_index("gt.json").images[1].file_name == "train2017/0001.jpg"


def test_an_image_that_is_listed_twice_alike_is_one_image(write):
    image = {"id": 1, "file_name": "a.jpg"}
    write({"images": [image, dict(image)], "categories": []})
    assert list(read_coco_index("gt.json").images) == [1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "holds list, not a COCO dataset (an object with images, annotations and categories); a list is a "
            "detections file"),
        ({"categories": []}, "has no list of images; a COCO dataset has images, annotations and categories"),
        ({"images": [], "categories": {}},
            "has no list of categories; a COCO dataset has images, annotations and categories"),
        ({"images": [], "categories": [{"id": "one", "name": "cat"}]},
            'category {"id": "one", "name": "cat"} needs a whole-numbered id and a name'),
        ({"images": [], "categories": [{"id": 1}]}, 'category {"id": 1} needs a whole-numbered id and a name'),
        ({"images": [], "categories": ["cat"]}, 'category "cat" needs a whole-numbered id and a name'),
        ({"images": [], "categories": [CATEGORY, {"id": 1, "name": "dog"}]},
            "category id 1 is both 'cat' and 'dog'; give each class its own id"),
        ({"images": [{"id": 1.5}], "categories": []}, 'image {"id": 1.5} needs an id (a whole number or a string)'),
        ({"images": [None], "categories": []}, "image null needs an id (a whole number or a string)"),
        ({"images": [{"id": 1, "height": "tall"}], "categories": []},
            'image {"id": 1, "height": "tall"}: height and width must be numbers'),
        ({"images": [{"id": 1, "file_name": 7}], "categories": []},
            'image {"id": 1, "file_name": 7}: file_name must be text'),
        ({"images": [{"id": 1, "file_name": "a.jpg"}, {"id": 1, "file_name": "b.jpg"}], "categories": []},
            'image id 1 is both "a.jpg" and "b.jpg"; give each image its own id'),
        ({"images": [{"id": None, "caption": "x" * 200}], "categories": []},
            'image {"id": null, "caption": "' + "x" * 75 + "... needs an id (a whole number or a string)"),
    ],
)  # fmt: skip
def test_what_is_no_coco_dataset_is_named(write, content, message):
    write(content)
    with pytest.raises(DataError) as caught:
        read_coco_index("gt.json")
    assert str(caught.value) == f"gt.json: {message}"


def test_a_file_that_is_not_there_is_named(write):
    with pytest.raises(DataError) as caught:
        read_coco_index("gone.json")
    assert str(caught.value) == "gone.json: there is no such annotations file; check the path"


def test_sides_of_zero_state_no_size():
    images = [
        {"id": 1, "height": 0, "width": 0},
        {"id": 2, "height": 5, "width": 0},
        {"id": 3, "height": 5, "width": 4},
    ]
    found = images_by_id(images)
    assert [found[image_id].size for image_id in (1, 2, 3)] == [None, None, (5, 4)]
    assert (found[1].height, found[2].height, found[2].width) == (None, 5, None)


def test_the_root_of_a_roboflow_export_that_bears_a_classs_name_is_left_out(tmp_path, caplog):
    categories = [
        {"id": 0, "name": "cells", "supercategory": "none"},
        {"id": 1, "name": "cells", "supercategory": "cells"},
        {"id": 2, "name": "dust", "supercategory": "cells"},
    ]
    annotations = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1]}]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "categories": categories, "annotations": annotations}))
    assert read_coco_index(path).vocabulary == ClassVocabulary(("cells", "dust"), (1, 2))
    assert caplog.messages == [f"{path}: category 'cells' (id 0) only groups others: left out"]
    annotations[0]["category_id"] = 0  # with a box it is a class of its own
    path.write_text(json.dumps({"images": [{"id": 1}], "categories": categories, "annotations": annotations}))
    with pytest.raises(DataError, match="class 'cells' has category ids 0 and 1"):
        read_coco_index(path)


def test_a_root_of_another_name_that_only_groups_others_is_left_out(tmp_path, caplog):
    categories = [
        {"id": 0, "name": "things", "supercategory": "none"},
        {"id": 1, "name": "dust", "supercategory": "things"},
        {"id": 2, "name": "person", "supercategory": "person"},  # as COCO has it
    ]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"images": [{"id": 1}], "categories": categories, "annotations": []}))
    assert read_coco_index(path).vocabulary.names == ("dust", "person")
    assert caplog.messages == [f"{path}: category 'things' (id 0) only groups others: left out"]
