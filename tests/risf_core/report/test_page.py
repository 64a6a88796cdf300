"""The page: what stands in it, that it loads nothing, and that names from files stay names."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from risf_core.detections import Detections
from risf_core.photos import ImageInfo
from risf_core.report.comparison import compare_files
from risf_core.report.gallery import build_gallery
from risf_core.report.page import render_page
from risf_core.report.page_charts import MOST_BARS, script_json
from risf_core.report.pictures import SIDE, draw_picture, region_of
from risf_core.report.verdicts import TRUE
from risf_core.vocabulary import ClassVocabulary

EVIL = "<script>alert('x')</script>&\"</style>"


class Read(HTMLParser):
    """The elements of a page with their attributes, and the text outside scripts and styles."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.words: list[str] = []
        self.scripts: dict[str | None, str] = {}
        self._inside: str | None = None

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._inside = tag if tag in ("script", "style") else self._inside

    def handle_endtag(self, tag):
        self._inside = None if tag == self._inside else self._inside

    def handle_data(self, data):
        if self._inside == "script":
            self.scripts[self.elements[-1][1].get("id")] = data
        elif self._inside is None:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict]:
        return [attributes for own, attributes in self.elements if own == tag]


def page(truth, before, after, *, images=(), record=None, pictures=3, threshold=0.5, resamples=20, **options) -> Read:
    names = ("folder/before.json", "after.json")
    comparison = compare_files(before, after, truth, names=names, threshold=threshold, resamples=resamples)
    gallery = build_gallery(comparison, images=images, most=pictures)
    read = Read()
    read.html = render_page(
        comparison, gallery, annotations="gt.json", record=record, own_settings={"seed": 0}, **options
    )
    read.feed(read.html)
    read.comparison = comparison
    return read


def photos_of(truth, folder: Path, *, but: tuple[int, ...] = ()) -> Path:
    generator = np.random.default_rng(0)
    folder.mkdir()
    for image_id, info in truth.images_by_id.items():
        if image_id not in but:
            pixels = generator.integers(0, 256, (info.height, info.width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / Path(info.file_name).name, quality=40)
    return folder


def test_a_gain_on_the_images_that_a_fusion_was_fitted_to_shows_nothing(made):
    truth, before, _ = made(images=30)
    right = compare_files(before, before, truth, names=("a", "b"), resamples=0).before.verdicts == TRUE
    better = before.with_scores(np.where(right, 0.9, 0.1))
    words = "AFTER is better on the images that it was fitted to, which does not show that it is better on others."
    shown, flattered = page(truth, before, better), page(truth, before, better, flattered=True)
    assert "AFTER is better, beyond chance." in shown.text
    assert words not in shown.text
    assert words in flattered.text
    assert "beyond chance" not in flattered.text
    for read, tone in ((shown, "verdict up"), (flattered, "verdict ")):
        assert [own["class"] for own in read.all("p") if own.get("class", "").startswith("verdict")] == [tone]


def test_the_page_holds_the_figures_and_loads_nothing(made):
    truth, before, after = made(novel=("class 1",))
    read = page(truth, before, after)
    flat = read.comparison.after.evaluated.metrics.flat()
    for name in ("AP", "nAP"):
        assert f"{100 * flat[name]:.2f}" in read.text
    assert "all classes" in read.text
    assert "novel classes" in read.text
    for tag, attributes in read.elements:
        for name in ("src", "href", "action", "data", "srcset"):
            value = attributes.get(name, "")
            assert value.startswith(("data:", "#")) or not value, (tag, value)
    policy = next(own["content"] for own in read.all("meta") if own.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in read.html
    assert not read.all("img")
    assert "There are no pictures because no folder of photos was given (--images)." in read.text


def test_every_chart_has_its_figure(made):
    truth, before, after = made()
    read = page(truth, before, after)
    charts = [own for own in read.all("div") if own.get("class") == "chart"]
    assert [own["id"] for own in charts] == [
        "classes", "curve-AP50", "curve-AP75", "curve-AP", "histogram-before", "histogram-after", "reliability-before",
        "reliability-after",
    ]  # fmt: skip
    for own in charts:
        figure = json.loads(read.scripts[own["data-figure"]])
        assert figure["data"]
        assert own["style"] == f"height: {figure['layout']['height']}px"
    curves = json.loads(read.scripts["curves"])
    assert [own["name"] for own in curves][:1] == ["all classes"]
    expected = read.comparison.before.precision_recall.mean_over(truth.vocabulary.labels())["AP75"]
    np.testing.assert_allclose(curves[0]["figures"]["AP75"]["before"], expected, atol=1e-4)


def test_names_from_files_are_text_wherever_they_stand(made, tmp_path):
    truth, before, after = made(novel=("class 1",))
    images = tuple(ImageInfo(i, f"{EVIL[:9]}{i}.jpg", 400, 400) for i in truth.images_by_id)
    names = (EVIL, "$a$ <b>bold</b> %{x}", "class 2")
    vocabulary = ClassVocabulary(names, truth.vocabulary.category_ids, frozenset([EVIL]))
    truth = type(truth)(**{**vars_of(truth), "vocabulary": vocabulary, "images": images})
    record = {"settings": {"alpha": 0.7, "templates": [EVIL]}, "versions": {EVIL: EVIL}, "prompts": {"names": [EVIL]}}
    read = page(truth, before, after, images=[photos_of(truth, tmp_path / "photos")], record=record, notes=[EVIL])
    assert "<script>alert" not in read.html
    assert not [own for own in read.all("script") if own.get("type") is None and "alert" in str(own)]
    assert len(read.all("b")) == 0
    assert read.text.count(EVIL) > 5  # as text it is there
    bars = json.loads(read.scripts["figure-classes"])
    assert "&lt;script&gt;alert('x')&lt;/s…" in bars["layout"]["yaxis"]["ticktext"]  # plotly reads a little HTML
    assert not any("<b" in text and "<br>" not in text for own in bars["data"] for text in own["hovertext"])


def vars_of(truth) -> dict:
    return {name: getattr(truth, name) for name in truth.__dataclass_fields__}


def test_json_in_scripts_cannot_end_them():
    text = json.dumps({"a": "</script><!-- & \u2028"}, ensure_ascii=False)
    escaped = script_json(text)
    assert not set("<>&\u2028") & set(escaped)
    assert json.loads(escaped) == json.loads(text)


def test_pictures_stand_in_the_page_and_missing_ones_are_named(made, tmp_path, caplog):
    truth, before, after = made(images=4)
    folder = photos_of(truth, tmp_path / "photos", but=(2,))
    (folder / "000001.jpg").write_bytes(b"no image")
    read = page(truth, before, after, images=[folder], pictures=20)
    assert read.all("img")
    assert all(own["src"].startswith("data:image/jpeg;base64,") for own in read.all("img"))
    assert {own["alt"].rsplit(" ", 1)[1] for own in read.all("img")} == {"000000.jpg", "000003.jpg"}
    assert "2 images without a picture: " in read.text
    assert "000002.jpg" in read.text
    assert f"no photo in {folder}" in read.text
    assert "not an image that can be decoded" in read.text
    assert "2 of the images shown have no picture" in caplog.text


def test_the_encoders_names_stand_with_a_detection_its_own_class_marked(made):
    truth, before, after = made(images=4)
    text = page(truth, before, after).text
    assert "AFTER has no clip_names" in text
    names = np.empty(len(after), dtype=object)
    names[:] = [[["a zebra", 0.75], [truth.vocabulary.names[1], 0.2]]] * len(after)
    named = after.with_extras(np.arange(len(after)), {"clip_names": names})
    read = page(truth, before, named)
    assert "AFTER has no clip_names" not in read.text
    items = read.all("li")
    shown = [own for own in items if own.get("class") == "own"]
    assert "a zebra 75 %" in read.text
    assert 0 < len(shown) < len(items)


@pytest.mark.parametrize("names", ["cat", ["cat"], [["cat"]], [["cat", "0.5"]], [[1, 0.5]], [["cat", True]]])
def test_names_of_another_form_are_passed_over(made, names):
    truth, before, after = made(images=4)
    extras = np.empty(len(after), dtype=object)
    extras[:] = [names] * len(after)
    assert not page(truth, before, after.with_extras(np.arange(len(after)), {"clip_names": extras})).all("ol")


@pytest.mark.parametrize("classes", [1, 6, 80, 1203])
def test_the_bars_stay_few_and_the_table_has_all_classes(made, classes):
    truth, before, after = made(classes=classes, boxes=max(60, 2 * classes), images=30)
    read = page(truth, before, after, resamples=0)
    shown = int((truth.boxes_per_class() > 0).sum())
    bars = json.loads(read.scripts["figure-classes"])
    assert len(bars["data"][0]["y"]) == min(shown, MOST_BARS)
    assert len(set(re.findall(r"<td>(class \d+)[< ]", read.html.partition('<section id="classes">')[2]))) == shown
    moves = [abs(a - b) for a, b in zip(bars["data"][1]["x"], bars["data"][0]["x"], strict=True)]
    assert moves == sorted(moves, reverse=True)
    assert len(read.html) < 7_000_000
    assert "No intervals were computed" in read.text


def test_files_of_different_detections_are_compared_as_wholes(made):
    truth, before, after = made()
    other = Detections.from_rows(after.image_ids, after.boxes_xywh + 0.5, after.scores, after.labels)
    read = page(truth, before, other)
    assert "no detection in common" in read.text
    assert not read.all("figure")
    some = page(truth, before, after[:-30])
    assert f"{len(after) - 30} detections in both files (same image, class and box), 30 in BEFORE alone" in some.text


def test_nothing_to_compare_is_a_page_too(made):
    truth, before, _ = made()
    read = page(truth, Detections.empty(), Detections.empty())
    assert "no detection in common" in read.text
    bare = type(truth)(**{**vars_of(truth), "crowd": np.ones(len(truth), dtype=bool)})
    assert "No class has boxes in the annotations" in page(bare, before, before).text


def test_the_picture_shows_the_box_in_its_surroundings_within_the_photo():
    assert region_of((100, 100, 200, 150), (1000, 1000)) == (50, 50, 250, 200)
    left, top, right, bottom = region_of((-20, -5, 15, 12), (400, 300))
    assert (left, top) == (0, 0)
    assert right <= 300
    assert bottom <= 400
    photo = np.full((400, 300, 3), 90, dtype=np.uint8)
    for box in ((10, 10, 60, 30), (-5, -5, 1, 1), (299, 399, 400, 500), (0, 0, 300, 400), (50, 50, 50, 50)):
        uri = draw_picture(photo, box, verdict=1)
        assert uri.startswith("data:image/jpeg;base64,")
        import base64
        import io

        opened = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert max(opened.size) <= SIDE + 1


def test_the_settings_of_the_record_are_shown_with_what_a_person_looks_for(made):
    truth, before, after = made()
    record = {
        "settings": {"alpha": 0.7, "aliases": {}, "classes": "novel", "templates": ["a photo of {}"]},
        "encoder": {
            "model": "ViT-X",
            "config": {"layers": 12},
            "weights_sha256": "abc",
            "preprocessing": {"side": 224},
        },
        "versions": {"torch": None},
    }
    text = page(truth, before, after, record=record).text
    assert "alpha 0.7" in text
    assert "preprocessing.side 224" in text
    assert "torch none" in text
    assert "layers" not in text
    assert "There is no record of AFTER (AFTER.record.json)" in page(truth, before, after).text


def test_pictures_stop_where_the_page_would_grow_too_large(made, tmp_path, monkeypatch, caplog):
    truth, before, after = made()
    folder = photos_of(truth, tmp_path / "photos")
    monkeypatch.setattr("risf_core.report.gallery.MOST_BYTES", 100_000)
    read = page(truth, before, after, images=[folder], pictures=30)
    sources = [own["src"] for own in read.all("img")]
    assert 100_000 < sum(map(len, sources)) < 800_000  # the photo that crosses the limit is still shown
    assert "left out to keep the page small" in read.text
    assert "because the page would exceed 15 MB; lower `pictures`" in caplog.text


def test_the_errors_stand_in_the_page_in_the_words_and_figures_of_evaluate(made):
    from risf_core.evaluation.errors import analyse_errors

    truth, before, after = made(novel=("class 1",))
    read = page(truth, before, after)
    for side, table in (("before", before), ("after", after)):
        errors = analyse_errors(table, truth)
        group = "n" if truth.vocabulary.novel else ""
        assert f"{side}: {errors.sentence(group)}" in read.text
        for detected, box, rows in errors.confusions:
            assert f"{detected} {box} {rows}" in read.text
    for words in ("wrong class", "missed objects", "perfect scores: AP", "oLRP", "LaECE0"):
        assert words in read.text
