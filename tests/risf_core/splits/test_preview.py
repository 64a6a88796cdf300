"""The contact sheet shows the drawn boxes, where and how they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.datasets.coco import read_coco_dataset
from risf_core.errors import DataError, ImageError
from risf_core.photos import ImageInfo
from risf_core.splits import SplitSettings, prepare_splits
from risf_core.splits.preview import BOX_COLOURS, GAP, HEADER, NAME_WIDTH, TILE, Preview, write_contact_sheet
from risf_core.splits.split import SeedShots
from risf_core.vocabulary import ClassVocabulary


@pytest.fixture
def shots(tmp_path: Path) -> SeedShots:
    """A green box of a novel and a blue box of a base class on a grey photo that lies on its side."""
    photo = Image.new("RGB", (80, 60), (128, 128, 128))
    photo.paste((0, 255, 0), (10, 10, 30, 30))
    photo.paste((0, 0, 255), (50, 20, 70, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.rotate(90, expand=True).save(tmp_path / "photo.png", exif=exif)  # stored turned, shown upright
    table = AnnotatedDataset.from_columns(
        ClassVocabulary(("base", "new"), (1, 2), frozenset({"new"})),
        [ImageInfo(1, "photo.png", 60, 80)],
        np.array([0, 0]),
        np.array([1, 0]),
        np.array([[10.0, 10, 20, 20], [50, 20, 20, 30]]),
    )
    return SeedShots("own", "own", 4, table, {1: (np.array([1]), np.array([0]))})


def tile(sheet: Image.Image, line: int) -> np.ndarray:
    top = HEADER + GAP + line * (TILE + 2 * GAP)
    return np.asarray(sheet.crop((NAME_WIDTH, top, NAME_WIDTH + TILE, top + TILE))).astype(int)


def test_novel_classes_stand_first_and_each_box_is_outlined_in_its_surroundings(
    shots: SeedShots, tmp_path: Path
) -> None:
    path = write_contact_sheet(tmp_path, shots, Preview(1, (tmp_path,)))
    assert path == tmp_path / "preview-1-shots-seed-4.png"
    with Image.open(path) as opened:
        sheet = opened.convert("RGB")
    for line, colour in ((0, (0, 255, 0)), (1, (0, 0, 255))):
        shown = tile(sheet, line)
        assert np.abs(shown[TILE // 2, TILE // 2] - colour).max() < 3
        # the photo's grey stands around the box, the outline between
        assert np.abs(shown[TILE // 2, 6] - 128).max() < 3
        outline = np.array(BOX_COLOURS[line == 0])
        assert (np.abs(shown - outline).max(axis=2) == 0).sum() > 100


def test_a_split_without_that_count_and_a_missing_photo_are_named(shots: SeedShots, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        write_contact_sheet(tmp_path, shots, Preview(5, (tmp_path,)))
    assert str(caught.value) == "the split holds 1 shots; got 5"
    (tmp_path / "photo.png").rename(tmp_path / "other.jpg")
    with pytest.raises(ImageError) as caught:
        write_contact_sheet(tmp_path, shots, Preview(1, (tmp_path,)))
    assert str(caught.value).startswith("1 of 1 images have no photo in ")
    assert [path.name for path in tmp_path.iterdir()] == ["other.jpg"]


def test_real_photos_make_a_sheet(real_data: Path, tmp_path: Path) -> None:
    data = read_coco_dataset(real_data / "instances.json")
    settings = SplitSettings(novel="person,car", only="person,cup", shots=(5,), seeds=(4,))
    drawn = prepare_splits(data, tmp_path / "s", settings=settings).seeds[4]
    shown: list[tuple[object, ...]] = []
    preview = Preview(5, (real_data / "photos",))
    path = write_contact_sheet(tmp_path / "s", drawn, preview, progress=lambda *figures: shown.append(figures))
    assert shown[-1] == ("drawing the contact sheet", "boxes", 10, 10)
    with Image.open(path) as sheet:
        assert sheet.height == HEADER + 2 * (TILE + 2 * GAP) + GAP
        assert len(sheet.convert("RGB").getcolors(10**7)) > 5000
