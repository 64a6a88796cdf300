"""Photos of every odd kind decode to upright RGB; ids find their files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core import images
from risf_core.datasets import DatasetIndex, ImageInfo
from risf_core.errors import DataError, ImageError
from risf_core.images import decode_rgb, find_photos, list_photos, refuse_empty, upright_size
from risf_core.vocabulary import ClassVocabulary

CLASSES = ClassVocabulary.from_names(["cat"])


def save(path: Path, pixels: np.ndarray, **options: object) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


def rotated(tmp_path: Path, orientation: int) -> Path:
    """A stored 20 wide, 10 high photo, red on its left half, with an EXIF orientation."""
    pixels = np.zeros((10, 20, 3), dtype=np.uint8)
    pixels[:, :10, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(tmp_path / "turned.png", pixels, exif=exif)


def test_grayscale_photo_repeats_its_channel(tmp_path: Path) -> None:
    path = save(tmp_path / "grey.png", np.array([[0, 90], [180, 255]], dtype=np.uint8))
    assert decode_rgb(path).tolist() == [[[0] * 3, [90] * 3], [[180] * 3, [255] * 3]]


def test_sixteen_bit_photo_is_scaled_not_clipped(tmp_path: Path) -> None:
    path = save(tmp_path / "deep.png", np.array([[0, 256 * 90], [256 * 180 + 7, 65535]], dtype=np.uint16))
    assert decode_rgb(path)[..., 1].tolist() == [[0, 90], [180, 255]]


def test_cmyk_photo_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    Image.new("CMYK", (2, 1), (0, 255, 255, 0)).save(path)  # magenta and yellow ink: red
    assert decode_rgb(path).tolist() == [[[255, 0, 0], [255, 0, 0]]]


def test_exif_turned_photo_is_upright_without_annotations(tmp_path: Path) -> None:
    path = rotated(tmp_path, 6)  # the stored left side is the top
    image = decode_rgb(path)
    assert image.shape == (20, 10, 3)
    assert (image[:10, :, 0] == 255).all()
    assert (image[10:, :, 0] == 0).all()
    assert upright_size(path) == (20, 10)


def test_exif_turned_photo_is_turned_when_that_gives_the_annotated_size(tmp_path: Path) -> None:
    assert decode_rgb(rotated(tmp_path, 6), expected_size=(20, 10)).shape == (20, 10, 3)


def test_exif_turned_photo_is_left_when_the_annotations_mean_the_stored_pixels(tmp_path: Path) -> None:
    image = decode_rgb(rotated(tmp_path, 6), expected_size=(10, 20))
    assert (image[:, :10, 0] == 255).all()


def test_photo_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    path = rotated(tmp_path, 1)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path, expected_size=(11, 20))
    assert str(caught.value) == (
        f"{path}: is 20x10 pixels, but the annotations say 20x11; "
        "boxes and photo belong to different versions of the image"
    )


def test_corrupt_jpeg_is_named(tmp_path: Path) -> None:
    path = save(tmp_path / "cut.jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    path.write_bytes(path.read_bytes()[:900])
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value).startswith(f"{path}: the image is damaged and cannot be decoded (")
    assert str(caught.value).endswith("; replace the file")


def test_text_under_an_image_name_is_named(tmp_path: Path) -> None:
    path = tmp_path / "page.jpg"
    path.write_text("<html>404</html>")
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == f"{path}: is no image that can be decoded; replace the file"


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
@pytest.mark.parametrize("most", [150, 40])  # Pillow warns from its limit on, and refuses from its double on
def test_photo_beyond_pillows_limit_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, most: int
) -> None:
    path = save(tmp_path / f"aerial{suffix}", np.full((10, 20, 3), 128, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
    assert decode_rgb(path).tolist() == [[[128] * 3] * 20] * 10
    assert upright_size(path) == (10, 20)
    assert most == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize("suffix", [".tif", ".webp"])
def test_photo_beyond_pillows_limit_for_its_kind_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = save(tmp_path / f"aerial{suffix}", np.full((10, 20, 3), 7, dtype=np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == (
        f"{path}: is too large (Image size (200 pixels) exceeds limit of 80 pixels); save it as PNG or JPEG, or cut it "
        "into tiles"
    )


def test_photo_beyond_all_reason_is_named_with_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "bomb.png", np.zeros((10, 20, 3), dtype=np.uint8))
    monkeypatch.setattr(images, "MOST_PIXELS", 199)
    with pytest.raises(ImageError) as caught:
        decode_rgb(path)
    assert str(caught.value) == (f"{path}: has 20x10 pixels, more than the 199 that are decoded; cut it into tiles")


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
    found = find_photos([image_id], index=None, folders=[tmp_path])
    assert found.photos[image_id].path == tmp_path / "deep" / file_name
    assert found.ways == {way: 1}


def test_id_does_not_find_a_longer_number(tmp_path: Path) -> None:
    (tmp_path / "1139.jpg").touch()
    assert find_photos([139], index=None, folders=[tmp_path]).missing == [139]


def test_two_photos_for_one_id_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "7.jpg").touch()
    with pytest.raises(DataError, match="image id 7: 2 photos answer to it"):
        find_photos([7], index=None, folders=[tmp_path])


def test_annotations_find_photos_by_file_name_in_the_first_folder_that_has_it(tmp_path: Path) -> None:
    for folder in ("val2014", "train2014"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train2014" / "x.jpg").touch()
    infos = {1: ImageInfo(1, "val2014/x.jpg", 4, 5), 2: ImageInfo(2, "y.jpg"), 3: ImageInfo(3, "z.jpg")}
    index = DatasetIndex(CLASSES, infos)
    found = find_photos([1, 2, 9], index=index, folders=[tmp_path / "val2014", tmp_path / "train2014"])
    assert found.photos[1].path == tmp_path / "train2014" / "x.jpg"
    assert found.photos[1].size == (4, 5)
    assert found.missing == [2]
    assert found.unknown == [9]


def index_of_names(*names: str | None) -> DatasetIndex:
    return DatasetIndex(CLASSES, {i: ImageInfo(i, name) for i, name in enumerate(names, start=1)})


@pytest.mark.parametrize("absent", ["seq1/0001.jpg", "seq1/0001.png", "0001.png"])
def test_no_image_gets_the_photo_of_another(tmp_path: Path, absent: str) -> None:
    (tmp_path / "seq2").mkdir()
    (tmp_path / "seq2" / "0001.jpg").touch()
    index = index_of_names(absent, "seq2/0001.jpg")
    for folders in ([tmp_path], [tmp_path, tmp_path / "seq2"]):
        found = find_photos([1, 2], index=index, folders=folders)
        assert {image_id: photo.path for image_id, photo in found.photos.items()} == {2: tmp_path / "seq2/0001.jpg"}
        assert found.missing == [1]


def test_an_image_without_a_file_name_does_not_get_the_photo_of_one_that_states_it(tmp_path: Path) -> None:
    for name in ("1.jpg", "COCO_0002.jpg", "3.jpg"):
        (tmp_path / name).touch()
    index = index_of_names(None, None, None, "1.png", "COCO_0002.jpg")
    found = find_photos([1, 2, 3], index=index, folders=[tmp_path])
    assert found.missing == [1, 2]
    assert found.photos[3].path == tmp_path / "3.jpg"


def test_a_file_name_that_is_the_only_one_is_found_wherever_it_lies_and_by_two_ids(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    (tmp_path / "flat" / "b.png").touch()
    index = index_of_names("seq1/a.jpg", "seq2/b.jpg", "seq2/b.jpg")
    found = find_photos([2, 3], index=index, folders=[tmp_path])
    assert {photo.path for photo in found.photos.values()} == {tmp_path / "flat/b.png"}
    assert found.ways == {"file stem": 2}


def test_missing_and_empty_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder of images"):
        find_photos([1], index=None, folders=[tmp_path / "nowhere"])
    with pytest.raises(DataError, match="holds no photo"):
        list_photos(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").touch()
    for folders, said in (
        ([tmp_path], f"{tmp_path}: holds no photo ("),
        ([tmp_path, tmp_path / "empty"], f"{tmp_path}, {tmp_path / 'empty'}: hold no photo ("),
    ):
        with pytest.raises(ImageError) as caught:
            refuse_empty(folders)
        assert str(caught.value).startswith(said)
        assert str(caught.value).endswith("; name the folder that holds them with --images")
    assert find_photos([1], index=index_of_names("a.jpg"), folders=[tmp_path]).missing == [1]
    (tmp_path / "other.jpg").touch()
    refuse_empty([tmp_path])
    assert find_photos([1], index=index_of_names("a.jpg"), folders=[tmp_path]).missing == [1]
