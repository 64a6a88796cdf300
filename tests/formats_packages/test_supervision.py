"""What supervision's sinks write, and its detections in memory, are read digit for digit."""

from __future__ import annotations

import numpy as np
import pytest
import supervision

from risf_core.detections import Detections
from risf_core.formats.from_supervision import from_supervision, to_supervision
from risf_core.formats.matching import match
from risf_core.formats.registry import read_rows
from risf_core.formats.source import Source
from risf_core.photos import ImageInfo
from risf_core.vocabulary import ClassVocabulary

PETS = ClassVocabulary(("cat", "dog", "horse"), (17, 18, 3))
IMAGES = {5: ImageInfo(5, "a/0007.jpg", 480, 640)}
CORNERS = np.array([[10.125, 20.25, 30.5, 50.75], [0.1, 5.3, 8.7, 25.9]], dtype=np.float32)
SCORES = np.array([0.5, 0.123456789], dtype=np.float32)


def detections(**fields):
    defaults = {"class_id": np.array([2, 0]), "data": {"class_name": np.array(["horse", "cat"])}}
    return supervision.Detections(xyxy=CORNERS, confidence=SCORES, **(defaults | fields))


def assert_same(found: Detections) -> None:
    assert found.labels.tolist() == [2, 0]
    assert set(found.image_ids.tolist()) == {5}
    np.testing.assert_array_equal(found.boxes.astype(np.float32), CORNERS)  # CSV has the digits of float32
    np.testing.assert_array_equal(found.scores.astype(np.float32), SCORES)


@pytest.mark.parametrize(("sink", "name"), [("JSONSink", "supervision-json"), ("CSVSink", "supervision-csv")])
@pytest.mark.parametrize("fields", [{}, {"tracker_id": np.array([4, 5])}, {"data": {}}])
def test_sinks(tmp_path, sink, name, fields):
    path = tmp_path / f"d.{name.rpartition('-')[2]}"
    with getattr(supervision, sink)(str(path)) as open_sink:
        open_sink.append(detections(**fields), custom_data={"file_name": "0007.jpg"})
    form, rows = read_rows(Source(path))
    assert form.name == name
    assert_same(match(rows, IMAGES, PETS).detections)


def test_a_sink_without_confidence_is_refused(tmp_path):
    from risf_core.errors import DataError

    with supervision.JSONSink(str(tmp_path / "d.json")) as sink:
        sink.append(supervision.Detections(xyxy=CORNERS, class_id=np.array([2, 0])), {"file_name": "0007.jpg"})
    with pytest.raises(DataError, match="row 0: has no confidence"):
        read_rows(Source(tmp_path / "d.json"))


def test_in_memory_there_and_back():
    found = from_supervision({5: detections()}, PETS)
    assert_same(found)
    back = to_supervision(found, PETS)[5]
    np.testing.assert_allclose(back.xyxy, CORNERS, rtol=0, atol=1e-6)
    assert back.data["class_name"].tolist() == ["horse", "cat"]
    assert_same(from_supervision({5: back}, PETS))
