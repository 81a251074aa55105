"""Sources can be looked up: headings of ``docs/methods`` that code and documentation cite exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
METHODS = ROOT / "docs/methods"
FOLDERS = ("src", "stages", "tests", "benchmarks", "docs", "presets")
SUFFIXES = {".py", ".md", ".yaml"}
SINGLE_FILES = ("README.md", "CONTRIBUTING.md", "config.yaml", "config.schema.json", "Snakefile")
CITATION = re.compile(r"docs/methods/(\w+)\.md(?:#([\w-]*))?")
LINK = re.compile(r"\]\(([\w./-]*\.md)?(?:#([\w-]+))?\)")
NOT_AT_HAND = re.compile(r"(?:specification|reference),?\s+sections?\s|(?:RoBiS|URD|AAND|PFADSeg)\s+sections?\s")


def anchors(document: Path) -> set[str]:
    """Return what headings of a Markdown file are linked by, as GitHub forms it."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def texts() -> dict[Path, str]:
    """Return the text of every file that may cite a source."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES]
    files += [ROOT / name for name in SINGLE_FILES]
    return {path: path.read_text(encoding="utf-8") for path in sorted(files)}


def test_cited_headings_exist():
    headings = {document.stem: anchors(document) for document in METHODS.glob("*.md")}
    cited = [(path, *found) for path, text in texts().items() for found in CITATION.findall(text)]
    missing = [
        f"{path.relative_to(ROOT)}: {document}#{anchor}"
        for path, document, anchor in cited
        if document not in headings or (anchor and anchor not in headings[document])
    ]
    assert cited
    assert not missing


def test_no_source_that_is_not_at_hand_is_cited():
    assert not [path.relative_to(ROOT) for path, text in texts().items() if NOT_AT_HAND.search(text)]


@pytest.mark.parametrize("document", sorted(METHODS.glob("*.md")), ids=lambda path: path.stem)
def test_headings_of_a_method_differ(document):
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(anchors(document)) == len(headings)


def test_links_between_documents_lead_somewhere():
    broken = []
    for document in sorted((ROOT / "docs").rglob("*.md")):
        for file, anchor in LINK.findall(document.read_text(encoding="utf-8")):
            target = (document.parent / file).resolve() if file else document
            if not target.is_file() or (anchor and anchor not in anchors(target)):
                broken.append(f"{document.relative_to(ROOT)}: {file}#{anchor}")
    assert not broken
