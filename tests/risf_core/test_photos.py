"""Image ids find the files of their photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from risf_core.errors import DataError, ImageError
from risf_core.photos import ANYWHERE, ImageInfo, find_photos, list_photos, refuse_empty
from tests.messages import assert_names


@pytest.mark.parametrize(
    ("image_id", "file_name", "way"),
    [
        (139, "139.jpg", "file stem"),
        ("cat_7", "cat_7.png", "file stem"),
        (139, "000000000139.jpg", "number in the file name"),
        (139, "COCO_val2014_000000000139.jpg", "number in the file name"),
        ("000139", "139.jpeg", "number in the file name"),
        (0, "0000.jpg", "number in the file name"),
    ],
)
def test_id_finds_its_photo_without_annotations(tmp_path: Path, image_id: int | str, file_name: str, way: str) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / file_name).touch()
    found = find_photos([image_id], images=None, folders=[tmp_path])
    assert found.photos[image_id].path == tmp_path / "deep" / file_name
    assert found.ways == {way: 1}


def test_id_does_not_find_a_longer_number(tmp_path: Path) -> None:
    (tmp_path / "1139.jpg").touch()
    assert find_photos([139], images=None, folders=[tmp_path]).missing == [139]


def test_two_photos_for_one_id_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "7.jpg").touch()
    with pytest.raises(DataError, match="image 7: 2 photos fit it"):
        find_photos([7], images=None, folders=[tmp_path])


def test_annotations_find_photos_by_file_name_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for folder in ("val2014", "train2014"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train2014" / "x.jpg").touch()
    infos = {1: ImageInfo(1, "val2014/x.jpg", 4, 5), 2: ImageInfo(2, "y.jpg"), 3: ImageInfo(3, "z.jpg")}
    found = find_photos([1, 2, 9], images=infos, folders=[tmp_path / "val2014", tmp_path / "train2014"])
    assert found.photos[1].path == tmp_path / "train2014" / "x.jpg"
    assert found.photos[1].size == (4, 5)
    assert found.missing == [2]
    assert found.unknown == [9]


def infos_of_names(*names: str | None) -> dict[int, ImageInfo]:
    return {i: ImageInfo(i, name) for i, name in enumerate(names, start=1)}


@pytest.mark.parametrize("absent", ["seq1/0001.jpg", "seq1/0001.png", "0001.png"])
def test_no_image_gets_the_photo_of_another(tmp_path: Path, absent: str) -> None:
    (tmp_path / "seq2").mkdir()
    (tmp_path / "seq2" / "0001.jpg").touch()
    infos = infos_of_names(absent, "seq2/0001.jpg")
    for folders in ([tmp_path], [tmp_path, tmp_path / "seq2"]):
        found = find_photos([1, 2], images=infos, folders=folders)
        assert {image_id: photo.path for image_id, photo in found.photos.items()} == {2: tmp_path / "seq2/0001.jpg"}
        assert found.missing == [1]


def test_an_image_without_a_file_name_does_not_get_the_photo_of_one_that_states_it(tmp_path: Path) -> None:
    for name in ("1.jpg", "COCO_0002.jpg", "3.jpg"):
        (tmp_path / name).touch()
    infos = infos_of_names(None, None, None, "1.png", "COCO_0002.jpg")
    found = find_photos([1, 2, 3], images=infos, folders=[tmp_path])
    assert found.missing == [1, 2]
    assert found.photos[3].path == tmp_path / "3.jpg"


def test_a_file_name_that_is_the_only_one_is_found_wherever_it_lies(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "b.png").touch()
    found = find_photos([2], images=infos_of_names("seq1/a.jpg", "seq2/b.jpg"), folders=[tmp_path])
    assert [photo.path for photo in found.photos.values()] == [tmp_path / "flat/b.png"]
    assert found.ways == {"file stem": 1}


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder of images"):
        find_photos([1], images=None, folders=[tmp_path / "nowhere"])
    with pytest.raises(DataError, match="holds no photo"):
        list_photos(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    for folders, said in (
        ([tmp_path], f"{tmp_path}: holds no photo; "),
        ([tmp_path, tmp_path / "empty"], f"{tmp_path}, {tmp_path / 'empty'}: hold no photo; "),
    ):
        with pytest.raises(ImageError) as caught:
            refuse_empty(folders)
        assert str(caught.value).startswith(said)
        assert str(caught.value).endswith("; name the folder that holds them with `images`")
    assert find_photos([1], images=infos_of_names("a.jpg"), folders=[tmp_path]).missing == [1]
    (tmp_path / "other.jpg").touch()
    refuse_empty([tmp_path])
    assert find_photos([1], images=infos_of_names("a.jpg"), folders=[tmp_path]).missing == [1]


@pytest.mark.parametrize(
    ("stated", "there"),
    [
        ("images\\abc.png", "images/abc.png"),
        ("..\\..\\media\\upload\\4\\abc.png", "abc.png"),
        ("C:\\data\\train\\abc.png", "train/abc.png"),
        ("a%20b%2D1.png", "a b-1.png"),
        ("https://host/bucket/abc.png?Expires=17.5&Key=a/b", "abc.png"),
        ("IMG_1.JPG", "img_1.jpg"),
        ("e\u0301t\u00e9.jpg", "\u00e9te\u0301.jpg"),
        ("000139.jpg", "000139_jpg.rf.1f2e3d4c.jpg"),
        ("1a2b3c4d-000139.jpg", "000139.jpg"),
        ("000139_jpg.rf.1f2e3d4c.jpg", "000139.png"),
        ("photo.jfif", "deep/photo.jfif"),
        ("x" * 300 + "/abc.png", "abc.png"),
    ],
)
def test_a_file_name_that_was_changed_on_the_way_finds_its_photo(tmp_path: Path, stated: str, there: str) -> None:
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).touch()
    (tmp_path / "other.png").touch()
    found = find_photos([1], images=infos_of_names(stated), folders=[tmp_path])
    assert found.photos[1].path == tmp_path / there


def test_similar_names_count_only_where_one_image_and_one_photo_are_meant(tmp_path: Path) -> None:
    for name in ("A.jpg", "b.jpg", "B.jpg"):
        (tmp_path / name).touch()
    found = find_photos([1, 2, 3], images=infos_of_names("a.png", "A.png", "b.png"), folders=[tmp_path])
    assert {image_id: photo.path.name for image_id, photo in found.photos.items()} == {2: "A.jpg", 3: "b.jpg"}


def test_the_folder_that_a_path_names_tells_photos_of_one_name_apart(tmp_path: Path) -> None:
    for folder in ("train", "val"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.jpg").touch()
    found = find_photos([1], images=infos_of_names("D:\\set\\val\\1.jpg"), folders=[tmp_path])
    assert found.photos[1].path == tmp_path / "val/1.jpg"


def test_what_macos_adds_is_passed_over(tmp_path: Path) -> None:
    for name in ("photos/7.jpg", "photos/._7.jpg", "__MACOSX/photos/7.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    assert find_photos([7], images=None, folders=[tmp_path]).photos[7].path == tmp_path / "photos/7.jpg"
    assert list_photos(tmp_path) == [tmp_path / "photos/7.jpg"]


def test_links_are_followed_also_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "7.jpg").touch()
    (tmp_path / "near").mkdir()
    (tmp_path / "near" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "up").symlink_to(tmp_path / "near")
    assert list_photos(tmp_path / "near") == [tmp_path / "near/link/7.jpg"]
    infos = infos_of_names("link/7.jpg")
    assert find_photos([1], images=infos, folders=[tmp_path / "near"]).photos[1].path.name == "7.jpg"


def test_a_file_name_does_not_lead_out_of_the_folders(tmp_path: Path) -> None:
    (tmp_path / "secret.png").touch()
    (tmp_path / "photos" / "a").mkdir(parents=True)
    (tmp_path / "photos" / "7.jpg").touch()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "a/../../secret.png"):
        infos = infos_of_names(name)
        found = find_photos([1], images=infos, folders=[tmp_path / "photos"])
        assert found.missing == [1]
        assert found.hint == f"{name!r} leads out of the folders; name its own with `images`, or pass `allow_outside`"
        allowed = find_photos([1], images=infos, folders=[tmp_path / "photos", ANYWHERE])
        assert allowed.photos[1].path.name == "secret.png"
    for name in ("a/../7.jpg", str(tmp_path / "photos/7.jpg")):
        assert find_photos([1], images=infos_of_names(name), folders=[tmp_path / "photos"]).photos


def test_two_images_with_one_photo_are_refused(tmp_path: Path) -> None:
    (tmp_path / "b.png").touch()
    with pytest.raises(DataError, match=r"images 1 and 2 have one photo, .*b.png"):
        find_photos([1, 2], images=infos_of_names("b.png", "b.png"), folders=[tmp_path])


def test_a_missing_photo_is_named_with_the_nearest_there(tmp_path: Path) -> None:
    for name in ("img_0001.jpg", "zebra.jpg"):
        (tmp_path / name).touch()
    found = find_photos([1], images=infos_of_names("sub/img-001.jpg"), folders=[tmp_path])
    with pytest.raises(ImageError) as caught:
        found.refuse_missing("pass `images`", name="gt.json")
    assert_names(str(caught.value), "gt.json", "1", tmp_path, "'sub/img-001.jpg'", "'img_0001.jpg'", "`images`")
