"""The documentation site: pages read as on GitHub, and its reference has every setting; ``make docs`` checks links."""

import json
import re
import runpy
from collections import Counter
from pathlib import Path

import markdown
import pytest
import yaml
from markdown_it import MarkdownIt

from seamark.settings.config import configuration_schema

ROOT = Path(__file__).parents[2]
BESIDE = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md")]
PAGES = [*BESIDE, *sorted((ROOT / "docs").rglob("*.md"))]
ELEMENT = re.compile(r"<(h\d|p|ul|ol|li|table|tr|td|pre|code|a|em|strong|img|blockquote)\b")


def elements(html):
    return Counter(ELEMENT.findall(html))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages_read_as_on_github(page):
    """Python-Markdown wants blank lines before lists and four spaces within them where GitHub does not."""
    text = page.read_text()
    here = markdown.markdown(text, extensions=["tables", "toc", "pymdownx.superfences"])
    assert elements(here) == elements(MarkdownIt("commonmark").enable("table").render(text))


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text()
    assert not [page.name for page in PAGES if str(page.relative_to(ROOT)) not in navigation]


def settings(block, path=""):
    """Yield path and value of every setting at and below a block of config.yaml."""
    for name, value in block.items():
        inside = isinstance(value, dict) and value
        yield from settings(value, f"{path}{name}.") if inside else [(path + name, value)]


def test_the_reference_has_every_setting(fix):
    settings_page = runpy.run_path(str(ROOT / "docs/site/settings_page.py"))["settings_page"]
    values = yaml.safe_load((ROOT / "config.yaml").read_text())
    page, for_catalog = settings_page(configuration_schema(), values), ROOT / "config/README.md"
    if fix:
        for_catalog.write_text(page)
    assert for_catalog.read_text() == page, "run: pytest tests/docs --fix"
    rows = set(re.findall(r"^\| `([^`]+)` \| `([^`]*)` \|", page, re.MULTILINE))
    blocks = [block for name, block in values.items() if name not in ("detectors", "grids")]
    expected = [one for block in blocks if isinstance(block, dict) for one in settings(block)]
    assert {(path, value if isinstance(value, str) else json.dumps(value)) for path, value in expected} <= rows
    assert {("run", "demo"), ("<name>.overlap", "0.1"), ("early_stop.patience", "6"), ("type", "urd")} <= rows
