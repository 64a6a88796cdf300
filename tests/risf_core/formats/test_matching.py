"""Photos and classes are matched by name before id; what cannot be decided names both readings and the field."""

from __future__ import annotations

import numpy as np
import pytest

from risf_core.errors import DataError
from risf_core.formats.conventions import Conventions
from risf_core.formats.matching import match
from risf_core.formats.rows import ClassKey, PhotoKey, Rows
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
COUNTED = ClassVocabulary(("cat", "dog", "horse"), (1, 2, 3))
IMAGES = {
    40: ImageInfo(40, "a/1.jpg", 100, 200),
    10: ImageInfo(10, "b/1.jpg", 50, 80),
    30: ImageInfo(30, "b/2.rf.9e.jpg", 50, 80),
    20: ImageInfo(20, "c/three.png", 50, 80),
}


ONE_PHOTO = (PhotoKey("a/1.jpg"),)
CAT = (ClassKey("cat"),)


def rows(photos=ONE_PHOTO, classes=CAT, convention="xywh", box=(10, 5, 20, 10), **fields):
    count = max(len(photos), len(classes))
    return Rows(
        source="d",
        photos=tuple(photos),
        photo_codes=np.arange(count) % len(photos),
        classes=tuple(classes),
        class_codes=np.arange(count) % len(classes),
        boxes=np.array([box] * count, dtype=np.float64),
        scores=np.full(count, 0.5),
        box_convention=convention,
        **fields,
    )


def images_of(*photos: PhotoKey, **options) -> list:
    return match(rows(photos), IMAGES, PETS, conventions=Conventions(**options)).detections.image_ids.tolist()


def labels_of(*classes: ClassKey, vocabulary=PETS, category_ids=None, **options) -> list[int]:
    table = rows(classes=classes, category_ids=category_ids)
    return match(table, IMAGES, vocabulary, conventions=Conventions(**options)).detections.labels.tolist()


@pytest.mark.parametrize(
    ("name", "image_id"),
    [
        ("a/1.jpg", 40),
        ("/data/coco/b/1.jpg", 10),
        ("b\\1.jpg", 10),
        ("b/1", 10),
        ("b_1", 10),
        ("2.rf.9e", 30),
        ("2.rf.9e.jpg", 30),
        ("three", 20),
        ("three.jpg", 20),
        ("20", 20),
    ],
)
def test_a_photo_is_found_by_path_base_name_stem_joined_folders_or_id_as_text(name, image_id):
    assert images_of(PhotoKey(name)) == [image_id]


def test_a_name_that_fits_only_loosely_is_shown_with_the_option_that_matches_by_ids():
    loose = match(rows((PhotoKey("THREE.PNG"), PhotoKey("a/1.jpg"))), IMAGES, PETS)
    assert loose.detections.image_ids.tolist() == [20, 40]
    for part in ("1 of them", "'THREE.PNG'", "'c/three.png'", "`image_ids`"):
        assert part in loose.outcome
    assert "of them" not in match(rows((PhotoKey("three.jpg"), PhotoKey("b_1"))), IMAGES, PETS).outcome


def test_a_name_beats_an_id_unless_ids_are_asked_for():
    key = PhotoKey("three.png", 40)
    assert images_of(key) == [20]
    assert images_of(key, image_ids="dataset") == [40]
    assert images_of(PhotoKey("elsewhere.png", 40)) == [40]  # no name fits, so the ids are taken


@pytest.mark.parametrize(
    ("photos", "message"),
    [
        ([PhotoKey("1.jpg")], "d: photo '1.jpg' may be 'a/1.jpg' or 'b/1.jpg' of the annotations; write its folder "
            "too, or match by ids with `image_ids`"),
        ([PhotoKey("three.png"), PhotoKey("c/three.png")], "d: photos 'three.png' and 'c/three.png' are both image 20 "
            "of the annotations; each photo must have one name"),
        ([PhotoKey("three.png"), PhotoKey("c/four.png")], "d: photo 'c/four.png' not among the 4 images of the "
            "annotations ('a/1.jpg', 'b/1.jpg', 'b/2.rf.9e.jpg', 'c/three.png')"),
    ],
)  # fmt: skip
def test_names_that_fit_no_or_several_photos_are_refused(photos, message):
    with pytest.raises(DataError) as caught:
        images_of(*photos)
    assert str(caught.value).startswith(message)


def test_rows_of_unknown_photos_are_left_out_on_demand_and_counted():
    result = match(rows([PhotoKey("three.png"), PhotoKey("four.png")]), IMAGES, PETS, on_unmatched="drop")
    assert result.detections.image_ids.tolist() == [20]
    assert result.dropped == 1
    assert result.outcome.endswith("1 row left out (1 of an unknown photo)")


def test_a_photo_that_is_kept_never_comes_to_mean_another_image():
    table = rows([PhotoKey("three.png", 20), PhotoKey("four.png", 10)])
    with pytest.raises(DataError, match=r"photo 'four\.png' .* its image id 10 is another image's .*on_unmatched=drop"):
        match(table, IMAGES, PETS, on_unmatched="keep")
    assert match(table, IMAGES, PETS, on_unmatched="drop").detections.image_ids.tolist() == [20]
    other = rows([PhotoKey("three.png", 20), PhotoKey("four.png", 50)])
    assert match(other, IMAGES, PETS, on_unmatched="keep").detections.image_ids.tolist() == [20, 50]


def test_photos_by_position_count_the_annotations_and_need_as_many():
    keys = [PhotoKey(None, position) for position in range(4)]
    table = rows(keys, photos_by_position=True)
    assert match(table, IMAGES, PETS).detections.image_ids.tolist() == [40, 10, 30, 20]
    few = rows(keys[:2], photos_by_position=True)
    with pytest.raises(DataError, match="names no photos and has 2 lists of detections, but the annotations have 4"):
        match(few, IMAGES, PETS)
    assert match(few, IMAGES, PETS, conventions=Conventions(image_ids="positions")).detections.image_ids.tolist() == [
        40,
        10,
    ]


def test_classes_are_found_by_name_before_id_and_when_renamed():
    assert labels_of(ClassKey("horse", 17)) == [2]
    assert labels_of(ClassKey("horse", 17), category_ids=None, vocabulary=PETS) == [2]
    assert labels_of(ClassKey("Dog ")) == [1]
    assert labels_of(ClassKey("pony"), rename={"pony": "horse"}) == [2]
    table = rows(classes=[ClassKey("horse", 17)])
    assert match(table, IMAGES, PETS, conventions=Conventions(category_ids="dataset")).detections.labels.tolist() == [0]


@pytest.mark.parametrize(
    ("ids", "vocabulary", "labels", "reading"),
    [
        ((17, 3), PETS, [0, 2], "dataset"),
        ((0, 1), PETS, [0, 1], "positions"),
        ((1, 2), ClassVocabulary(("cat", "dog"), (17, 18)), [0, 1], "positions-from-1"),
        ((1, 3), COUNTED, [0, 2], "dataset"),  # positions from 1 are the same there
        ((0, 2), COUNTED, [0, 2], "positions"),
    ],
)
def test_ids_whose_meaning_the_form_does_not_say_are_read_in_the_one_way_that_fits(ids, vocabulary, labels, reading):
    table = rows(classes=[ClassKey(None, number) for number in ids], category_ids=None)
    result = match(table, IMAGES, vocabulary)
    assert result.detections.labels.tolist() == labels
    assert f"`category_ids={reading}`" in result.outcome


@pytest.mark.parametrize(
    ("classes", "vocabulary", "message"),
    [
        ([ClassKey(None, 1), ClassKey(None, 2)], COUNTED, "d: class ids 1, 2 may be the annotations' own "
            "(`category_ids=dataset`) or positions from 0 (`category_ids=positions`); pass `category_ids`"),
        ([ClassKey(None, 7)], COUNTED, "d: class ids 7 fit the 3 classes neither as their ids (1..3) nor as positions; "
            "pass the detector's own annotations"),
        ([ClassKey("hors")], PETS, "d: class 'hors' not among the 3 classes (did you mean 'horse'?); pass "
            "`rename` with OLD=NEW"),
    ],
)  # fmt: skip
def test_classes_that_cannot_be_decided_are_refused(classes, vocabulary, message):
    with pytest.raises(DataError) as caught:
        labels_of(*classes, vocabulary=vocabulary)
    assert str(caught.value) == message


def test_unknown_classes_are_kept_on_demand_with_what_the_file_called_them():
    table = rows(classes=[ClassKey("cat"), ClassKey("unicorn")])
    found = match(table, IMAGES, PETS, on_unmatched="keep").detections
    assert found.labels.tolist() == [0, -1]
    assert found.extras[1] == {"category_id": None, "category_name": "unicorn"}


def test_relative_boxes_take_the_sizes_of_the_annotations_or_those_given():
    table = rows(convention="xyxy-relative", box=(0.1, 0.2, 0.5, 0.6))
    assert match(table, IMAGES, PETS).detections.boxes_xywh.round(9).tolist() == [[20, 20, 80, 40]]
    unsized = {40: ImageInfo(40, "a/1.jpg")}
    with pytest.raises(DataError, match="relative boxes need the size of each image"):
        match(table, unsized, PETS)
    assert match(table, unsized, PETS, sizes_of=lambda ids, images: {40: (10, 10)}).detections.boxes_xywh.round(
        9
    ).tolist() == [[1, 2, 4, 4]]
