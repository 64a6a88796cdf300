"""Files of a known form that are broken, or are not detections: one line that names file, row or line, and value."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from risf_core.errors import DataError
from risf_core.formats.conventions import Conventions
from risf_core.formats.matching import match
from risf_core.formats.registry import form_named, read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

ROW = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}
BOX = {"xmin": 1, "ymin": 2, "xmax": 3, "ymax": 4}
SINK = {"x_min": 1, "y_min": 2, "x_max": 3, "y_max": 4, "class_id": 0, "confidence": 0.5, "file_name": "a.jpg"}
TASK = {
    "data": {"image": "a.jpg"},
    "predictions": [{"result": [{"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 2, "height": 2}}]}],
}
OI = "ImageID,LabelName,Conf,XMin,XMax,YMin,YMax"
CVAT = (
    "<annotations><image id='0' name='a.jpg'><box label='cat' xtl='1' ytl='2' xbr='3' ybr='4'>"
    "<attribute name='score'>.5</attribute></box></image></annotations>"
)
YOLO = "0 .5 .5 .2 .2 0.5\n"

FAULTS = {
    "a word in a txt file": ("ultralytics-txt", {"d/a.txt": YOLO + "0 .5 x .2 .2 0.5\n"},
        'd/a.txt: line 2: "x" is not a number; each line is `class x_center y_center width height confidence`, '
        "relative to the photo"),
    "a short line": ("ultralytics-txt", {"d/a.txt": YOLO, "d/b.txt": "\n" + YOLO + "0 .5 .5 .2\n"},
        "d/b.txt: line 3: 4 columns, where line 1 has 6"),
    "files of two runs": ("ultralytics-txt", {"d/a.txt": YOLO, "d/b.txt": YOLO, "d/c.txt": "0 .5 .5 .2 .2\n"},
        "d/c.txt: line 1: 5 columns, where most files have 6; the files are of different runs"),
    "labels": ("ultralytics-txt", {"d/a.txt": "0 .5 .5 .2 .2\n"},
        "d: the files have 5 columns and no confidence, as labels have; write them again with save_txt=True "
        "save_conf=True"),
    "track ids": ("ultralytics-txt", {"d/a.txt": "0 .5 .5 .2 .2 1\n0 .5 .5 .2 .2 2\n"},
        "d: the sixth column holds whole numbers, so it is a track id and there is no confidence; write the files "
        "again with save_conf=True"),
    "ones": ("ultralytics-txt", {"d/a.txt": "0 .5 .5 .2 .2 1\n"},
        "d: the sixth column holds only 1, which may be a confidence or a track id; pass "
        "`format=ultralytics-txt-conf` if it is the confidence, else write the files again with both"),
    "a CVAT box without score": ("cvat", {"d.xml": CVAT.replace("<attribute name='score'>.5</attribute>", "")},
        "d.xml: image 'a.jpg', box 0: has no attribute score, so there is nothing to re-score"),
    "a CVAT box without a corner": ("cvat", {"d.xml": CVAT.replace("ybr='4'", "")},
        'd.xml: image \'a.jpg\', box 0 is {"label": "cat", "xtl": "1", "ytl": "2", "xbr": "3"}; it needs label, xtl'),
    "polygons": ("ultralytics-txt", {"d/a.txt": "0 .1 .1 .2 .2 .3 .3 .5\n"}, "d: the files have 8 columns"),
    "pixels in txt": ("ultralytics-txt", {"d/a.txt": "0 50 50 20 20 0.5\n"},
        "d/a.txt: line 1: box [50.0, 50.0, 20.0, 20.0] is not relative to the photo (0..1)"),
    "a class of half": ("ultralytics-txt", {"d/a.txt": "0.5 .5 .5 .2 .2 0.5\n"},
        "d/a.txt: line 1: class 0.5 is not a whole number from 0"),
    "a score above 1": ("ultralytics-txt", {"d/a.txt": YOLO + "0 .5 .5 .2 .2 1.5\n"},
        "d/a.txt: line 2: score 1.5 is outside 0..1 (1 such row); scores must be probabilities"),
    "a single txt": ("ultralytics-txt", {"d.txt": YOLO}, "d.txt: is one txt file, but the form is a folder"),
    "no txt": ("ultralytics-txt", {"d/a.md": "x"},
        "d: the folder holds no .txt file, so there are no detections to read"),
    "a COCO row without score": ("coco", {"d.json": [ROW, {**ROW, "score": "x"}]},
        'd.json: row 1: score is "x", not a number in 0..1'),
    "an entry that is not nested": ("coco-nested", {"d.json": [{"image_id": 1}]}, "d.json: entry 0 is not"),
    "an image twice": ("coco-nested", {"d.json": [{"image_id": 1, "instances": []}] * 2},
        "d.json: photo 1 has two entries (0 and 1); keep one"),
    "ids that differ": ("coco-nested", {"d.json": [{"image_id": 2, "instances": [ROW]}]},
        "d.json: entry 0: image_id 1 in it differs from its own 2"),
    "no confidence": ("supervision-json", {"d.json": [{**SINK, "confidence": ""}]},
        "d.json: row 0: has no confidence, so there is no score to re-score"),
    "no photo": ("supervision-json", {"d.json": [{**SINK, "file_name": "", "zone": 1}]},
        "d.json: no column names the photo of each row (columns: file_name, zone)"),
    "corners swapped": ("supervision-json", {"d.json": [SINK, {**SINK, "x_max": 0}]},
        "d.json: row 1: box [1.0, 2.0, 0.0, 4.0] ends before it begins (1 such row)"),
    "a short line of CSV": ("supervision-csv", {"d.csv": ",".join(SINK) + "\n1,2,3,4,0,0.5,a.jpg\n1,2\n"},
        "d.csv: line 3: has not as many columns as the header"),
    "no box": ("transformers-pipeline", {"d.json": [[{"score": 0.5, "label": "cat"}]]},
        'd.json: photo 0, row 0 is {"score": 0.5, "label": "cat"}; each row needs a box with xmin, ymin, xmax, ymax'),
    "a label that is a number": ("transformers-pipeline", {"d.json": [{"score": 0.5, "label": 1, "box": BOX}]},
        "d.json: photo 0, row 0: label is 1, not the name of a class"),
    "arrays that do not fit": ("transformers-results",
        {"d.json": [{"scores": [0.5], "labels": [1, 2], "boxes": [[1, 2, 3, 4]]}]},
        "d.json: entry 0: boxes (1, 4), scores (1,) and labels (2,) do not fit each other"),
    "no bboxes": ("mmdet-folder", {"preds/a.json": {"labels": [], "scores": []}}, "preds: entry 0 has no 'bboxes'"),
    "a VOC line": ("voc-txt", {"d/comp4_det_test_cat.txt": "1 0.5 1 2 3\n"},
        'd/comp4_det_test_cat.txt: line 1: "1 0.5 1 2 3" is not of the form `image_id score xmin ymin xmax ymax`'),
    "a KITTI line": ("kitti", {"d/a.txt": "Car 0 0 0 1 2 3 4\n"},
        'd/a.txt: line 1: "Car 0 0 0 1 2 3 4" is not of the form'),
    "a CSV without XMin": ("openimages", {"d.csv": "ImageID,LabelName,Conf\n"},
        "d.csv: line 1: the header has no XMin; it must name"),
    "pixels in OpenImages": ("openimages", {"d.csv": f"{OI}\na,cat,.5,1,20,3,40\n"},
        "d.csv: line 2: box [1.0, 3.0, 20.0, 40.0] is not relative to the photo (0..1)"),
    "a region without a label": ("label-studio", {"d.json": [TASK]},
        'd.json: task 0, region 0 is {"x": 1, "y": 1, "width": 2, "height": 2}; it needs'),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_broken_file_is_refused_in_one_line(case, put):
    form, files, message = FAULTS[case]
    for name, content in files.items():
        put(name, content)
    first = next(iter(files)).split("/")[0]
    with pytest.raises(DataError) as caught:
        read_rows(Source(first), form_named(form))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_eval_pth_is_refused_by_name():
    torch.save({"params": 1, "counts": [1], "precision": torch.zeros(2), "recall": torch.zeros(2)}, "eval.pth")
    with pytest.raises(DataError, match=r"eval\.pth: holds COCOeval's accumulated precision and recall"):
        read_rows(Source("eval.pth"))
    np_content = {"precision": np.zeros(2), "recall": np.zeros(2)}
    torch.save(np_content, "latest.pth")
    with pytest.raises(DataError, match=r"latest\.pth: "):
        read_rows(Source("latest.pth"))


class Opens:
    def __reduce__(self):
        return open, ("harm", "w")


@pytest.mark.parametrize("save", [lambda content, path: path.write_bytes(pickle.dumps(content)), torch.save])
def test_a_pickle_is_never_run(save):
    path = Path("pred_instances.pkl")
    save([{"pred_instances": Opens()}], path)
    for form in ("mmdet", "mmdet2", "torchvision", "detectron2", "eval-pth"):
        with pytest.raises(DataError, match="nothing but arrays, tensors and plain lists"):
            read_rows(Source(path), form_named(form))
    assert not Path("harm").exists()


def test_a_cut_pickle_is_said_to_be_damaged():
    Path("d.pkl").write_bytes(pickle.dumps([{"pred_instances": {}}])[:-5])
    with pytest.raises(DataError, match=r"d\.pkl: is damaged"):
        read_rows(Source("d.pkl"))


def test_a_second_run_that_appended_is_noted(put):
    put("d/a.txt", YOLO * 2)
    assert read_rows(Source("d"))[1].notes[-1] == (
        "every row stands twice in 1 file, as a second run that appended would leave them"
    )


def test_a_sixth_column_of_ones_is_the_confidence_where_that_is_said(put):
    put("d/a.txt", "0 .5 .5 .2 .2 1\n")
    assert read_rows(Source("d"), form_named("ultralytics-txt-conf"))[1].scores.tolist() == [1]


def test_as_many_classes_as_the_annotations_have_are_asked_for_where_none_is_named():
    box = np.array([[1.0, 2.0, 3.0, 4.0, 0.5]])
    Path("d.pkl").write_bytes(pickle.dumps([[np.zeros((0, 5)), box]]))
    rows = read_rows(Source("d.pkl"), form_named("mmdet2"))[1]
    images = {7: ImageInfo(7, "a.jpg", 10, 10)}
    assert match(rows, images, ClassVocabulary.from_names(["cat", "dog"])).detections.labels.tolist() == [1]
    three = ClassVocabulary.from_names(["cat", "dog", "cow"])
    with pytest.raises(DataError, match=r"d\.pkl: has 2 classes without names, but the annotations have 3"):
        match(rows, images, three)
    stated = Conventions(category_ids="positions")
    assert match(rows, images, three, conventions=stated).detections.labels.tolist() == [1]
