"""Folders in Pascal VOC's form."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from risf_core.datasets.voc import VOC_TEST, read_voc_dataset, read_voc_test
from risf_core.errors import DataError
from risf_core.vocabulary import VOC_CLASSES
from tests.messages import assert_names


def test_boxes_lose_a_pixel_on_reading_and_difficult_ones_stay(voc_folder: Path) -> None:
    data = read_voc_dataset(voc_folder)
    assert data.boxes.tolist() == [[0, 0, 20, 30], [4, 5, 10, 12], [6, 6, 7, 7]]
    assert data.difficult.tolist() == [False, True, False]
    assert data.usable.all()
    assert [data.vocabulary.names[label] for label in data.labels.tolist()] == ["dog", "cat", "dog"]
    assert data.annotation_ids.tolist() == [1, 2, 3]


def test_classes_are_numbered_as_the_folder_names_them_whatever_list_is_read(
    voc_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = voc_folder / "VOC2007"
    text = (own / "Annotations/000012.xml").read_text()
    (own / "Annotations/000013.xml").write_text(text.replace("cat", "dog"))
    (own / "ImageSets/Main/test.txt").write_text("000013\n")
    for read in (read_voc_test, read_voc_dataset):
        vocabulary = read(own).vocabulary
        assert (vocabulary.names, vocabulary.category_ids) == (("cat", "dog"), (1, 2))
    assert caplog.messages[-1] == (
        f"{own}: classes are numbered from 1 by name, not as Pascal VOC's 20, which are not all there: cat, dog"
    )


def test_all_classes_of_voc_are_numbered_as_the_literature_does(voc_folder: Path) -> None:
    others = "".join(
        f"<object><name>{name}</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
        for name in reversed(VOC_CLASSES)
    )
    path = voc_folder / "VOC2007/Annotations/000099.xml"  # is in no list
    path.write_text(f"<annotation><size><width>50</width><height>40</height></size>{others}</annotation>")
    vocabulary = read_voc_dataset(voc_folder).vocabulary
    assert vocabulary.names == VOC_CLASSES
    assert vocabulary.category_ids == tuple(range(1, 21))
    path.unlink()
    assert read_voc_dataset(voc_folder, stems=["000012"]).vocabulary.names == VOC_CLASSES


def test_images_come_in_the_order_of_the_lists_2007_first(voc_folder: Path) -> None:
    data = read_voc_dataset(voc_folder)
    assert [(info.image_id, info.file_name, info.size) for info in data.images] == [
        ("000012", "VOC2007/JPEGImages/000012.jpg", (40, 50)),
        ("2008_000003", "VOC2012/JPEGImages/2008_000003.jpg", (40, 50)),
    ]
    assert data.listed_paths[1] == "datasets/VOC2012/JPEGImages/2008_000003.jpg"


def test_chosen_stems_are_found_by_their_year(voc_folder: Path) -> None:
    assert [info.image_id for info in read_voc_dataset(voc_folder, stems=["2008_000003"]).images] == ["2008_000003"]


def test_one_folder_of_own_data_is_read_with_or_without_lists(voc_folder: Path) -> None:
    own = voc_folder / "VOC2007"
    (own / "Annotations/000001.xml").write_text(
        "<annotation><size><width>9</width><height>9</height></size><object><name>zebra</name><bndbox><xmin>1</xmin>"
        "<ymin>1</ymin><xmax>4</xmax><ymax>4</ymax></bndbox></object></annotation>"
    )
    assert [info.image_id for info in read_voc_dataset(own).images] == ["000012"]
    (own / "ImageSets/Main/trainval.txt").unlink()
    data = read_voc_dataset(own)
    assert [(info.image_id, info.file_name) for info in data.images] == [
        ("000001", "JPEGImages/000001.jpg"),
        ("000012", "JPEGImages/000012.jpg"),
    ]
    assert data.vocabulary.names == ("cat", "dog", "zebra")


def test_one_folder_of_own_data_is_trained_on_by_its_training_lists(
    voc_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="risf_core")
    own = voc_folder / "VOC2007"
    lists = own / "ImageSets/Main"
    text = (own / "Annotations/000012.xml").read_text()
    (own / "Annotations/000013.xml").write_text(text.replace("000012", "000013"))
    (lists / "trainval.txt").unlink()
    for name, stem in (("test", "000012"), ("val", "000012"), ("train", "000013")):
        (lists / f"{name}.txt").write_text(f"{stem}\n")
    assert [info.image_id for info in read_voc_dataset(own).images] == ["000013"]
    assert f"{own}: read by its list ImageSets/Main/train.txt, 1 image" in caplog.messages


def test_the_test_list_is_read_on_request(voc_folder: Path) -> None:
    (voc_folder / "VOC2007/ImageSets/Main/test.txt").write_text("000012 1\n")
    assert len(read_voc_dataset(voc_folder, image_sets=VOC_TEST)) == 2


def test_progress_counts_files(voc_folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    read_voc_dataset(voc_folder, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("</annotation>", "", "{}: is not valid XML (no element found: line 1, column {column}); mend the "
         "file or take it from the list"),
        ("<height>40</height>", "<height>tall</height>",
         "{}: <size/height> is 'tall', not a number; write the number or take the image from the list"),
        ("<xmax>20</xmax>", "", "{}: <bndbox/xmax> is missing; write the number or take the image from the list"),
        ("<name>dog</name>", "", "{}: an object has no <name>; name it or remove it"),
    ],
)  # fmt: skip
def test_a_faulty_annotation_is_named_with_its_fault(voc_folder: Path, old: str, new: str, message: str) -> None:
    path = voc_folder / "VOC2007/Annotations/000012.xml"
    text = path.read_text().replace(old, new, 1)
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        read_voc_dataset(voc_folder)
    assert str(caught.value) == message.replace("{column}", str(len(text))).format(path)


def test_a_missing_annotation_is_named(voc_folder: Path) -> None:
    path = voc_folder / "VOC2012/Annotations/2008_000003.xml"
    path.unlink()
    with pytest.raises(DataError) as caught:
        read_voc_dataset(voc_folder)
    assert str(caught.value) == f"{path}: is listed but not there; copy it or take it from the list"
    with pytest.raises(DataError) as caught:
        read_voc_dataset(voc_folder, stems=["000012", "2008_000003", "2008_000009"])
    assert_names(
        str(caught.value),
        "2",
        "3",
        voc_folder,
        "VOC2012/Annotations/2008_000003.xml",
        "VOC2012/Annotations/2008_000009.xml",
        "`voc`",
    )


def test_a_folder_without_voc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_voc_dataset(tmp_path / "nowhere")
    assert str(caught.value) == (
        f"{tmp_path / 'nowhere'}: there is no such folder; name the one that holds VOC2007 and VOC2012"
    )
    (tmp_path / "VOC207").mkdir()
    with pytest.raises(DataError) as caught:
        read_voc_dataset(tmp_path)
    assert_names(str(caught.value), tmp_path, "'VOC207'", "neither")


def one_annotation(
    name: str = "cat", size: str = "<width>50</width><height>40</height>", file_name: str = "a.jpg"
) -> str:
    return (
        f"<annotation><filename>{file_name}</filename><size>{size}</size><object><name>{name}</name><bndbox>"
        "<xmin>1</xmin><ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
    )


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    """A folder of own data with a photo a.jpg, 50 x 40, and no annotation yet."""
    for folder in ("Annotations", "JPEGImages"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (50, 40)).save(tmp_path / "JPEGImages/a.jpg")
    return tmp_path


@pytest.mark.parametrize(
    ("declared", "codec", "name"),
    [
        ("gb2312", "gb2312", "猫"), ("GBK", "gbk", "猫"), ("UTF8", "utf-8", "Straße"), ("utf-8", "utf-8", "Straße"),
        ("windows-1252", "cp1252", "Straße"), ("ISO-8859-1", "latin-1", "Straße"), ("shift_jis", "shift_jis", "猫"),
        ("utf-16", "utf-16", "猫"), (None, "utf-8", "Straße"), (None, "utf-8-sig", "Straße"), (None, "utf-16", "猫"),
    ],
)  # fmt: skip
def test_annotations_are_read_in_the_encoding_they_declare(
    own_folder: Path, declared: str | None, codec: str, name: str
) -> None:
    head = f'<?xml version="1.0" encoding="{declared}"?>\n' if declared else ""
    (own_folder / "Annotations/a.xml").write_bytes((head + one_annotation(name)).encode(codec))
    assert read_voc_dataset(own_folder).vocabulary.names == (name,)


def test_a_file_that_says_utf_16_in_plain_bytes_is_utf_8(own_folder: Path) -> None:
    content = '<?xml version="1.0" encoding="utf-16"?>' + one_annotation("Straße")
    (own_folder / "Annotations/a.xml").write_bytes(content.encode())
    assert read_voc_dataset(own_folder).vocabulary.names == ("Straße",)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        (b'<?xml version="1.0" encoding="unicode"?>' + one_annotation().encode(), "unknown encoding 'unicode'"),
        (b'<?xml version="1.0" encoding="hex"?>' + one_annotation().encode(), "unknown encoding 'hex'"),
        (b'<?xml version="1.0" encoding="ascii"?>' + one_annotation("\u00df").encode(), "not in the encoding 'ascii'"),
        (one_annotation("\u00df").encode("cp1252"), "cp1252 or GBK"),
        (b'<!DOCTYPE a [<!ENTITY x "y">]>' + one_annotation("&x;").encode(), "declares entities"),
        (b"<annotation>" + b"\0" + b"</annotation>", "is not valid XML"),
    ],
)
def test_an_annotation_that_cannot_be_decoded_is_named_with_the_reason(
    own_folder: Path, content: bytes, said: str
) -> None:
    (own_folder / "Annotations/a.xml").write_bytes(content)
    with pytest.raises(DataError, match=rf"Annotations/a.xml: .*{said}"):
        read_voc_dataset(own_folder)


@pytest.mark.parametrize("size", ["<width>0</width><height>0</height>", "", "<width>50</width>"])
def test_a_size_that_is_not_stated_is_read_from_the_photo(own_folder: Path, size: str) -> None:
    (own_folder / "Annotations/a.xml").write_text(one_annotation(size=size))
    assert read_voc_dataset(own_folder).images[0].size == (40, 50)
    (own_folder / "JPEGImages/a.jpg").unlink()
    assert read_voc_dataset(own_folder).images[0].size is None


@pytest.mark.parametrize("place", ["", "train/"])
def test_xml_files_beside_their_photos_are_read(tmp_path: Path, place: str) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / f"{place}a.xml").write_text(one_annotation())
    (tmp_path / f"{place}._a.xml").write_bytes(b"\0\5")
    data = read_voc_dataset(tmp_path)
    assert [(info.image_id, info.file_name) for info in data.images] == [("a", f"{place}a.jpg")]
    assert len(read_voc_test(tmp_path)) == 1


@pytest.mark.parametrize(
    ("file_name", "found"), [("C:\\old\\a.jpg", "a.jpg"), ("/old/a.jpg", "a.jpg"), ("renamed.png", "a.jpg")]
)
def test_a_stale_file_name_leads_to_the_photo_of_the_annotations_own_name(
    own_folder: Path, file_name: str, found: str
) -> None:
    (own_folder / "Annotations/a.xml").write_text(one_annotation(file_name=file_name))
    assert read_voc_dataset(own_folder).images[0].file_name == f"JPEGImages/{found}"


def test_file_names_that_lead_to_another_photo_are_refused(own_folder: Path) -> None:
    Image.new("RGB", (50, 40)).save(own_folder / "JPEGImages/b.jpg")
    (own_folder / "Annotations/a.xml").write_text(one_annotation(file_name="b.jpg"))
    with pytest.raises(DataError, match=r"a.xml: names 'b.jpg', but 'a.jpg' has its own name"):
        read_voc_dataset(own_folder)
    (own_folder / "JPEGImages/a.jpg").unlink()
    (own_folder / "Annotations/b.xml").write_text(one_annotation(file_name="b.jpg"))
    with pytest.raises(DataError, match=r"a.xml and .*b.xml name one photo, JPEGImages/b.jpg"):
        read_voc_dataset(own_folder)


def test_folders_of_other_exports_are_read(tmp_path: Path) -> None:
    (tmp_path / "Annotations/sub").mkdir(parents=True)  # CVAT
    (tmp_path / "images/sub").mkdir(parents=True)  # Label Studio
    Image.new("RGB", (50, 40)).save(tmp_path / "images/sub/a.jpg")
    (tmp_path / "Annotations/sub/a.xml").write_text(one_annotation(size=""))
    for read in (read_voc_dataset, read_voc_test):
        (info,) = read(tmp_path).images
        assert (info.image_id, info.file_name, info.size) == ("a", "images/sub/a.jpg", (40, 50))
    (tmp_path / "Annotations/more").mkdir()
    (tmp_path / "Annotations/more/a.xml").write_text(one_annotation())
    with pytest.raises(DataError, match=r"a.xml and .*a.xml would both be image 'a'"):
        read_voc_dataset(tmp_path)


def test_boxes_that_end_before_they_begin_are_refused(own_folder: Path) -> None:
    text = one_annotation().replace("<xmin>1</xmin>", "<xmin>30</xmin>")
    (own_folder / "Annotations/a.xml").write_text(text)
    with pytest.raises(DataError, match="1 of 1 boxes end before they begin"):
        read_voc_dataset(own_folder)
