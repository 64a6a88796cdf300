"""The contact sheet of a split: every drawn box as a small picture, so that a person can look at the shots."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from risf_core.errors import ConfigError, counted
from risf_core.files import atomic_writer
from risf_core.images import decode_rgb
from risf_core.photos import Photo
from risf_core.progress import PhaseProgress
from risf_core.records import locate_images
from risf_core.splits.split import SeedShots

PREFIX = "preview"  # of a sheet's file name; it belongs to no manifest
TILE = 128  # pixels, the side of a small picture
GAP = 6
NAME_WIDTH = 170
HEADER = 56
MOST_A_ROW = 10
CONTEXT = 0.35  # of the box's longer side, shown around it on every side

BACKGROUND, INK, FAINT, LINE = (250, 250, 248), (34, 34, 34), (120, 120, 116), (226, 226, 222)
BOX_COLOURS = {True: (224, 76, 32), False: (28, 110, 196)}  # novel, base


@dataclass(frozen=True)
class Preview:
    """A contact sheet that is asked for."""

    shots: int  # which shot count it shows
    image_folders: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Row:
    """One class and its boxes."""

    name: str
    novel: bool
    rows: tuple[int, ...]

    @property
    def lines(self) -> int:
        return -(-len(self.rows) // MOST_A_ROW)

    @property
    def height(self) -> int:
        return self.lines * (TILE + GAP) + GAP


def write_contact_sheet(
    folder: Path, shots: SeedShots, preview: Preview, *, progress: PhaseProgress | None = None
) -> Path:
    """Write the boxes of a shot count of every class into the folder as one PNG, novel classes first.

    Each small picture is the box with some of its surroundings, turned as the photo's EXIF orientation says; the box is
    outlined. Raises ConfigError where no folder of photos is named, DataError where the split lacks the shot count,
    ImageError where an image is missing or broken.
    """
    count, vocabulary = preview.shots, shots.boxes.vocabulary
    photos = _find_photos(shots, preview)
    by_label = shots.rows_of(count)
    rows = [
        _Row(name, name in vocabulary.novel, tuple(by_label[label].tolist()))
        for label, name in enumerate(vocabulary.names)
        if len(by_label[label])
    ]
    rows.sort(key=lambda row: not row.novel)  # stable: the published order within each
    columns = min(MOST_A_ROW, max((len(row.rows) for row in rows), default=1))
    width = max(NAME_WIDTH + columns * (TILE + GAP) + 2 * GAP, 460)
    sheet = Image.new("RGB", (width, HEADER + sum(row.height for row in rows) + GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    _write_header(pen, shots, count=count, classes=len(rows), width=width)
    top, done, total = HEADER, 0, sum(len(row.rows) for row in rows)
    for line in rows:
        _write_name(pen, line, top=top, width=width)
        for place, row in enumerate(line.rows):
            photo = photos[int(shots.boxes.image_positions[row])]
            tile = _tile(photo, tuple(shots.boxes.boxes[row].tolist()), colour=BOX_COLOURS[line.novel])
            left = NAME_WIDTH + place % MOST_A_ROW * (TILE + GAP)
            sheet.paste(tile, (left, top + GAP + place // MOST_A_ROW * (TILE + GAP)))
            done += 1
            if progress is not None:
                progress("drawing the contact sheet", "boxes", done, total)
        top += line.height
    path = folder / f"{PREFIX}-{count}-shots-seed-{shots.seed}.png"
    with atomic_writer(path, "wb") as handle:
        sheet.save(handle, format="PNG", optimize=True)
    return path


def _find_photos(shots: SeedShots, preview: Preview) -> dict[int, Photo]:
    """The photo of each image that a contact sheet shows, by its position among the images."""
    if not preview.image_folders:
        raise ConfigError("`preview` needs the photos; name their folder with `images`")
    rows = (row for by_label in shots.rows_of(preview.shots) for row in by_label.tolist())
    used = sorted({int(shots.boxes.image_positions[row]) for row in rows})
    infos = [shots.boxes.images[position] for position in used]
    found = locate_images(infos, preview.image_folders, among=shots.boxes.images)
    return {p: Photo(path, info.size) for p, path, info in zip(used, found, infos, strict=True)}


def _write_header(pen: ImageDraw.ImageDraw, shots: SeedShots, *, count: int, classes: int, width: int) -> None:
    pen.text((GAP * 2, 10), f"{counted(count, 'shot')} of {classes} classes, seed {shots.seed}", INK, font=_font(20))
    pen.text((GAP * 2, 35), f"{shots.novel_set}", FAINT, font=_font(13))
    left = GAP * 2 + int(pen.textlength(shots.novel_set, font=_font(13))) + 18
    for novel, word in ((True, "novel"), (False, "base")):
        pen.rectangle((left, 38, left + 9, 47), outline=BOX_COLOURS[novel], width=2)
        pen.text((left + 14, 35), word, FAINT, font=_font(13))
        left += 14 + int(pen.textlength(word, font=_font(13))) + 14
    pen.line((0, HEADER - 1, width, HEADER - 1), LINE)


def _write_name(pen: ImageDraw.ImageDraw, line: _Row, *, top: int, width: int) -> None:
    name = line.name
    while pen.textlength(name, font=_font(15)) > NAME_WIDTH - 3 * GAP and len(name) > 1:
        name = name[:-2] + "…"
    pen.text((GAP * 2, top + GAP + 2), name, INK, font=_font(15))
    boxes = counted(len(line.rows), "box")
    pen.text((GAP * 2, top + GAP + 23), f"{'novel' if line.novel else 'base'}, {boxes}", FAINT, font=_font(12))
    pen.line((0, top + line.height - 1, width, top + line.height - 1), LINE)


def _tile(photo: Photo, box: tuple[float, ...], *, colour: tuple[int, int, int]) -> Image.Image:
    """The surroundings of the box as a square, the box outlined."""
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0) * (1 + 2 * CONTEXT)
    left, upper = (x0 + x1 - side) / 2, (y0 + y1 - side) / 2
    scale = TILE / side
    upright = Image.fromarray(decode_rgb(photo.path, photo.size))
    # outside the photo the tile keeps the sheet's colour
    seen = (max(left, 0), max(upper, 0), min(left + side, upright.width), min(upper + side, upright.height))
    tile = Image.new("RGB", (TILE, TILE), LINE)
    size = max(round((seen[2] - seen[0]) * scale), 1), max(round((seen[3] - seen[1]) * scale), 1)
    if seen[2] > seen[0] and seen[3] > seen[1]:
        part = upright.resize(size, Image.Resampling.BILINEAR, box=seen, reducing_gap=2.0)
        tile.paste(part, (round((seen[0] - left) * scale), round((seen[1] - upper) * scale)))
    outline = [round((x0 - left) * scale), round((y0 - upper) * scale), round((x1 - left) * scale) - 1, 0]
    outline[3] = max(round((y1 - upper) * scale) - 1, outline[1] + 1)
    outline[2] = max(outline[2], outline[0] + 1)
    pen = ImageDraw.Draw(tile)
    pen.rectangle((outline[0] - 1, outline[1] - 1, outline[2] + 1, outline[3] + 1), outline=(255, 255, 255), width=1)
    pen.rectangle(tuple(outline), outline=colour, width=2)
    return tile


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)  # Pillow's own typeface, at any size from 10.1 on
