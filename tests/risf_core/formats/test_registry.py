"""The same detections in every form: recognised, matched to the same rows, and written so that they come back."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from risf_core.detections import Detections
from risf_core.errors import ConfigError, DataError, OutputError
from risf_core.formats.form import Output
from risf_core.formats.registry import FORMS, form_named, read_rows, recognise
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
IMAGES = {40: ImageInfo(40, "val/0012.jpg", 100, 200), 10: ImageInfo(10, "val/0007.jpg", 50, 80)}
# image 40 is 200 x 100: a cat at corners 20 10 60 50; image 10 is 80 x 50: a dog at 8 5 40 30 and a horse at 0 10 16 20
EXPECTED = {(10, 1, 0.25, (8, 5, 32, 25)), (10, 2, 0.75, (0, 10, 16, 10)), (40, 0, 0.5, (20, 10, 40, 40))}
COCO = [
    {"image_id": 40, "category_id": 17, "bbox": [20, 10, 40, 40], "score": 0.5},
    {"image_id": 10, "category_id": 18, "bbox": [8, 5, 32, 25], "score": 0.25},
    {"image_id": 10, "category_id": 3, "bbox": [0, 10, 16, 10], "score": 0.75},
]
CATEGORIES = [{"id": 17, "name": "cat"}, {"id": 18, "name": "dog"}, {"id": 3, "name": "horse"}]
POSITIONS = {17: 0, 18: 1, 3: 2}
NAMES = {17: "cat", 18: "dog", 3: "horse"}
STEMS = {40: "0012", 10: "0007"}


def corners(row) -> list[float]:
    x, y, width, height = row["bbox"]
    return [x, y, x + width, y + height]


def of_photo(image_id: int) -> list[dict]:
    return [row for row in COCO if row["image_id"] == image_id]


def arrays(image_id: int, kind, boxes="boxes", labels=POSITIONS) -> dict:
    rows = of_photo(image_id)
    return {
        boxes: kind([[float(number) for number in corners(row)] for row in rows]),
        "scores": kind([row["score"] for row in rows]),
        "labels": kind([labels[row["category_id"]] for row in rows]),
    }


def by_class_of_mmdet2(image_id: int) -> list[np.ndarray]:
    return [
        np.array(
            [[*corners(row), row["score"]] for row in of_photo(image_id) if POSITIONS[row["category_id"]] == label],
            dtype=np.float32,
        ).reshape(-1, 5)
        for label in range(3)
    ]


def texts_by_photo(folder: str, line) -> str:
    Path(folder, "val").mkdir(parents=True)
    for image_id, stem in STEMS.items():
        Path(folder, "val", f"{stem}.txt").write_text("".join(line(row) + "\n" for row in of_photo(image_id)))
    return folder


def pickled(name: str, content: object) -> str:
    Path(name).write_bytes(pickle.dumps(content))
    return name


def torched(name: str, content: object) -> str:
    torch.save(content, name)
    return name


def relative(row) -> list[float]:
    height, width = IMAGES[row["image_id"]].size
    return [number / side for number, side in zip(row["bbox"], (width, height) * 2, strict=True)]


def yolo_line(row) -> str:
    x, y, width, height = relative(row)
    return f"{POSITIONS[row['category_id']]} {x + width / 2:g} {y + height / 2:g} {width:g} {height:g} {row['score']:g}"


def voc_folder() -> str:
    Path("voc").mkdir()
    for category_id, name in NAMES.items():
        lines = [
            " ".join(map(str, [STEMS[row["image_id"]], row["score"], x0 + 1, y0 + 1, x1, y1])) + "\n"
            for row in COCO
            if row["category_id"] == category_id
            for x0, y0, x1, y1 in [corners(row)]
        ]
        Path("voc", f"comp4_det_test_{name}.txt").write_text("".join(lines))
    return "voc"


def openimages_lines() -> list[str]:
    lines = ["ImageID,LabelName,Conf,XMin,XMax,YMin,YMax"]
    for row in COCO:
        x, y, width, height = relative(row)
        values = [STEMS[row["image_id"]], NAMES[row["category_id"]], row["score"], x, x + width, y, y + height]
        lines.append(",".join(map(str, values)))
    return lines


def supervision_rows() -> list[dict]:
    return [
        {
            **dict(zip(("x_min", "y_min", "x_max", "y_max"), map(float, corners(row)), strict=True)),
            "class_id": POSITIONS[row["category_id"]],
            "confidence": row["score"],
            "tracker_id": "",
            "class_name": NAMES[row["category_id"]],
            "file_name": f"{STEMS[row['image_id']]}.jpg",
        }
        for row in COCO
    ]


def supervision_csv() -> str:
    rows = supervision_rows()
    return "\r\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]) + "\r\n"


def boxed(row, keys, score, name) -> dict:
    return {
        name: NAMES[row["category_id"]],
        score: row["score"],
        "box": dict(zip(keys, corners(row), strict=True)),
    }


def tasks() -> list[dict]:
    found = []
    for image_id, stem in STEMS.items():
        result = [
            {
                "type": "rectanglelabels",
                "score": row["score"],
                "value": {
                    **dict(zip(("x", "y", "width", "height"), (100 * n for n in relative(row)), strict=True)),
                    "rectanglelabels": [NAMES[row["category_id"]]],
                },
            }
            for row in of_photo(image_id)
        ]
        found.append({"data": {"image": f"/data/upload/3/{stem}.jpg"}, "predictions": [{"result": result}]})
    return found


def mmdet_entry(image_id: int) -> dict:
    path = f"/data/val/{STEMS[image_id]}.jpg"
    return {
        "img_id": image_id,
        "img_path": path,
        "ori_shape": IMAGES[image_id].size,
        "pred_instances": arrays(image_id, torch.tensor, "bboxes"),
    }


def preds_folder(put) -> str:
    for image_id, stem in STEMS.items():
        put(f"out/preds/{stem}.json", arrays(image_id, list, "bboxes"))
    return "out"


XYXY = ("x1", "y1", "x2", "y2")
MIN_MAX = ("xmin", "ymin", "xmax", "ymax")
KITTI = "{name} -1 -1 -10 {box} -1 -1 -1 -1000 -1000 -1000 -10 {score}"

FILES = {
    "coco": lambda put: put("d.json", COCO),
    "coco-dataset": lambda put: put("d.json", {"categories": CATEGORIES, "annotations": COCO}),
    "coco-nested": lambda put: put("d.json", [{"image_id": i, "instances": of_photo(i)} for i in IMAGES]),
    "ultralytics-json": lambda put: put(
        "predictions.json", [{**row, "file_name": f"{STEMS[row['image_id']]}.jpg", "image_id": 7} for row in COCO]
    ),
    "ultralytics-txt": lambda put: texts_by_photo("labels", yolo_line),
    "ultralytics-summary": lambda put: put(
        "s.json", {f"{STEMS[i]}.jpg": [boxed(row, XYXY, "confidence", "name") for row in of_photo(i)] for i in IMAGES}
    ),
    "supervision-json": lambda put: put("d.json", supervision_rows()),
    "supervision-csv": lambda put: put("d.csv", supervision_csv()),
    "transformers-pipeline": lambda put: put(
        "d.json", [[boxed(row, MIN_MAX, "score", "label") for row in of_photo(i)] for i in IMAGES]
    ),
    "transformers-results": lambda put: put("d.json", {STEMS[i]: arrays(i, list, labels=NAMES) for i in IMAGES}),
    "mmdet": lambda put: pickled("results.pkl", [mmdet_entry(i) for i in IMAGES]),
    "mmdet2": lambda put: pickled("results.pkl", [by_class_of_mmdet2(i) for i in IMAGES]),
    "mmdet-folder": preds_folder,
    "detectron2": lambda put: torched(
        "instances_predictions.pth",
        [
            {
                "image_id": i,
                "instances": [{**row, "category_id": POSITIONS[row["category_id"]]} for row in of_photo(i)],
            }
            for i in IMAGES
        ],
    ),
    "torchvision": lambda put: torched(
        "d.pt", {i: arrays(i, torch.tensor, labels={n: n for n in NAMES}) for i in IMAGES}
    ),
    "voc-txt": lambda put: voc_folder(),
    "cartucho": lambda put: texts_by_photo(
        "d", lambda row: " ".join(map(str, [NAMES[row["category_id"]], row["score"], *corners(row)]))
    ),
    "openimages": lambda put: put("d.csv", "\n".join(openimages_lines()) + "\n"),
    "kitti": lambda put: texts_by_photo(
        "d",
        lambda row: KITTI.format(
            name=NAMES[row["category_id"]], box=" ".join(map(str, corners(row))), score=row["score"]
        ),
    ),
    "label-studio": lambda put: put("d.json", tasks()),
    "cvat": lambda put: put("annotations.xml", cvat_document()),
}


def cvat_document() -> str:
    """As CVAT exports it: a meta block first, scores as an attribute."""
    images = []
    for number, image_id in enumerate(IMAGES):
        boxes = "".join(
            '<box label="{}" source="manual" occluded="0" xtl="{}" ytl="{}" xbr="{}" ybr="{}" z_order="0">'
            '<attribute name="score">{}</attribute></box>'.format(
                NAMES[row["category_id"]], *corners(row), row["score"]
            )
            for row in of_photo(image_id)
        )
        images.append(f'<image id="{number}" name="{IMAGES[image_id].file_name}" width="9" height="9">{boxes}</image>')
    meta = "<meta><job><id>1</id><size>2</size></job></meta>"
    return f"<?xml version='1.0'?><annotations><version>1.1</version>{meta}{''.join(images)}</annotations>"


def rows_of(detections: Detections) -> set:
    return {
        (image_id, label, score, tuple(round(number, 9) for number in box))
        for image_id, label, score, box in zip(
            detections.image_ids.tolist(), detections.labels.tolist(), detections.scores.tolist(),
            detections.boxes_xywh.tolist(), strict=True,
        )
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_each_form_is_recognised_and_says_the_same_detections(name, put, matched):
    found, result = matched(FILES[name](put))
    assert found == name
    assert rows_of(result.detections) == EXPECTED
    assert result.dropped == 0
    assert result.outcome.startswith("3 detections of 2 photos (by ")


def test_every_form_that_is_read_is_tested_here():
    assert {form.name for form in FORMS if form.read} - set(FILES) == {"lvis", "eval-pth", "ultralytics-txt-conf"}


@pytest.mark.parametrize("name", [form.name for form in FORMS if form.write])
def test_what_is_written_comes_back(name, matched):
    detections = Detections.from_rows(
        [40, 10, 40], [[1.5, 2, 30, 40.125], [3, 4.25, 10, 11], [50, 60.5, 70, 20]], [0.5, 0.25, 0.12345], [0, 1, 2]
    )
    ending = {"supervision-csv": ".csv", "openimages": ".csv", "torchvision": ".pt"}.get(name, ".json")
    target = Path("out" if "txt" in name else f"out{ending}")
    form_named(name).write(target, Output(detections, PETS, IMAGES))
    found, result = matched(target)
    assert found == ("coco" if name == "lvis" else name)
    assert rows_of(result.detections) == rows_of(detections)


@pytest.mark.parametrize("name", ["ultralytics-txt", "voc-txt"])
def test_a_folder_is_never_written_into_one_that_holds_files(name, put):
    put("out/mine.txt", "mine")
    with pytest.raises(OutputError) as caught:
        form_named(name).write("out", Output(Detections.empty(), PETS, IMAGES))
    assert str(caught.value) == "out: must be a new or an empty folder (mine.txt); choose another name"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"d/readme.md": "x"}, ("d: is not recognised as detections", "`format`", "ultralytics-txt")),
        ({"d.csv": "a,b\n1,2\n"}, ("d.csv: is not recognised as detections", "supervision-csv")),
        ({"d.json": '[{"image_id": 1,'}, ("d.json: the JSON ends too early",)),
        ({"d.json": ""}, ("d.json: is empty",)),
    ],
)  # fmt: skip
def test_what_no_form_claims_is_refused(files, words, put):
    for name, content in files.items():
        put(name, content)
    with pytest.raises(DataError) as caught:
        read_rows(Source(next(iter(files)).split("/")[0]))
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_an_empty_folder_and_a_missing_file_are_refused(folder):
    Path("d").mkdir()
    with pytest.raises(DataError, match=r"d: the folder is empty, so there are no detections to read"):
        recognise(Source("d"))
    with pytest.raises(DataError, match=r"x\.json: there is no such detections file"):
        recognise(Source("x.json"))


def test_an_unknown_name_of_a_form_offers_the_nearest():
    with pytest.raises(ConfigError, match=r"`format` 'ultralytics_txt' is unknown \(did you mean 'ultralytics-txt'"):
        form_named("ultralytics_txt")
