"""Report and comparison at a common width of windows: tables, headings, names for screen readers, printing."""

from itertools import pairwise

import pytest
from tests.stages.small_run import SmallRun
from tests.stages.test_comparison_stage import compare, entry, evaluate

CATEGORY = "a category of washers that has quite a long name"
WIDE = """() => [...document.querySelectorAll("table")]
  .filter((table) => table.closest(".scroll").scrollWidth > table.closest(".scroll").clientWidth)
  .map((table) => table.innerText.slice(0, 80))"""
OUTLINE = "[...document.querySelectorAll('h1, h2, h3, h4')].filter(one => one.offsetParent).map(one => +one.tagName[1])"
NAMELESS = """() => [...document.querySelectorAll("img, button, select, input, summary, a[href], svg[role]")]
  .filter((one) => one.checkVisibility())
  .filter((one) => !(one.alt || one.ariaLabel || one.title || one.labels?.length || one.textContent.trim())
    && !one.querySelector("img[alt]"))
  .map((one) => one.outerHTML.slice(0, 120))"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    run = SmallRun(folder, categories=(CATEGORY, "grey"), threshold=1.0)
    evaluate(run)
    run.lists["preview"] = [run.preview(category, "test_public") for category in run.categories]
    run.report(run.check())
    changes = "binarize: {mean_std: {k: 2.5}}"
    entries = [entry(run, f"threshold {n}", changes, run.categories) for n in range(4)]
    return {"report": run.out / "report/index.html", "comparison": compare(folder / "page", entries, run)}


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_no_table_scrolls_sideways_and_everything_has_a_name(open_page, pages, name):
    page = open_page(pages[name], viewport={"width": 1280, "height": 900})
    page.locator("details").evaluate_all("all => all.forEach((one) => (one.open = true))")
    for gallery in page.locator(".gallery").all():
        gallery.scroll_into_view_if_needed()
        gallery.locator(".shot").first.wait_for()
    assert page.locator("table").count() > 5
    assert page.evaluate(WIDE) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    levels = page.evaluate(OUTLINE)
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.evaluate(NAMELESS) == []
    assert page.locator("main").count() == page.locator("nav[aria-label]").count() == 1


def test_the_first_screen_shows_scores_worst_images_and_thresholds(open_page, pages):
    page = open_page(pages["report"], viewport={"width": 1280, "height": 900})
    for part in ("#glance table", ".worst figure >> nth=0", ".worst figure >> nth=2", "#glance .line"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= 900
    page.locator(".worst a").first.click()
    page.locator("#viewer[open]").wait_for()


@pytest.mark.parametrize("name", ["report", "comparison"])
def test_a_dark_page_prints_black_on_white(open_page, pages, name):
    page = open_page(pages[name], color_scheme="dark")
    colour = "getComputedStyle(document.body)"
    assert page.evaluate(f"{colour}.backgroundColor") != "rgb(255, 255, 255)"
    page.emulate_media(media="print")
    assert page.evaluate(f"{colour}.backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(f"{colour}.color") == "rgb(27, 31, 39)"
    assert not page.locator("header").is_visible()
