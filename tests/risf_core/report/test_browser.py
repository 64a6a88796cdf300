"""The page in a real browser: nothing asked for, nothing complained of, nothing wider than the screen."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from risf_core.photos import ImageInfo
from risf_core.report.comparison import compare_files
from risf_core.report.gallery import build_gallery
from risf_core.report.page import render_page
from risf_core.vocabulary import ClassVocabulary
from tests.browser import BROWSER, DRIVER, opened

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="the machine has no Chromium with chromedriver to open the page in"
)

LONG = "a_class_whose_name_goes_on_and_on_without_a_blank_anywhere_until_the_very_end_of_the_line_and_beyond"
WIDER = """
const wide = [];
for (const own of document.querySelectorAll("body *")) {
  const inside = own.closest(".scroll, svg, script, style");
  const right = own.getBoundingClientRect().right;
  if (!inside && right > document.documentElement.clientWidth + 1) wide.push(own.outerHTML.slice(0, 120));
}
return wide;
"""
LABELS_INSIDE = """
return [...document.querySelectorAll(".chart")].every(chart => {
  const limits = chart.getBoundingClientRect();
  return [...chart.querySelectorAll("text")].every(text => {
    const own = text.getBoundingClientRect();
    return own.width === 0 || (own.left >= limits.left - 1 && own.right <= limits.right + 1);
  });
});
"""


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    """A page of 30 classes with names that are long, or HTML, and with pictures; one photo is missing."""
    folder = tmp_path_factory.mktemp("page")
    truth, before, after = made(classes=30, boxes=200, novel=("class 3",))
    names = (LONG, "<script>window.broken = 1</script>", "<img src=x onerror=alert(1)>", *truth.vocabulary.names[3:])
    truth = replace(
        truth,
        vocabulary=ClassVocabulary(names, truth.vocabulary.category_ids, frozenset([LONG])),
        images=tuple(ImageInfo(i, f"{i:06d}{'_long' * 12}.jpg", 400, 400) for i in truth.images_by_id),
    )
    (folder / "photos").mkdir()
    for image_id, info in list(truth.images_by_id.items())[1:]:
        pixels = np.full((400, 400, 3), 20 * image_id, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / info.file_name)
    comparison = compare_files(before, after, truth, names=("before.json", f"{'a' * 90}.json"), resamples=20)
    record = {"settings": {"alpha": 0.7}, "encoder": {"model": "x", "weights_sha256": "0" * 64}}
    gallery = build_gallery(comparison, images=[folder / "photos"], most=3)
    target = folder / "page.html"
    target.write_text(
        render_page(
            comparison, gallery, annotations="gt.json", record=record, own_settings={"before": f"/{'b' * 150}"}
        ),
        encoding="utf-8",
    )
    with opened(target, folder / "profile") as shown:
        yield shown


def test_the_page_draws_all_charts_asks_for_nothing_and_has_no_complaint(page):
    assert page.run("return document.documentElement.dataset.drawn") == "8"
    assert page.run("return document.querySelectorAll('.chart svg .bars, .chart svg .lines').length") >= 8
    (own,) = page.requests()
    assert own.startswith("file:")
    assert page.console() == []
    assert page.run("return window.broken") is None
    assert page.run("return document.querySelectorAll('img').length") > 0
    assert page.run("return [...document.images].every(own => own.naturalWidth > 0)")


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_is_wider_than_the_screen(page, width):
    page.look(width=width)
    assert page.run("return window.innerWidth") == width
    assert page.run("return document.documentElement.scrollWidth") <= width
    assert page.run(WIDER) == []
    charts = page.run("return [...document.querySelectorAll('.chart .main-svg')].map(own => own.clientWidth)")
    assert max(charts) <= width
    # labels stay inside their charts
    assert page.run(LABELS_INSIDE)


def test_colours_follow_the_readers_light_or_dark(page):
    def seen() -> tuple[str, str]:
        ground = page.run("return getComputedStyle(document.body).backgroundColor")
        text = page.run("return getComputedStyle(document.querySelector('.chart .xtick text')).fill")
        return ground, text

    def brightness(colour: str) -> float:
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3]))

    page.look(width=1280, dark=False)
    ground, text = seen()
    assert brightness(ground) > 600 > 300 > brightness(text)
    page.look(width=1280, dark=True)
    ground, text = seen()
    assert brightness(ground) < 150 < 500 < brightness(text)
    page.look(width=1280, dark=False)
    assert brightness(seen()[0]) > 600


def test_another_class_shows_its_own_curve(page):
    title = "return document.getElementById('curve-title-AP50').textContent"
    first = page.run(title)
    page.run(
        "const choice = document.getElementById('curve-choice'); choice.value = '3';"
        "choice.dispatchEvent(new Event('change'));"
    )
    assert page.run(title) != first
    curves = page.run("return JSON.parse(document.getElementById('curves').textContent)[3].figures.AP50.after")
    drawn = page.run("return Array.from(document.getElementById('curve-AP50').data[1].y)")
    assert drawn == curves
    assert page.console() == []
