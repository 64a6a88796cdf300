"""Folders in Pascal VOC's form."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from risf_core.datasets import VOC_TEST, read_voc_dataset
from risf_core.errors import DataError
from risf_core.vocabulary import VOC_CLASSES


def test_boxes_lose_a_pixel_on_reading_and_difficult_ones_stay(voc_folder: Path) -> None:
    data = read_voc_dataset(voc_folder)
    assert data.boxes.tolist() == [[0, 0, 20, 30], [4, 5, 10, 12], [6, 6, 7, 7]]
    assert data.difficult.tolist() == [False, True, False]
    assert data.usable.all()
    assert [data.vocabulary.names[label] for label in data.labels.tolist()] == ["dog", "cat", "dog"]
    assert data.annotation_ids.tolist() == [1, 2, 3]


def test_a_part_of_voc_counts_its_classes_as_the_whole_does(voc_folder: Path) -> None:
    vocabulary = read_voc_dataset(voc_folder).vocabulary
    assert vocabulary.names == VOC_CLASSES
    assert vocabulary.category_ids == tuple(range(1, 21))


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
    shutil.copy(own / "Annotations/000012.xml", own / "Annotations/000013.xml")
    (lists / "trainval.txt").unlink()
    for name, stem in (("test", "000012"), ("val", "000012"), ("train", "000013")):
        (lists / f"{name}.txt").write_text(f"{stem}\n")
    assert [info.image_id for info in read_voc_dataset(own).images] == ["000013"]
    assert caplog.messages == [f"{own}: read by its list ImageSets/Main/train.txt, 1 images"]


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
        ("<width>50</width>", "", "{}: <size/width> is missing; write the number or take the image from the list"),
        ("<height>40</height>", "<height>tall</height>",
         "{}: <size/height> is 'tall', not a number; write the number or take the image from the list"),
        ("<width>50</width>", "<width>0</width>", "{}: states the image size 0 x 40; both must be positive"),
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
    assert str(caught.value) == (
        f"2 of 3 listed images have no annotation below {voc_folder} (VOC2012/Annotations/2008_000003.xml, "
        "VOC2012/Annotations/2008_000009.xml); the lists hold no boxes: name the folder that holds VOC2007 and VOC2012 "
        "with --voc"
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
    assert str(caught.value) == (
        f"{tmp_path}: holds neither VOC2007 nor VOC2012 nor Annotations (did you mean 'VOC207'?); name the folder that "
        "holds them"
    )
