"""YOLO folders: data.yaml, images, labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from risf_core.datasets.yolo import read_yolo_dataset
from risf_core.errors import DataError, ImageError


def test_labels_become_pixels_of_their_image(yolo_folder: Path) -> None:
    data = read_yolo_dataset(yolo_folder)
    assert [(info.image_id, info.file_name, info.size) for info in data.images] == [
        (7, "train/images/0007.jpg", (50, 100)),
        ("street", "train/images/street.png", (60, 30)),
    ]
    assert data.boxes_xywh.ravel() == pytest.approx([40, 15, 20, 20, 10, 10, 20, 30])
    assert [data.vocabulary.names[label] for label in data.labels.tolist()] == ["bus", "car"]
    assert data.vocabulary.category_ids == (0, 1)
    assert data.image_positions.tolist() == [0, 0]


def test_data_yaml_itself_and_its_folder_are_the_same(yolo_folder: Path) -> None:
    assert read_yolo_dataset(yolo_folder / "data.yaml").source == read_yolo_dataset(yolo_folder).source


def test_a_sideways_photo_is_measured_as_it_is_shown(yolo_folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (100, 50)).save(yolo_folder / "train/images/0007.jpg", exif=exif)
    data = read_yolo_dataset(yolo_folder)
    assert data.images[0].size == (100, 50)
    assert data.boxes_xywh[0] == pytest.approx([20, 30, 10, 40])


def test_lists_of_images_and_several_places_are_read(yolo_folder: Path) -> None:
    (yolo_folder / "part.txt").write_text("./train/images/street.png\n")
    (yolo_folder / "train/labels/street.txt").write_text(LABEL)
    (yolo_folder / "data.yaml").write_text("train: [part.txt]\nnames: [car, bus]\n")
    assert [info.image_id for info in read_yolo_dataset(yolo_folder).images] == ["street"]


def test_equal_stems_in_two_folders_are_told_apart(yolo_folder: Path) -> None:
    (yolo_folder / "more/images").mkdir(parents=True)
    Image.new("RGB", (10, 10)).save(yolo_folder / "more/images/street.png")
    (yolo_folder / "data.yaml").write_text("train: [train/images, more/images]\nnames: [car, bus]\n")
    assert [info.image_id for info in read_yolo_dataset(yolo_folder).images] == [
        "train/images/0007.jpg", "train/images/street.png", "more/images/street.png",
    ]  # fmt: skip


def test_the_hash_follows_the_labels(yolo_folder: Path) -> None:
    before = read_yolo_dataset(yolo_folder).source.sha256
    (yolo_folder / "train/labels/street.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    assert read_yolo_dataset(yolo_folder).source.sha256 != before


NO_LABEL = "is not a label; write class, centre x, centre y, width, height, the last four as parts of the image size"


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ("1 0.5 0.5 0.2", f"'1 0.5 0.5 0.2' {NO_LABEL}"),
        ("1 0.5 0.5 0.2 nan", f"'1 0.5 0.5 0.2 nan' {NO_LABEL}"),
        ("bus 0.5 0.5 0.2 0.2", f"'bus 0.5 0.5 0.2 0.2' {NO_LABEL}"),
        ("2 0.5 0.5 0.2 0.2", "class 2 is not among names: (0 to 1)"),
        ("0.5 0.5 0.5 0.2 0.2", "class 0.5 is not among names: (0 to 1)"),
    ],
)
def test_a_faulty_label_is_named_with_its_line(yolo_folder: Path, label: str, message: str) -> None:
    path = yolo_folder / "train/labels/0007.txt"
    path.write_text(f"1 0.5 0.5 0.2 0.4\n{label}\n")
    with pytest.raises(DataError) as caught:
        read_yolo_dataset(yolo_folder)
    assert str(caught.value) == f"{path}, line 2: {message}"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("train: train/images\n", "{}: has no class names; write names: [first, second, ...]"),
        ("names: [a]\n", "{}: has no 'train'; write train: images/train"),
        ("names: {0: a, 2: b}\ntrain: train/images\n", "{}: names: must be numbered 0 to 1, got 0, 2"),
        ("[a, b]\n", "{}: holds list, not keys and values; train: and names: are needed"),
        ("names: [a, a]\ntrain: train/images\n", "{}: class 'a' has category ids 0 and 1; "
         "give each class its own name"),
        ("names: [a]\ntrain: valid\n", "{}: 'valid' is not there (looked below {parent}); correct path: or the entry"),
    ],
)  # fmt: skip
def test_a_faulty_data_yaml_is_named_with_its_fault(yolo_folder: Path, content: str, message: str) -> None:
    path = yolo_folder / "data.yaml"
    path.write_text(content)
    with pytest.raises(DataError) as caught:
        read_yolo_dataset(yolo_folder)
    assert str(caught.value) == message.replace("{parent}", str(path.parent)).format(path)


def test_a_broken_image_is_named(yolo_folder: Path) -> None:
    (yolo_folder / "train/images/0007.jpg").write_bytes(b"no jpeg")
    with pytest.raises(ImageError) as caught:
        read_yolo_dataset(yolo_folder)
    assert str(yolo_folder / "train/images/0007.jpg") in str(caught.value)


def test_every_kind_of_photo_that_is_found_elsewhere_is_found_here(yolo_folder: Path) -> None:
    for suffix in {".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".mpo", ".png", ".ppm", ".tiff", ".webp"}:
        Image.new("RGB", (4, 4)).save(yolo_folder / f"train/images/kind{suffix}")
        found = [info.file_name for info in read_yolo_dataset(yolo_folder).images]
        assert f"train/images/kind{suffix}" in found
        (yolo_folder / f"train/images/kind{suffix}").unlink()


def yolo_set(root: Path, files: dict[str, str]) -> Path:
    """A folder of these files; a photo 100 x 50 for each name that ends in .jpg or .png."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".jpg", ".png"):
            Image.new("RGB", (100, 50)).save(path)
        else:
            path.write_text(text)
    return root


LABEL = "1 0.5 0.5 0.2 0.4\n"
DATA = "train: images\nnames: [car, bus]\n"


@pytest.mark.parametrize(
    "files",
    [
        {
            "data.yaml": "train: images\\train\nnames: [car, bus]\n",
            "images/train/a.jpg": "", "labels/train/a.txt": LABEL,
        },
        {
            "data.yaml": "train: list.txt\nnames: {'0': car, '1': bus}\n", "list.txt": "images\\a.jpg\n",
            "images/a.jpg": "", "labels/a.txt": LABEL,
        },
        {
            "data.yaml": "train: list.txt\nnames: [car, bus]\n", "list.txt": "C:\\old\\images\\a.jpg\n",
            "images/a.jpg": "", "labels/a.txt": LABEL,
        },
        {"_darknet.labels": "car\nbus\n", "a.jpg": "", "a.txt": LABEL},
        {"classes.txt": "car\nbus\n", "notes.json": "{}", "images/a.jpg": "", "labels/a.txt": LABEL},
        {
            "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n", "obj.names": "car\nbus\n",
            "train.txt": "data/obj_train_data/a.jpg\n", "obj_train_data/a.jpg": "", "obj_train_data/a.txt": LABEL,
        },
        {"data.yaml": DATA, "images/a.jpg": "", "images/a.txt": LABEL},
        {"data.yaml": DATA, "images/a.jpg": "", "labels/a.txt": LABEL, "images/._a.jpg": "", "labels/._a.txt": "x"},
    ],
)  # fmt: skip
def test_layouts_of_other_exports_hold_the_same_box(tmp_path: Path, files: dict[str, str]) -> None:
    data = read_yolo_dataset(yolo_set(tmp_path, files))
    assert data.boxes_xywh.tolist() == [[40, 15, 20, 20]]
    assert (data.vocabulary.names, data.labels.tolist()) == (("car", "bus"), [1])
    assert data.notes == ()
    assert (tmp_path / str(data.images[0].file_name)).is_file()


def test_images_without_a_label_file_and_labels_without_an_image_are_counted(tmp_path: Path) -> None:
    files = {"data.yaml": DATA, "images/a.jpg": "", "images/b.jpg": "", "labels/a.txt": LABEL, "labels/c.txt": LABEL}
    assert read_yolo_dataset(yolo_set(tmp_path, files)).notes == (
        "1 of 2 images have no label file and count as empty (b.jpg)",
        "1 label file without an image that can be read (c.txt)",
    )


def test_without_any_label_file_the_places_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_yolo_dataset(yolo_set(tmp_path, {"data.yaml": DATA, "images/a.jpg": "", "annotations/a.txt": LABEL}))
    for place in (tmp_path / "labels/a.txt", tmp_path / "images/a.txt"):
        assert str(place) in str(caught.value)


def test_two_images_of_one_label_file_are_refused(tmp_path: Path) -> None:
    files = {"data.yaml": DATA, "images/a.jpg": "", "images/a.png": "", "labels/a.txt": LABEL}
    with pytest.raises(DataError, match=r"labels/a.txt: is the label file of .*a.jpg, .*a.png"):
        read_yolo_dataset(yolo_set(tmp_path, files))


@pytest.mark.parametrize(
    "label", ["0 50 20 10 8", "0 0.5 0.5 1.2 0.1", "0 -0.2 0.5 0.1 0.1", "0 0.1 0.1 9 0.1 0.2 0.3"]
)
def test_labels_in_pixels_are_refused_by_file_and_line(tmp_path: Path, label: str) -> None:
    root = yolo_set(tmp_path, {"data.yaml": DATA, "images/a.jpg": "", "labels/a.txt": f"{LABEL}{label}\n"})
    with pytest.raises(DataError, match=r"labels/a.txt, line 2: .* leaves 0..1") as caught:
        read_yolo_dataset(root)
    assert label in str(caught.value)


def test_boxes_a_little_over_the_edge_are_cut_there(tmp_path: Path) -> None:
    label = "0 0.5 0.5 0.4 1.004\n0 0.1 0.5 0.4 0.2\n0 0.5 0.5 -0.1 0.2\n"
    data = read_yolo_dataset(yolo_set(tmp_path, {"data.yaml": DATA, "images/a.jpg": "", "labels/a.txt": label}))
    assert data.boxes_xywh[0].tolist() == pytest.approx([30, 0, 40, 50])
    assert data.boxes_xywh[1].tolist() == pytest.approx([0, 20, 30, 10])
    assert data.has_area.tolist() == [True, True, False]
    assert data.notes == ("2 of 3 boxes reached beyond their image: cut at its edge",)


def test_yaml_words_for_values_are_names_of_classes(tmp_path: Path) -> None:
    files = {"data.yaml": "train: images\nnames: [no, off]\n", "images/a.jpg": "", "labels/a.txt": LABEL}
    assert read_yolo_dataset(yolo_set(tmp_path, files)).vocabulary.names == ("no", "off")


@pytest.mark.parametrize(
    ("convert", "said"),
    [
        (lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2), "look like corners"),
        (lambda x, y, w, h: (x - w / 2, y - h / 2, w, h), "look like x, y of the upper left corner"),
    ],
)
def test_relative_labels_of_another_form_are_refused(
    tmp_path: Path, convert: Callable[..., tuple[float, ...]], said: str
) -> None:
    boxes = [
        (0.2, 0.2, 0.4, 0.4),
        (0.5, 0.5, 0.9, 0.9),
        (0.8, 0.7, 0.3, 0.4),
        (0.1, 0.9, 0.2, 0.2),
        (0.6, 0.3, 0.4, 0.2),
    ]

    def written(rows: list[tuple[float, ...]]) -> Path:
        label = "".join(f"0 {' '.join(map(str, row))}\n" for row in rows)
        return yolo_set(tmp_path, {"data.yaml": DATA, "images/a.jpg": "", "labels/a.txt": label})

    assert read_yolo_dataset(written(boxes)).notes == ()
    with pytest.raises(DataError, match=said):
        read_yolo_dataset(written([convert(*box) for box in boxes]))
