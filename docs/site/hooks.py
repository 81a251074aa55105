"""Hooks of the documentation site: pages where their files lie in the repository, and those that are generated."""

import re
from pathlib import Path
from typing import Any

import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from rule_graph import drawn_graph
from settings_page import settings_page

from seamark.settings.config import configuration_schema

ROOT = Path(__file__).parents[2]
OUTSIDE_DOCS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "config.yaml",
    "tests/processors/another_processor.c",
)
"""Files beside docs/ that its pages link to."""
PAGES = (".md", ".png", ".jpg", ".css", ".js")
GRAPH = re.compile(r"```mermaid\n(.*?)```", re.DOTALL)
ROLE = re.compile(r":\w+:(?=<code>)")
"""Roles of Sphinx before names in docstrings."""
CITED = re.compile(r"docs/(methods/\w+)\.md(#[\w-]+)?")
"""Sources as docstrings cite them."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Lay the pages out as in the repository, with the reference of all settings among them."""
    for file in [one for one in files if one.src_dir == config.docs_dir]:
        files.remove(file)
        if file.src_uri.endswith(PAGES):
            files.append(File.generated(config, f"docs/{file.src_uri}", abs_src_path=file.abs_src_path))
    for name in OUTSIDE_DOCS:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    settings = settings_page(configuration_schema(), yaml.safe_load((ROOT / "config.yaml").read_text()))
    files.append(File.generated(config, "docs/settings.md", content=settings))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Draw graphs, since the program that draws them on GitHub would come from the network."""
    return GRAPH.sub(lambda found: drawn_graph(found[1]), markdown)


def on_page_content(html: str, page: Page, **_: Any) -> str:
    """Leave out the roles in docstrings, and link what they cite."""
    if page.file.src_uri != "docs/api.md":
        return html
    return CITED.sub(r'<a href="\1.html\2">\g<0></a>', ROLE.sub("", html))
