"""The documentation site in a browser, from the file system, where ``make docs`` has built it."""

from pathlib import Path

import pytest

SITE = Path(__file__).parents[2] / "site"
pytestmark = pytest.mark.skipif(
    not (SITE / "index.html").is_file(), reason="no site to look at; build it with: make docs"
)


def test_the_search_finds_settings_without_network(open_page):
    page = open_page(SITE / "index.html")
    page.locator(".md-search__input").click()
    page.keyboard.type("conformal alpha")
    found = page.locator(".md-search-result__link", has_text="All settings")
    found.wait_for()
    found.click()
    page.wait_for_url("**/docs/settings.html*")
    assert page.get_by_role("heading", name="binarize").is_visible()


def test_wide_tables_and_pictures_stay_within_the_page(open_page):
    for name in ("index", "docs/tutorial", "docs/settings", "docs/api", "docs/results"):
        page = open_page(SITE / f"{name}.html")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
