"""Reports of finished runs in a browser; ``SEAMARK_REPORTS`` names their pages, separated like the folders of PATH."""

import os
from pathlib import Path

import pytest
from tests.browser.test_gallery import counted, gallery_of, names
from tests.browser.test_viewer import percent, title, visible_layers

REPORTS = [Path(name).resolve() for name in os.environ.get("SEAMARK_REPORTS", "").split(os.pathsep) if name]

pytestmark = pytest.mark.skipif(not REPORTS, reason="SEAMARK_REPORTS names no report of a finished run")


@pytest.fixture(params=REPORTS, ids=lambda report: report.parents[1].name)
def page(request, open_page):
    return open_page(request.param)


def test_galleries_are_sorted_and_filtered(page):
    for position in range(page.locator(".gallery").count()):
        gallery = gallery_of(page, position)
        shown, total = (int(word) for word in counted(gallery).split() if word.isdecimal())
        assert shown == total == len(names(gallery)) > 0
        orders = gallery.locator("[name=sort] option").evaluate_all("options => options.map((one) => one.value)")
        for order in orders:
            gallery.locator("[name=sort]").select_option(order)
            assert len(names(gallery)) == total
        splits = gallery.locator("[name=split] option").evaluate_all("options => options.map((one) => one.value)")
        assert len(orders) > 1
        parts = 0
        for split in filter(None, splits):
            gallery.locator("[name=split]").select_option(split)
            parts += len(names(gallery))
        assert parts == total


def test_the_viewer_switches_layers_zooms_and_walks(page):
    gallery = gallery_of(page)
    order = names(gallery)
    gallery.locator(".shot").first.click()
    page.locator("#viewer[open]").wait_for()
    before = visible_layers(page)
    for key in "12345":
        page.keyboard.press(key)
    assert visible_layers(page) != before
    fitted = percent(page)
    page.keyboard.press("+")
    assert percent(page) > fitted
    page.keyboard.press("0")
    assert title(page) == order[0]
    page.keyboard.press("ArrowRight")
    assert title(page) == order[1]
    page.keyboard.press("Escape")
    page.locator("#viewer[open]").wait_for(state="detached")
